#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "document.hpp"
#include "knap/vault/parse.hpp"

namespace knap::vault {

/// Cuts ranges of lines into pieces of a model's size: at items, rows, blank lines and ends of
/// sentences before others.
class Splitter {
 public:
  struct Piece {
    std::size_t first = 0;  ///< Line indices, inclusive.
    std::size_t last = 0;
    std::string plain;
    std::string_view text;  ///< Set where within_line: the piece's part of the one line.
    bool within_line = false;
  };

  Splitter(const Document& document, const PassageOptions& options);
  std::uint32_t target() const { return target_; }
  std::uint32_t max() const { return max_; }

  std::uint32_t tokens(std::size_t begin, std::size_t end) const;
  std::string plain(std::size_t begin, std::size_t end) const;
  std::string text(std::size_t begin, std::size_t end) const;

  /// Calls `piece` in order until it returns false.
  void split(std::size_t begin, std::size_t end, BlockKind kind,
             const std::function<bool(const Piece&)>& piece) const;

 private:
  /// How well a cut before this line keeps the structure: 0 badly, 3 well.
  int strength(std::size_t line, std::size_t begin, BlockKind kind) const;
  bool split_line(std::size_t line, const std::function<bool(const Piece&)>& piece) const;

  const Document& document_;
  std::uint32_t target_;
  std::uint32_t max_;
};

}  // namespace knap::vault
