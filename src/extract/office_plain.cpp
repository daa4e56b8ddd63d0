#include <array>
#include <vector>

#include "blocks.hpp"
#include "knap/base/text.hpp"
#include "office.hpp"

namespace knap::extract {
namespace {

constexpr std::size_t kSniffBytes = 8'192;
constexpr std::size_t kColumnsMax = 1'000;
constexpr std::size_t kCellBytesMax = 64U << 10;

bool is_binary(std::string_view bytes) {
  return bytes.substr(0, kSniffBytes).find('\0') != std::string_view::npos &&
         !bytes.starts_with("\xFF\xFE") && !bytes.starts_with("\xFE\xFF");
}

/// The sign that divides the first lines into the same number of cells most often.
char delimiter_of(std::string_view text) {
  constexpr std::array kSigns{',', ';', '\t', '|'};
  std::array<std::size_t, kSigns.size()> counts{};
  bool quoted = false;
  for (const char c : text.substr(0, kSniffBytes)) {
    if (c == '"') quoted = !quoted;
    if (quoted) continue;
    for (std::size_t i = 0; i < kSigns.size(); ++i) counts[i] += c == kSigns[i] ? 1 : 0;
  }
  std::size_t best = 0;
  for (std::size_t i = 1; i < kSigns.size(); ++i)
    if (counts[i] > counts[best]) best = i;
  return kSigns[best];
}

}  // namespace

Status read_csv(std::string_view bytes, Document& out) {
  if (is_binary(bytes)) return make_error(ErrorCode::kCorruptData, "not a text");
  const std::string text = to_utf8(bytes);
  const char delimiter = delimiter_of(text);
  BlockWriter blocks(out);
  std::vector<std::string> cells(1);
  bool quoted = false;
  for (std::size_t i = 0; i < text.size() && !blocks.full(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '"' && i + 1 < text.size() && text[i + 1] == '"') {
        ++i;
      } else if (c == '"') {
        quoted = false;
        continue;
      }
    } else if (c == '"' && cells.back().empty()) {
      quoted = true;
      continue;
    } else if (c == delimiter) {
      if (cells.size() < kColumnsMax) cells.emplace_back();
      continue;
    } else if (c == '\n' || c == '\r') {
      blocks.row(cells);
      cells.assign(1, {});
      continue;
    }
    if (cells.back().size() < kCellBytesMax) cells.back() += c;
  }
  blocks.row(cells);
  return {};
}

Status read_text(std::string_view bytes, Document& out) {
  if (is_binary(bytes)) return make_error(ErrorCode::kCorruptData, "not a text");
  const std::string text = to_utf8(bytes);
  BlockWriter blocks(out);
  std::string paragraph;
  std::string_view rest = text;
  while (!rest.empty() && !blocks.full()) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = text::trim(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.empty()) {
      blocks.add(Block::Kind::kParagraph, paragraph);
      paragraph.clear();
      continue;
    }
    if (!paragraph.empty()) paragraph += ' ';
    paragraph += line;
  }
  blocks.add(Block::Kind::kParagraph, paragraph);
  return {};
}

}  // namespace knap::extract
