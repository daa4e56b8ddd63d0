#include "knap/vault/links.hpp"

#include <algorithm>

#include "knap/base/text.hpp"

namespace knap::vault {
namespace {

constexpr std::string_view kNoteExtension = ".md";
constexpr std::size_t kPathPartsMax = 256;

std::string_view file_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }
std::string_view folder_of(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}

/// "a/./b/../c" -> "a/c"; nothing when it leaves the vault.
std::optional<std::string> normalise(std::string_view path) {
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    const std::size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      if (parts.empty()) return std::nullopt;
      parts.pop_back();
      continue;
    }
    if (parts.size() == kPathPartsMax) return std::nullopt;
    parts.push_back(part);
  }
  std::string out;
  for (const std::string_view part : parts) {
    if (!out.empty()) out += '/';
    out += part;
  }
  return out;
}

void erase_value(std::unordered_map<std::string, std::vector<std::string>>& map,
                 const std::string& key, const std::string& value) {
  const auto found = map.find(key);
  if (found == map.end()) return;
  std::erase(found->second, value);
  if (found->second.empty()) map.erase(found);
}

}  // namespace

void LinkResolver::add(std::string_view path, const std::vector<std::string>& aliases) {
  remove(path);
  const std::string key = text::fold_case(path);
  Entry entry{.path = std::string(path)};
  by_name_[std::string(file_name(key))].push_back(key);
  for (const std::string& alias : aliases) {
    std::string folded = text::fold_case(alias);
    auto& paths = by_alias_[folded];
    if (std::find(paths.begin(), paths.end(), key) == paths.end()) paths.push_back(key);
    entry.aliases.push_back(std::move(folded));
  }
  by_path_[key].push_back(std::move(entry));
}

void LinkResolver::remove(std::string_view path) {
  const std::string key = text::fold_case(path);
  const auto found = by_path_.find(key);
  if (found == by_path_.end()) return;
  auto& entries = found->second;
  const auto entry =
      std::find_if(entries.begin(), entries.end(), [&](const Entry& e) { return e.path == path; });
  if (entry == entries.end()) return;
  const std::vector<std::string> aliases = std::move(entry->aliases);
  entries.erase(entry);
  auto& names = by_name_[std::string(file_name(key))];
  names.erase(std::find(names.begin(), names.end(), key));
  if (names.empty()) by_name_.erase(std::string(file_name(key)));
  for (const std::string& alias : aliases) {
    const bool still = std::any_of(entries.begin(), entries.end(), [&](const Entry& e) {
      return std::find(e.aliases.begin(), e.aliases.end(), alias) != e.aliases.end();
    });
    if (!still) erase_value(by_alias_, alias, key);
  }
  if (entries.empty()) by_path_.erase(key);
}

const std::string* LinkResolver::path_of(const std::string& key, std::string_view exact) const {
  const auto found = by_path_.find(key);
  if (found == by_path_.end()) return nullptr;
  // Two files whose names differ in case only: the one written so, else the first in order of the
  // bytes.
  const Entry* best = nullptr;
  for (const Entry& entry : found->second) {
    if (entry.path == exact) return &entry.path;
    if (best == nullptr || entry.path < best->path) best = &entry;
  }
  return &best->path;
}

std::optional<std::string> LinkResolver::best_of(const std::vector<std::string>& keys,
                                                 std::string_view suffix,
                                                 std::string_view from_folder) const {
  const std::string* best = nullptr;
  bool best_near = false;
  for (const std::string& key : keys) {
    // "b/note" means a note in some folder b.
    if (!suffix.empty() && key != suffix &&
        !(key.size() > suffix.size() && key.ends_with(suffix) &&
          key[key.size() - suffix.size() - 1] == '/')) {
      continue;
    }
    const bool near = folder_of(key) == from_folder;
    const auto better = [&] {
      if (best == nullptr || near != best_near) return best == nullptr || near;
      const auto depth = [](const std::string& k) { return std::count(k.begin(), k.end(), '/'); };
      if (depth(key) != depth(*best)) return depth(key) < depth(*best);
      return key.size() != best->size() ? key.size() < best->size() : key < *best;
    };
    if (better()) {
      best = &key;
      best_near = near;
    }
  }
  if (best == nullptr) return std::nullopt;
  const std::string* path = path_of(*best, {});
  return path == nullptr ? std::nullopt : std::optional(*path);
}

std::optional<std::string> LinkResolver::resolve(std::string_view target,
                                                 std::string_view from_path) const {
  target = text::trim(target);
  if (target.empty()) return std::string(from_path);
  const std::string from_folder = text::fold_case(folder_of(from_path));
  const bool relative = target.starts_with("./") || target.starts_with("../");
  const auto exact = [&](std::string_view written) -> std::optional<std::string> {
    const auto path = normalise(written);
    if (!path || path->empty()) return std::nullopt;
    // A file named as written comes before one with the note's extension: "image.png",
    // "Version 1.2".
    for (const std::string& candidate : {*path, *path + std::string(kNoteExtension)}) {
      if (const std::string* found = path_of(text::fold_case(candidate), candidate)) return *found;
    }
    return std::nullopt;
  };
  const std::string beside = std::string(folder_of(from_path)) + "/" + std::string(target);
  if (relative) return exact(beside);
  if (target.starts_with('/')) return exact(target.substr(1));
  const bool has_folder = target.find('/') != std::string_view::npos;
  // A bare name is looked for next to the linking note first; a path from the root first.
  if (!has_folder) {
    if (auto found = exact(beside)) return found;
  }
  if (auto found = exact(target)) return found;
  if (has_folder) {
    if (auto found = exact(beside)) return found;
  }
  const std::string key = text::fold_case(target);
  for (const std::string& candidate : {key, key + std::string(kNoteExtension)}) {
    const auto names = by_name_.find(std::string(file_name(candidate)));
    if (names == by_name_.end()) continue;
    if (auto found =
            best_of(names->second, has_folder ? std::string_view(candidate) : std::string_view(),
                    from_folder))
      return found;
  }
  if (const auto aliases = by_alias_.find(key); aliases != by_alias_.end())
    return best_of(aliases->second, {}, from_folder);
  return std::nullopt;
}

}  // namespace knap::vault
