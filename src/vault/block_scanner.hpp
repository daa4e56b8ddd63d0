#pragma once

#include <cstddef>
#include <cstdint>

#include "document.hpp"

namespace knap::vault {

/// Finds the blocks of Obsidian's Markdown in a range of lines, and what each line is (kind, where
/// its content begins, tasks, items, callout titles). Inline content is left to InlineScanner.
///
/// Line based and linear: quotes are the only recursion (to max_nesting); lists are read flat, an
/// item being a line with a mark at whatever indentation, which is how their text and lines are
/// used later.
class BlockScanner {
 public:
  BlockScanner(Document& document, std::uint32_t max_nesting);

  /// Appends the blocks of lines [begin, end).
  void scan(std::size_t begin, std::size_t end);

 private:
  /// One container: the note or the inside of a quote.
  struct Scope {
    std::size_t end = 0;
    std::uint32_t depth = 0;
    bool emit = true;  ///< Only top-level blocks are recorded.
    // Beyond these lines a search for the closing mark has already failed: keeps unclosed marks
    // linear.
    std::size_t comment_dead = SIZE_MAX;
    std::size_t math_dead = SIZE_MAX;
    std::size_t html_dead = SIZE_MAX;
  };

  std::string_view rest(std::size_t i) const;
  void scan_scope(std::size_t begin, Scope& scope);
  /// Each reads the block that begins at line i and returns the line after it, or i when there is
  /// no such block.
  std::size_t comment(std::size_t i, Scope& scope);
  std::size_t hidden_html(std::size_t i, Scope& scope);
  std::size_t fenced_code(std::size_t i, Scope& scope);
  std::size_t indented_code(std::size_t i, Scope& scope);
  std::size_t math(std::size_t i, Scope& scope);
  std::size_t heading(std::size_t i, Scope& scope);
  std::size_t quote(std::size_t i, Scope& scope);
  std::size_t list(std::size_t i, Scope& scope);
  std::size_t list_child(std::size_t i, std::size_t item_columns, Scope& scope);
  std::size_t table(std::size_t i, Scope& scope);
  std::size_t footnote(std::size_t i, Scope& scope);
  std::size_t paragraph(std::size_t i, Scope& scope);
  void list_item(std::size_t i, std::size_t content);
  /// The line after the fence's end; lines keep their indentation beyond that of the fence.
  std::size_t code_lines(std::size_t i, std::size_t owner_columns, const Scope& scope);

  bool table_starts(std::size_t i, const Scope& scope) const;
  bool interrupts_paragraph(std::size_t i, const Scope& scope) const;
  void emit(const Scope& scope, BlockKind kind, std::size_t first, std::size_t last,
            std::uint8_t level = 0);

  Document& document_;
  const std::uint32_t max_nesting_;
};

}  // namespace knap::vault
