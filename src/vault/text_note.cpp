#include "knap/vault/text_note.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "document.hpp"
#include "knap/base/text.hpp"
#include "parts.hpp"
#include "passages.hpp"

namespace knap::vault {
namespace {

constexpr std::size_t kTextBytesMax = 0x7FFF'FFFF;  // offsets into the text are 32-bit
constexpr std::size_t kCutEveryBytes = 64;
constexpr std::size_t kMarkBytesMax = 8;
constexpr std::size_t kLanguageBytes = 4'096;

/// A line of the text before it is known where the text ends up in memory.
struct Laid {
  std::size_t begin = 0, end = 0;  ///< In the text.
  std::uint32_t mark = 0;          ///< Bytes of the mark before the block's own text.
  std::uint32_t mark_end = 0;      ///< Bytes of the mark after it.
  std::uint32_t place = 0;
  LineKind kind = LineKind::kText;
  bool item = false;
};

/// Lays the blocks out line by line.
class Layout {
 public:
  void add(const TextBlock& block) {
    const bool joins = block.kind == last_kind_ && block.place == last_place_ &&
                       block.kind != TextBlock::Kind::kHeading &&
                       block.kind != TextBlock::Kind::kParagraph;
    if (!joins) close();
    if (!joins && !lines_.empty()) push({}, {}, {}, LineKind::kBlank, block.place);
    last_kind_ = block.kind;
    last_place_ = block.place;
    switch (block.kind) {
      case TextBlock::Kind::kHeading: heading(block); break;
      case TextBlock::Kind::kParagraph:
        push({}, block.text, {}, LineKind::kText, block.place);
        break;
      case TextBlock::Kind::kListItem:
        push("- ", block.text, {}, LineKind::kText, block.place);
        lines_.back().item = true;
        break;
      case TextBlock::Kind::kTableRow:
        push("| ", block.text, " |", LineKind::kTableRow, block.place);
        break;
      case TextBlock::Kind::kCode: code(block); break;
    }
  }

  /// Ends the block that is open.
  void close() {
    if (first_ == lines_.size()) return;
    blocks_.push_back({.kind = block_kind(),
                       .level = level_,
                       .first = static_cast<std::uint32_t>(first_),
                       .last = static_cast<std::uint32_t>(lines_.size() - 1)});
    first_ = lines_.size();
    level_ = 0;
  }

  bool full() const { return text_.size() > kTextBytesMax / 2 || lines_.size() + 3 > kLinesMax; }
  std::string take_text() { return std::move(text_); }
  std::vector<Block> take_blocks() { return std::move(blocks_); }
  const std::vector<Laid>& lines() const { return lines_; }

 private:
  void heading(const TextBlock& block) {
    level_ = std::clamp<std::uint8_t>(block.level, 1, 6);
    push(std::string(level_, '#') + " ", block.text, {}, LineKind::kHeading, block.place);
  }

  void code(const TextBlock& block) {
    std::string_view rest = block.text;
    while (!rest.empty()) {
      const std::string_view line = rest.substr(0, rest.find('\n'));
      push({}, line, {}, LineKind::kCode, block.place);
      rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    }
  }

  void push(std::string_view mark, std::string_view text, std::string_view mark_end, LineKind kind,
            std::uint32_t place) {
    // A blank line stands between blocks and belongs to none.
    const bool divides = kind == LineKind::kBlank;
    if (!lines_.empty()) text_ += '\n';
    const std::size_t begin = text_.size();
    text_ += mark;
    text_ += text;
    text_ += mark_end;
    lines_.push_back({.begin = begin,
                      .end = text_.size(),
                      .mark = static_cast<std::uint32_t>(mark.size()),
                      .mark_end = static_cast<std::uint32_t>(mark_end.size()),
                      .place = place,
                      .kind = kind});
    if (divides) first_ = lines_.size();
  }

  BlockKind block_kind() const {
    switch (last_kind_) {
      case TextBlock::Kind::kHeading: return BlockKind::kHeading;
      case TextBlock::Kind::kListItem: return BlockKind::kList;
      case TextBlock::Kind::kTableRow: return BlockKind::kTable;
      case TextBlock::Kind::kCode: return BlockKind::kCode;
      case TextBlock::Kind::kParagraph: break;
    }
    return BlockKind::kParagraph;
  }

