#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

/// Recognisers of one line's block syntax. Each looks at the line once; none allocates.
namespace knap::vault::syntax {

struct Indent {
  std::size_t bytes = 0;
  std::size_t columns = 0;  ///< Tabs reach to the next multiple of 4.
};
Indent indent_of(std::string_view line);
bool is_blank(std::string_view line);
std::string_view trim_left(std::string_view line);

struct AtxHeading {
  std::uint8_t level = 1;
  std::size_t content = 0;  ///< Byte where the text begins.
};
std::optional<AtxHeading> atx_heading(std::string_view line);

/// 1 for "===", 2 for "---", else 0.
std::uint8_t setext_underline(std::string_view line);
bool is_thematic_break(std::string_view line);

struct Fence {
  char mark = '`';
  std::size_t length = 3;
  std::size_t indent_columns = 0;
};
std::optional<Fence> opening_fence(std::string_view line);
bool closes_fence(std::string_view line, const Fence& fence);

struct ListMark {
  std::size_t content = 0;          ///< Byte where the item's text begins.
  std::size_t content_columns = 0;  ///< The same in columns.
  std::size_t indent_columns = 0;
  bool ordered = false;
  bool starts_with_one = false;
  bool empty = false;  ///< Nothing follows the mark.
};
std::optional<ListMark> list_mark(std::string_view line);

struct TaskMark {
  char32_t state = U' ';
  std::size_t content = 0;
};
/// "[x] text" at the start of an item's text.
std::optional<TaskMark> task_mark(std::string_view item);

/// Bytes of "> " with up to 3 spaces before; 0: no quote.
std::size_t quote_prefix(std::string_view line);
/// Bytes of "[!type|meta]+ " at the start of a quote's text; 0: no callout.
std::size_t callout_prefix(std::string_view quoted);

bool is_table_delimiter(std::string_view line);
/// Bytes of "[^id]: "; 0: none.
std::size_t footnote_prefix(std::string_view line);

struct LinkDefinition {
  std::string_view label;
  std::string_view destination;
};
std::optional<LinkDefinition> link_definition(std::string_view line);

/// The id of "text ^id" and where " ^id" begins.
struct BlockId {
  std::string_view id;
  std::size_t begin = 0;
};
std::optional<BlockId> trailing_block_id(std::string_view line);

/// "<script", "<style": hidden up to the closing tag of that name.
std::string_view hidden_html_element(std::string_view line);

}  // namespace knap::vault::syntax
