#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "knap/extract/document.hpp"

namespace knap::extract {

/// Puts blocks into a document: cleans their text, leaves out empty ones, stops at the limits.
class BlockWriter {
 public:
  explicit BlockWriter(Document& document) : document_(document) {}

  void add(Block::Kind kind, std::string_view text, std::uint32_t place = 0,
           std::uint8_t level = 0);
  void heading(std::uint8_t level, std::string_view text, std::uint32_t place = 0);
  /// Empty cells at the end are left out; a row without text altogether.
  void row(const std::vector<std::string>& cells, std::uint32_t place = 0);
  /// Nothing more is taken: a limit of Document is reached.
  bool full() const { return full_; }

 private:
  Document& document_;
  std::size_t bytes_ = 0;
  bool full_ = false;
};

}  // namespace knap::extract
