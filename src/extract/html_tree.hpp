#pragma once

#include <gumbo.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "knap/base/result.hpp"

namespace knap::extract::html {

inline constexpr std::size_t kHtmlBytesMax = 16U << 20;
inline constexpr std::size_t kParserBytesMax = 256U << 20;  ///< What the parser may hold.
inline constexpr std::size_t kNodesMax = 400'000;
/// What stands deeper is taken up by the element at this depth.
inline constexpr std::uint32_t kDepthMax = 256;

enum class Id : std::uint32_t {};
inline constexpr Id kNone{~0U};

struct Node {
  Id parent = kNone, first = kNone, last = kNone, previous = kNone, next = kNone;
  GumboTag tag = GUMBO_TAG_UNKNOWN;
  bool is_text = false;
  bool is_data_table = false;
  bool is_scored = false;
  float score = 0;
  std::string_view text;                    ///< Of a text node, entities decoded.
  const GumboVector* attributes = nullptr;  ///< Null: none.
};

class ParserMemory;

/// A parsed page as an arena of nodes that may be moved, renamed and taken out. Copies are cheap
/// and share the texts.
///
/// Threads: one at a time. Lifetime: texts and attributes live as long as any copy.
class Tree {
 public:
  /// Parses as browsers do: any bytes give a tree. Invalid UTF-8 must be repaired before.
  /// Errors: kResourceExhausted (over a limit above).
  static Result<Tree> parse(std::string_view utf8);

  Id root() const { return root_; }  ///< The html element.
  Id body() const { return body_; }
  Node& at(Id id) { return nodes_[static_cast<std::uint32_t>(id)]; }
  const Node& at(Id id) const { return nodes_[static_cast<std::uint32_t>(id)]; }

  bool is(Id id, GumboTag tag) const { return !at(id).is_text && at(id).tag == tag; }
  bool is_element(Id id) const { return !at(id).is_text; }
  /// Empty when the element has no such attribute.
  std::string_view attribute(Id id, const char* name) const;
  bool has_attribute(Id id, const char* name) const;

  /// Document order within `top`; kNone at the end. `after` leaves out what is below `id`.
  Id following(Id id, Id top) const;
  Id after(Id id, Id top) const;
  Id next_element(Id id) const;   ///< Sibling.
  Id first_element(Id id) const;  ///< Child.
  std::size_t element_count(Id id) const;
  /// The nearest above `id` with this tag, at most `steps` away.
  bool has_ancestor(Id id, GumboTag tag, std::uint32_t steps) const;
  std::vector<Id> all(Id top, GumboTag tag) const;  ///< Below `top`, in document order.

  void remove(Id id);                ///< With what is below it.
  void append(Id parent, Id child);  ///< Takes it from where it stands.
  void insert_before(Id place, Id child);
  void replace(Id old_id, Id new_id);  ///< `new_id` is taken from where it stands.
  Id make(GumboTag tag);

 private:
  Id copy_node(const GumboNode& from, Id parent);

  std::shared_ptr<const ParserMemory> memory_;
  std::vector<Node> nodes_;
  Id root_ = kNone, body_ = kNone;
};

}  // namespace knap::extract::html