  std::string text_;
  std::vector<Laid> lines_;
  std::vector<Block> blocks_;
  TextBlock::Kind last_kind_ = TextBlock::Kind::kParagraph;
  std::uint32_t last_place_ = 0;
  std::size_t first_ = 0;  ///< Line where the open block begins.
  std::uint8_t level_ = 0;
};

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U; }

/// 2 after a sentence, 1 between words, 0 elsewhere.
std::uint8_t cut_strength(std::string_view text, std::size_t at) {
  if (text[at - 1] == ' ') {
    const char sign = at >= 2 ? text[at - 2] : ' ';
    return sign == '.' || sign == '!' || sign == '?' ? 2 : 1;
  }
  const std::string_view sign = at >= 3 ? text.substr(at - 3, 3) : std::string_view();
  return sign == "\xE3\x80\x82" || sign == "\xEF\xBC\x81" || sign == "\xEF\xBC\x9F" ? 2 : 0;
}

/// Where the long line `index` may be cut, in its own text and in Document::plain.
void add_cuts(Document& document, std::size_t index, std::size_t mark, std::string_view text) {
  const std::uint32_t plain = document.lines[index].plain_begin;
  std::size_t last = 0, last_word = 0;
  for (std::size_t i = kMarkBytesMax; i < text.size(); ++i) {
    if (is_continuation(text[i])) continue;
    const std::uint8_t strength = cut_strength(text, i);
    const bool due = strength == 2 || (strength == 1 && i - last_word >= kCutEveryBytes) ||
                     i - last >= 2 * kCutEveryBytes;
    if (!due) continue;
    last = i;
    if (strength > 0) last_word = i;
    document.cuts.push_back({.line = static_cast<std::uint32_t>(index),
                             .raw = static_cast<std::uint32_t>(mark + i),
                             .plain = static_cast<std::uint32_t>(plain + i),
                             .strength = strength});
  }
}

Document document_of(std::string_view text, const std::vector<Laid>& laid,
                     std::vector<Block> blocks) {
  Document document;
  document.blocks = std::move(blocks);
  document.plain.reserve(text.size());
  document.lines.reserve(laid.size());
  document.places.reserve(laid.size());
  for (const Laid& from : laid) {
    Line line{.text = text.substr(from.begin, from.end - from.begin)};
    const std::string_view own =
        line.text.substr(from.mark, line.text.size() - from.mark - from.mark_end);
    line.content = from.mark;
    line.plain_begin = static_cast<std::uint32_t>(document.plain.size());
    document.plain += own;
    line.plain_end = static_cast<std::uint32_t>(document.plain.size());
    line.kind = from.kind;
    line.unit_start = true;
    line.item_start = from.item;
    document.lines.push_back(line);
    document.places.push_back(from.place);
    if (own.size() > kLongLineBytes) add_cuts(document, document.lines.size() - 1, from.mark, own);
  }
  return document;
}

}  // namespace

TextNote read_blocks(std::string_view path, std::string_view title,
                     std::span<const TextBlock> blocks, const ParseOptions& options) {
  TextNote out;
  Layout layout;
  for (const TextBlock& block : blocks) {
    if (layout.full()) {
      out.note.warnings.emplace_back("too long: the rest is not indexed");
      break;
    }
    layout.add(block);
  }
  layout.close();
  out.text = layout.take_text();
  const Document document = document_of(out.text, layout.lines(), layout.take_blocks());

  out.note.type = file_type(path);
  const std::string_view file = path.substr(path.rfind('/') + 1);
  const std::size_t dot = file.rfind('.');
  out.note.name =
      std::string(dot == std::string_view::npos || dot == 0 ? file : file.substr(0, dot));
  out.note.daily = daily_date(out.note.name);
  out.note.title = title.empty() ? out.note.name : std::string(title);
  build_passages(document, options, {}, out.note);
  out.note.language = guess_language(text::truncate(document.plain, kLanguageBytes));
  return out;
}

}  // namespace knap::vault
