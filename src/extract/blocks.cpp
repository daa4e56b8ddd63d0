#include "blocks.hpp"

#include <algorithm>

namespace knap::extract {
namespace {

constexpr std::uint8_t kLevelMax = 6;

}  // namespace

void BlockWriter::add(Block::Kind kind, std::string_view text, std::uint32_t place,
                      std::uint8_t level) {
  if (full_) return;
  std::string line = clean_line(text);
  if (line.empty()) return;
  if (document_.blocks.size() >= kBlocksMax || bytes_ + line.size() > kDocumentBytesMax) {
    full_ = true;
    document_.warnings.emplace_back("too long: the rest is left out");
    return;
  }
  bytes_ += line.size();
  document_.blocks.push_back({kind, level, place, std::move(line)});
}

void BlockWriter::heading(std::uint8_t level, std::string_view text, std::uint32_t place) {
  add(Block::Kind::kHeading, text, place, std::clamp<std::uint8_t>(level, 1, kLevelMax));
}

void BlockWriter::row(const std::vector<std::string>& cells, std::uint32_t place) {
  std::size_t count = cells.size();
  const auto empty = [](const std::string& cell) {
    return cell.find_first_not_of(" \t\r\n") == std::string::npos;
  };
  while (count > 0 && empty(cells[count - 1])) --count;
  std::string line;
  for (std::size_t i = 0; i < count; ++i) {
    if (i > 0) line += " | ";
    line += cells[i];
  }
  add(Block::Kind::kTableRow, line, place);
}

}  // namespace knap::extract
