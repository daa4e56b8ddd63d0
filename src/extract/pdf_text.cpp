#include "pdf_text.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <unordered_map>
#include <unordered_set>

#include "hyphens.hpp"
#include "knap/base/text.hpp"

namespace knap::extract {
namespace {

constexpr float kHeadingSizes = 1.12F;  // of the usual line
constexpr std::size_t kHeadingBytesMax = 200;
constexpr std::size_t kHeadingLinesMax = 3;
constexpr std::size_t kHeadingLettersMin = 2;
constexpr float kHeadingLetterShare = .65F;  // of its characters, white space aside
constexpr std::uint8_t kSizeLevelsMax = 4;
constexpr float kSameSize = .12F;          // difference within a paragraph, of the size
constexpr float kParagraphGap = .55F;      // more white above a line than usual, of its size
constexpr float kIndent = 1.0F;            // of the first line, of its size
constexpr float kShortLine = 3.0F;         // white at the right end of a last line, of its size
constexpr std::size_t kMatchBytesMin = 3;  // of an outline's entry that is looked for

int rounded(float size) { return static_cast<int>(std::lround(size * 2)); }

/// Letters and digits, folded: how a heading and the outline's name for it are compared.
std::string letters_of(std::string_view text) {
  const std::string folded = text::fold(text);
  std::string out;
  for (std::size_t at = 0; at < folded.size();) {
    const char32_t c = text::decode(folded, at);
    if (text::is_alphanumeric(c)) text::append(out, c);
  }
  return out;
}

bool starts_list_item(std::string_view text) {
  constexpr std::string_view kBullets[] = {"• ", "▪ ", "◦ ", "‣ ", "– ", "— ",
                                           "- ", "* ",  // NOLINT
                                           "● ", "○ ", "■ ", "□ ", "➢ ", "✓ "};
  return std::any_of(std::begin(kBullets), std::end(kBullets),
                     [&](std::string_view bullet) { return text.starts_with(bullet); });
}

struct Paragraph {
  Block block;
  float size = 0;
  std::size_t lines = 1;
};

/// The lines of one column put together to paragraphs.
class Joiner {
 public:
  Joiner(const Hyphens& hyphens, std::uint32_t page, std::vector<Paragraph>& out)
      : hyphens_(hyphens), page_(page), out_(out) {}

  void add(const Column& column) {
    measure(column);
    before_ = nullptr;
    for (const Row& row : column) {
      if (row.table) {
        add_row(row);
        before_ = nullptr;
      } else {
        add_line(row.cells.front());
      }
    }
  }

 private:
  void measure(const Column& column) {
    std::vector<float> gaps;
    left_ = INFINITY;
    right_ = -INFINITY;
    const TextLine* above = nullptr;
    for (const Row& row : column) {
      if (row.table) {
        above = nullptr;
        continue;
      }
      const TextLine& line = row.cells.front();
      left_ = std::min(left_, line.box.left);
      right_ = std::max(right_, line.box.right);
      if (above != nullptr) gaps.push_back(line.box.top - above->box.bottom);
      above = &line;
    }
    usual_gap_ = 0;
    if (gaps.empty()) return;
    const auto middle = gaps.begin() + static_cast<std::ptrdiff_t>(gaps.size() / 2);
    std::nth_element(gaps.begin(), middle, gaps.end());
    usual_gap_ = *middle;
  }

  bool continues(const TextLine& line) const {
    if (before_ == nullptr || starts_list_item(line.text)) return false;
    const float size = std::max(line.size, before_->size);
    if (std::abs(line.size - before_->size) > kSameSize * size) return false;
    if (line.box.top - before_->box.bottom > usual_gap_ + kParagraphGap * size) return false;
    const bool indented = line.box.left > before_->box.left + kIndent * size;
    const bool ended = before_->box.right < right_ - kShortLine * size;
    const bool outdented = line.box.left < before_->box.left - kIndent * size;
    if (indented && before_->box.left < left_ + kIndent * size) return false;
    // After a short line something new begins, unless all lines are ragged or centred.
    return !(ended && !outdented && line.box.left <= left_ + kIndent * size && starts_new(line));
  }

  static bool starts_new(const TextLine& line) {
    std::size_t at = 0;
    const char32_t first = text::decode(line.text, at);
    return first < 'a' || first > 'z';
  }

  /// A column that begins within a sentence goes on with the paragraph of the column before.
  bool continues_column(const TextLine& line) const {
    if (before_ != nullptr || out_.empty()) return false;
    const Paragraph& last = out_.back();
    return last.block.kind != Block::Kind::kTableRow && last.block.place == page_ &&
           std::abs(line.size - last.size) <= kSameSize * line.size &&
           !starts_list_item(line.text) && !starts_new(line) &&
           std::string_view(".:!?").find(last.block.text.back()) == std::string_view::npos;
  }

  void add_line(const TextLine& line) {
    if (continues(line) || continues_column(line)) {
      hyphens_.join(out_.back().block.text, line.text);
      ++out_.back().lines;
    } else {
      Paragraph& paragraph = out_.emplace_back();
      const bool item = starts_list_item(line.text);
      paragraph.block = {item ? Block::Kind::kListItem : Block::Kind::kParagraph, 0, page_,
                         line.text};
      paragraph.size = line.size;
    }
    before_ = &line;
  }

