#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "facts.hpp"
#include "knap/search/filter.hpp"

namespace knap::search {

enum class FilterKind : std::uint8_t {
  kAll,
  kAnd,
  kOr,
  kNot,
  kTag,
  kPath,
  kFile,
  kTitle,
  kHeading,
  kLink,
  kLinkedFrom,
  kNear,
  kProperty,
  kHasProperty,
  kCreated,
  kModified,
  kType,
  kTask,
  kLanguage,
};

/// A half-open span of Unix seconds.
struct TimeSpan {
  std::int64_t begin = std::numeric_limits<std::int64_t>::min();
  std::int64_t end = std::numeric_limits<std::int64_t>::max();
};

/// What a property is compared with: each reading of the value that makes sense.
struct PropertyTest {
  enum class Compare : std::uint8_t { kEqual, kLess, kLessEqual, kGreater, kGreaterEqual, kRange };
  Compare compare = Compare::kEqual;
  std::string text;                         ///< Folded; a "*" in it stands for any text.
  std::optional<double> number, number_to;  ///< number_to: end of a range, inclusive.
  std::optional<TimeSpan> time;  ///< What a date must lie in, the comparison already applied.
};

struct Filter::Node {
  FilterKind kind = FilterKind::kAll;
  std::vector<std::shared_ptr<const Node>> children;
  std::vector<std::string> values;  ///< Folded alternatives; for properties, the property's name.
  std::uint32_t distance = 1;       ///< Of near.
  TimeSpan time;
  PropertyTest property;
};

constexpr std::size_t kFilterBytesMax = 4096;
constexpr std::uint32_t kFilterNodesMax = 256;
constexpr std::uint32_t kFilterDepthMax = 32;
constexpr std::uint32_t kNearDistanceMax = 5;

/// The hashes of the paths that each link, linked-from and near term of one filter admits, found
/// beforehand from all notes' links.
using GraphSets = std::unordered_map<const Filter::Node*, std::unordered_set<std::uint64_t>>;

/// @param graph  may be null: linked-from and near then match nothing
bool evaluate(const Filter::Node& node, const FoldedFacts& facts, const GraphSets* graph);

/// Whether a folded link path or name as written in a filter means the note at a folded path: the
/// whole path or its end, with or without extension.
bool names_path(std::string_view written, std::string_view path);

/// Whether `text` matches a pattern in which "*" stands for any text.
bool matches_glob(std::string_view pattern, std::string_view text);

/// Reads 2026, 2026-01, 2026-01-02 or 2026-01-02T10:30 (also with a space and seconds); nothing
/// when it is no date.
std::optional<TimeSpan> parse_date(std::string_view text);

}  // namespace knap::search
