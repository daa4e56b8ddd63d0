#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "facts.hpp"
#include "filter_tree.hpp"
#include "knap/base/mutex.hpp"

namespace knap::search {

/// The links between notes in both directions, as the filter's link, linked-from and near terms
/// follow them. Immutable; the facts must outlive it.
class FilterLinks {
 public:
  using Paths = std::unordered_set<std::uint64_t>;  ///< Hashes of folded paths.

  /// Where a path stands twice, links lead to the first note.
  explicit FilterLinks(const std::vector<const FoldedFacts*>& notes);

  /// Notes that link to what `written` names, be it a note or another file.
  Paths linking_to(std::string_view written) const;
  /// What the notes that `written` names link to.
  Paths linked_from(std::string_view written) const;
  /// Notes within `distance` links of those that `written` names, these among them.
  Paths near(std::string_view written, std::uint32_t distance) const;

 private:
  static constexpr std::uint32_t kNone = 0xFFFFFFFF;

  std::uint32_t add_node(std::uint64_t hash, std::string_view path);

  /// Nodes are the notes, in order, and behind them what they link to besides.
  std::uint32_t notes_;
  std::vector<std::uint64_t> hashes_;
  std::vector<std::string_view> paths_;
  std::vector<std::uint32_t> table_;  ///< Open addressing: node, by hash of the path.
  /// Of each node one after another: the nodes that a note links to, and the notes that link to it.
  std::vector<std::uint32_t> forward_begin_, forward_, back_begin_, back_;
};

bool has_link_terms(const Filter::Node& node);
GraphSets find_graph_sets(const Filter::Node& node, const FilterLinks& links);

struct SegmentView;

/// The links of one state, found when a filter first asks for them. A copy finds its own: it is
/// made for other notes.
///
/// Threads: get() is safe from any thread.
class LazyFilterLinks {
 public:
  LazyFilterLinks() = default;
  LazyFilterLinks(const LazyFilterLinks&) {}  // NOLINT(modernize-use-equals-default)
  LazyFilterLinks& operator=(const LazyFilterLinks& other);

  /// @param segments  the same at each call
  std::shared_ptr<const FilterLinks> get(const std::vector<SegmentView>& segments) const
      KNAP_EXCLUDES(mutex_);

 private:
  mutable Mutex mutex_;
  mutable std::shared_ptr<const FilterLinks> links_ KNAP_GUARDED_BY(mutex_);
};

}  // namespace knap::search
