#include "link_graph.hpp"

#include <algorithm>

#include "knap/base/hash.hpp"
#include "knap/base/text.hpp"

namespace knap::index {
namespace {

/// What a path, an alias or a link target have in common when they can mean the same file.
std::string link_key(std::string_view path) {
  if (const auto slash = path.rfind('/'); slash != std::string_view::npos)
    path.remove_prefix(slash + 1);
  path = text::trim(path);
  const auto is_ascii = [](char c) { return static_cast<unsigned char>(c) < 0x80; };
  std::string key;
  if (std::all_of(path.begin(), path.end(),
                  is_ascii)) {  // nearly all, and folding by Unicode's rules is slow
    key = path;
    for (char& c : key) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  } else {
    key = text::fold_case(path);
  }
  if (key.ends_with(".md")) key.resize(key.size() - 3);
  return key;
}

std::uint64_t fingerprint(const std::vector<std::string>& paths) {
  std::uint64_t hash = paths.size();
  for (const std::string& path : paths) hash = hash64(path, hash);
  return hash;
}

}  // namespace

/// Only links that stand here already can change their meaning: later ones are resolved with the
/// name in place.
void LinkGraph::note_change(std::string_view name) {
  std::string key = link_key(name);
  if (linking_.contains(key)) changed_keys_.insert(std::move(key));
}

void LinkGraph::add_file(store::FileId id, std::string_view path) {
  MutexLock lock(mutex_);
  Node& node = nodes_[id];
  if (!node.path.empty()) return;
  node.path = std::string(path);
  by_path_.insert_or_assign(node.path, id);
  resolver_.add(path, {});
  note_change(path);
}

void LinkGraph::set_note(store::FileId id, std::string_view path, std::string_view title,
                         const std::vector<std::string>& aliases,
                         const std::vector<vault::Link>& links) {
  MutexLock lock(mutex_);
  Node& node = nodes_[id];
  drop_edges(id, node);
  const bool is_new = node.path.empty();
  node.title = std::string(title);
  if (is_new || node.aliases != aliases) {
    if (!is_new) resolver_.remove(path);
    resolver_.add(path, aliases);
    for (const std::string& alias : node.aliases) note_change(alias);
    for (const std::string& alias : aliases) note_change(alias);
    node.aliases = aliases;
  }
  if (is_new) {
    node.path = std::string(path);
    by_path_.insert_or_assign(node.path, id);
    note_change(path);
  }
  node.edges.reserve(links.size());
  for (const vault::Link& link : links) {
    if (link.target.empty()) continue;
    node.edges.push_back({link.target, link.line});
    linking_[link_key(link.target)].insert(id);
  }
}

void LinkGraph::drop_edges(store::FileId id, const Node& node) {
  for (const Edge& edge : node.edges) {
    const auto found = linking_.find(link_key(edge.target));
    if (found == linking_.end()) continue;
    found->second.erase(id);
    if (found->second.empty()) linking_.erase(found);
  }
  nodes_[id].edges.clear();
}

void LinkGraph::remove(store::FileId id) {
  MutexLock lock(mutex_);
  const auto found = nodes_.find(id);
  if (found == nodes_.end()) return;
  drop_edges(id, found->second);
  const Node& node = found->second;
  note_change(node.path);
  for (const std::string& alias : node.aliases) note_change(alias);
  if (const auto at = by_path_.find(node.path); at != by_path_.end() && at->second == id) {
    by_path_.erase(at);
    resolver_.remove(node.path);
  }
  nodes_.erase(found);
}

std::vector<std::string> LinkGraph::resolved(const Node& node) const {
  std::vector<std::string> paths;
  std::unordered_set<std::string> seen;
  for (const Edge& edge : node.edges) {
    auto path = resolver_.resolve(edge.target, node.path);
    if (path && seen.insert(*path).second) paths.push_back(std::move(*path));
  }
  return paths;
}

LinkGraph::Published LinkGraph::publish_links(store::FileId id) {
  MutexLock lock(mutex_);
  const auto found = nodes_.find(id);
  if (found == nodes_.end()) return {};
  std::vector<std::string> paths = resolved(found->second);
  found->second.published = fingerprint(paths);
  return {std::move(paths), found->second.published};
}

void LinkGraph::set_published(store::FileId id, std::uint64_t fingerprint) {
  MutexLock lock(mutex_);
  const auto found = nodes_.find(id);
  if (found == nodes_.end()) return;
  found->second.published = fingerprint;
  unchecked_.push_back(id);
}

std::vector<store::FileId> LinkGraph::take_changed() {
  MutexLock lock(mutex_);
  std::unordered_set<store::FileId> candidates;
  for (const std::string& key : changed_keys_) {
    const auto found = linking_.find(key);
    if (found != linking_.end()) candidates.insert(found->second.begin(), found->second.end());
  }
  changed_keys_.clear();
  candidates.insert(unchecked_.begin(), unchecked_.end());
  unchecked_ = {};
  std::vector<store::FileId> changed;
  for (const store::FileId id : candidates) {
    const auto node = nodes_.find(id);
    if (node == nodes_.end()) continue;  // unchecked, and gone since
    if (fingerprint(resolved(node->second)) != node->second.published) changed.push_back(id);
  }
  return changed;
}

std::optional<std::string> LinkGraph::resolve(std::string_view target,
                                              std::string_view from) const {
  MutexLock lock(mutex_);
  return resolver_.resolve(target, from);
}

std::vector<std::string> LinkGraph::links_of(store::FileId id) const {
  MutexLock lock(mutex_);
  const auto found = nodes_.find(id);
  return found == nodes_.end() ? std::vector<std::string>() : resolved(found->second);
}

std::vector<LinkGraph::Backlink> LinkGraph::backlinks(store::FileId id, std::size_t limit) const {
  MutexLock lock(mutex_);
  std::vector<Backlink> out;
  const auto found = nodes_.find(id);
  if (found == nodes_.end()) return out;
  const Node& target = found->second;
  std::unordered_set<std::string> keys{link_key(target.path)};
  for (const std::string& alias : target.aliases) keys.insert(link_key(alias));
  std::unordered_set<store::FileId> linking;
  for (const std::string& key : keys) {
    if (const auto at = linking_.find(key); at != linking_.end())
      linking.insert(at->second.begin(), at->second.end());
  }
  for (const store::FileId from : linking) {
    const Node& node = nodes_.at(from);
    for (const Edge& edge : node.edges) {
      if (out.size() == limit) return out;
      if (!keys.contains(link_key(edge.target))) continue;
      if (resolver_.resolve(edge.target, node.path) == target.path)
        out.push_back({from, edge.line});
    }
  }
  return out;
}

std::optional<LinkGraph::NoteRef> LinkGraph::note(store::FileId id) const {
  MutexLock lock(mutex_);
  const auto found = nodes_.find(id);
  if (found == nodes_.end()) return std::nullopt;
  return NoteRef{id, found->second.path, found->second.title};
}

std::optional<LinkGraph::NoteRef> LinkGraph::note(std::string_view path) const {
  MutexLock lock(mutex_);
  const auto found = by_path_.find(std::string(path));
  if (found == by_path_.end()) return std::nullopt;
  return NoteRef{found->second, std::string(path), nodes_.at(found->second).title};
}

}  // namespace knap::index