  void add_row(const Row& row) {
    Paragraph& paragraph = out_.emplace_back();
    paragraph.block = {Block::Kind::kTableRow, 0, page_, {}};
    paragraph.size = row.cells.front().size;
    for (const TextLine& cell : row.cells) {
      if (!paragraph.block.text.empty()) paragraph.block.text += " | ";
      paragraph.block.text += cell.text;
    }
  }

  const Hyphens& hyphens_;
  const std::uint32_t page_;
  std::vector<Paragraph>& out_;
  const TextLine* before_ = nullptr;
  float left_ = 0, right_ = 0, usual_gap_ = 0;
};

float usual_size(const std::vector<Paragraph>& paragraphs) {
  std::map<int, std::size_t> bytes;
  for (const Paragraph& it : paragraphs) bytes[rounded(it.size)] += it.block.text.size();
  const auto most = std::max_element(
      bytes.begin(), bytes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == bytes.end() ? 0 : static_cast<float>(most->first) / 2;
}

bool can_be_heading(const Paragraph& it) {
  if (it.block.kind != Block::Kind::kParagraph || it.lines > kHeadingLinesMax ||
      it.block.text.size() > kHeadingBytesMax)
    return false;
  // Formulas stand in larger fonts too, but are few letters among many marks.
  std::size_t letters = 0;
  std::size_t all = 0;
  for (std::size_t at = 0; at < it.block.text.size(); ++all) {
    const char32_t c = text::decode(it.block.text, at);
    if (c == U' ') --all;
    if (text::is_alphanumeric(c) && (c < U'0' || c > U'9')) ++letters;
  }
  return letters >= kHeadingLettersMin &&
         static_cast<float>(letters) >= kHeadingLetterShare * static_cast<float>(all);
}

/// Headings by size: the largest is level 1.
void mark_by_size(std::vector<Paragraph>& paragraphs) {
  const float usual = usual_size(paragraphs);
  std::map<int, std::uint8_t, std::greater<>> levels;
  for (const Paragraph& it : paragraphs) {
    if (it.size >= kHeadingSizes * usual && can_be_heading(it)) levels[rounded(it.size)] = 0;
  }
  std::uint8_t level = 0;
  for (auto& [size, of_size] : levels) of_size = std::min<std::uint8_t>(kSizeLevelsMax, ++level);
  for (Paragraph& it : paragraphs) {
    const auto found = levels.find(rounded(it.size));
    if (found == levels.end() || !can_be_heading(it)) continue;
    it.block.kind = Block::Kind::kHeading;
    it.block.level = found->second;
  }
}

/// Headings by the outline: where a page holds the entry's words, alone or after a number, they
/// become the heading; where it does not, the entry stands at the top of its page.
void mark_by_outline(std::vector<Paragraph>& paragraphs, const std::vector<OutlineItem>& outline) {
  std::unordered_map<std::uint32_t, std::vector<std::size_t>> by_page;
  for (std::size_t i = 0; i < paragraphs.size(); ++i) {
    if (can_be_heading(paragraphs[i])) by_page[paragraphs[i].block.place].push_back(i);
  }
  std::map<std::uint32_t, std::vector<Paragraph>> absent;
  for (const OutlineItem& item : outline) {
    const std::string wanted = letters_of(item.title);
    bool found = false;
    for (const std::size_t i : by_page[item.page]) {
      Block& block = paragraphs[i].block;
      if (block.kind == Block::Kind::kHeading || wanted.size() < kMatchBytesMin) continue;
      const std::string here = letters_of(block.text);
      const bool same =
          here == wanted || (here.ends_with(wanted) &&
                             here.find_first_not_of("0123456789") == here.size() - wanted.size());
      if (!same) continue;
      block.kind = Block::Kind::kHeading;
      block.level = item.level;
      found = true;
      break;
    }
    if (found || item.page == 0) continue;
    Paragraph& missing = absent[item.page].emplace_back();
    missing.block = {Block::Kind::kHeading, item.level, item.page, item.title};
  }
  if (absent.empty()) return;
  std::vector<Paragraph> out;
  for (Paragraph& it : paragraphs) {
    for (auto at = absent.begin(); at != absent.end() && at->first <= it.block.place;
         at = absent.erase(at)) {
      if (at->first == it.block.place)
        std::move(at->second.begin(), at->second.end(), std::back_inserter(out));
    }
    out.push_back(std::move(it));
  }
  paragraphs = std::move(out);
}

}  // namespace

void add_blocks(const std::vector<Page>& pages, const std::vector<OutlineItem>& outline,
                Document& document) {
  Hyphens hyphens;
  for (const Page& page : pages) {
    for (const TextLine& line : page.lines) hyphens.learn(line.text);
  }
  std::vector<Paragraph> paragraphs;
  for (const Page& page : pages) {
    Joiner joiner(hyphens, page.number, paragraphs);
    for (const Column& column : reading_order(page)) joiner.add(column);
  }
  if (outline.size() > 1) {
    mark_by_outline(paragraphs, outline);
  } else {
    mark_by_size(paragraphs);
  }
  std::size_t bytes = 0;
  for (Paragraph& it : paragraphs) {
    bytes += it.block.text.size();
    if (bytes > kDocumentBytesMax || document.blocks.size() >= kBlocksMax) {
      document.warnings.emplace_back("more text than is read of one file: the rest is left out");
      return;
    }
    document.blocks.push_back(std::move(it.block));
  }
}

}  // namespace knap::extract
