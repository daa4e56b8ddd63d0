#include "filter_links.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include "state.hpp"

namespace knap::search {

FilterLinks::FilterLinks(const std::vector<const FoldedFacts*>& notes)
    : notes_(static_cast<std::uint32_t>(notes.size())) {
  std::size_t links = 0;
  for (const FoldedFacts* note : notes) links += note->link_hashes.size();
  std::size_t size = 16;
  while (size < (notes.size() + links) * 2) size *= 2;
  table_.assign(size, kNone);
  for (std::uint32_t note = 0; note < notes.size(); ++note) {
    if (add_node(notes[note]->path_hash, notes[note]->path) == note) continue;
    // A path stands twice: links lead to the first.
    hashes_.push_back(notes[note]->path_hash);
    paths_.emplace_back(notes[note]->path);
  }
  forward_.reserve(links);
  forward_begin_.reserve(notes.size() + 1);
  forward_begin_.push_back(0);
  for (const FoldedFacts* note : notes) {
    for (std::size_t i = 0; i < note->link_hashes.size(); ++i)
      forward_.push_back(add_node(note->link_hashes[i], note->links_to[i]));
    forward_begin_.push_back(static_cast<std::uint32_t>(forward_.size()));
  }
  // Backward links of all nodes in one row: counted, then filled.
  back_begin_.assign(hashes_.size() + 1, 0);
  for (const std::uint32_t target : forward_) ++back_begin_[target + 1];
  std::partial_sum(back_begin_.begin(), back_begin_.end(), back_begin_.begin());
  back_.resize(forward_.size());
  std::vector<std::uint32_t> next(back_begin_.begin(), back_begin_.end() - 1);
  for (std::uint32_t note = 0; note < notes.size(); ++note) {
    for (std::uint32_t i = forward_begin_[note]; i < forward_begin_[note + 1]; ++i)
      back_[next[forward_[i]]++] = note;
  }
}

std::uint32_t FilterLinks::add_node(std::uint64_t hash, std::string_view path) {
  std::size_t at = hash & (table_.size() - 1);
  while (table_[at] != kNone) {
    if (hashes_[table_[at]] == hash) return table_[at];
    at = (at + 1) & (table_.size() - 1);
  }
  table_[at] = static_cast<std::uint32_t>(hashes_.size());
  hashes_.push_back(hash);
  paths_.push_back(path);
  return table_[at];
}

FilterLinks::Paths FilterLinks::linking_to(std::string_view written) const {
  Paths paths;
  for (std::uint32_t node = 0; node < paths_.size(); ++node) {
    if (back_begin_[node] == back_begin_[node + 1] || !names_path(written, paths_[node])) continue;
    for (std::uint32_t i = back_begin_[node]; i < back_begin_[node + 1]; ++i)
      paths.insert(hashes_[back_[i]]);
  }
  return paths;
}

FilterLinks::Paths FilterLinks::linked_from(std::string_view written) const {
  Paths paths;
  for (std::uint32_t note = 0; note < notes_; ++note) {
    if (!names_path(written, paths_[note])) continue;
    for (std::uint32_t i = forward_begin_[note]; i < forward_begin_[note + 1]; ++i)
      paths.insert(hashes_[forward_[i]]);
  }
  return paths;
}

/// Breadth first in both directions.
FilterLinks::Paths FilterLinks::near(std::string_view written, std::uint32_t distance) const {
  std::vector<bool> seen(notes_);
  std::vector<std::uint32_t> ring;
  for (std::uint32_t note = 0; note < notes_; ++note)
    if (names_path(written, paths_[note])) ring.push_back(note), seen[note] = true;
  Paths paths;
  for (std::uint32_t step = 0; !ring.empty(); ++step) {
    std::vector<std::uint32_t> next;
    const auto visit = [&](std::uint32_t node) {
      if (node < notes_ && !seen[node]) next.push_back(node), seen[node] = true;
    };
    for (const std::uint32_t note : ring) {
      paths.insert(hashes_[note]);
      if (step == distance) continue;
      for (std::uint32_t i = forward_begin_[note]; i < forward_begin_[note + 1]; ++i)
        visit(forward_[i]);
      for (std::uint32_t i = back_begin_[note]; i < back_begin_[note + 1]; ++i) visit(back_[i]);
    }
    ring = std::move(next);
  }
  return paths;
}

bool has_link_terms(const Filter::Node& node) {
  return node.kind == FilterKind::kLink || node.kind == FilterKind::kLinkedFrom ||
         node.kind == FilterKind::kNear ||
         std::any_of(node.children.begin(), node.children.end(),
                     [](const auto& child) { return has_link_terms(*child); });
}

namespace {

void fill_graph_sets(const Filter::Node& node, const FilterLinks& links, GraphSets& sets) {
  if (node.kind == FilterKind::kLink) sets[&node] = links.linking_to(node.values.front());
  if (node.kind == FilterKind::kLinkedFrom) sets[&node] = links.linked_from(node.values.front());
  if (node.kind == FilterKind::kNear) sets[&node] = links.near(node.values.front(), node.distance);
  for (const auto& child : node.children) fill_graph_sets(*child, links, sets);
}

}  // namespace

GraphSets find_graph_sets(const Filter::Node& node, const FilterLinks& links) {
  GraphSets sets;
  fill_graph_sets(node, links, sets);
  return sets;
}

LazyFilterLinks& LazyFilterLinks::operator=(const LazyFilterLinks& other) {
  if (this == &other) return *this;
  const MutexLock lock(mutex_);
  links_ = nullptr;
  return *this;
}

std::shared_ptr<const FilterLinks> LazyFilterLinks::get(
    const std::vector<SegmentView>& segments) const {
  const MutexLock lock(mutex_);
  if (links_ != nullptr) return links_;
  std::vector<const FoldedFacts*> notes;
  for (const SegmentView& view : segments)
    for (std::uint32_t note = 0; note < view.segment->note_count(); ++note)
      if (view.live(note)) notes.push_back(view.segment->facts[note].get());
  links_ = std::make_shared<const FilterLinks>(notes);
  return links_;
}

}  // namespace knap::search
