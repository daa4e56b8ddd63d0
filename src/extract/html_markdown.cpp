#include "html_markdown.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "html_address.hpp"
#include "html_text.hpp"
#include "knap/base/text.hpp"
#include "markdown_line.hpp"

namespace knap::extract::html {
namespace {

constexpr std::uint32_t kListDepthMax = 6;  // deeper lists go on at this depth
constexpr std::uint32_t kQuoteDepthMax = 4;
constexpr std::size_t kCellsMax = 64;  // of a row; more are no table for reading

/// A program's language by its name in a class, as highlighters write it; empty: none that is
/// known. Other words after a fence start plugins of Obsidian.
std::string language_of(const Tree& tree, Id id) {
  constexpr std::array<std::string_view, 46> kLanguages{
      "bash",    "c",     "clojure", "cpp",        "csharp",     "css",   "dart",    "diff",
      "elixir",  "elm",   "erlang",  "fortran",    "fsharp",     "go",    "graphql", "groovy",
      "haskell", "html",  "ini",     "java",       "javascript", "js",    "json",    "julia",
      "kotlin",  "latex", "lisp",    "lua",        "makefile",   "nginx", "nix",     "ocaml",
      "perl",    "php",   "python",  "r",          "ruby",       "rust",  "scala",   "sh",
      "sql",     "swift", "toml",    "typescript", "xml",        "yaml"};
  std::string names = std::string(tree.attribute(id, "class")) + " ";
  if (const Id inner = tree.first_element(id); inner != kNone)
    names += std::string(tree.attribute(inner, "class")) + " ";
  for (std::size_t begin = 0; begin < names.size();) {
    const std::size_t end = names.find(' ', begin);
    std::string_view word(names.data() + begin, end - begin);
    begin = end + 1;
    for (const std::string_view prefix : {"language-", "lang-", "highlight-source-", "brush:"})
      if (word.starts_with(prefix)) word.remove_prefix(prefix.size());
    if (std::find(kLanguages.begin(), kLanguages.end(), word) != kLanguages.end())
      return std::string(word);
  }
  return {};
}

std::string code_text(const Tree& tree, Id id) {
  std::string out;
  for (Id inner = tree.following(id, id); inner != kNone; inner = tree.following(inner, id)) {
    if (tree.at(inner).is_text) out += tree.at(inner).text;
    if (tree.is(inner, GUMBO_TAG_BR)) out += '\n';
  }
  std::erase_if(out, [](char c) {
    return (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') || c == 0x7F;
  });
  while (!out.empty() && (out.back() == '\n' || out.back() == ' ')) out.pop_back();
  out.erase(0, out.find_first_not_of('\n') == std::string::npos ? out.size()
                                                                : out.find_first_not_of('\n'));
  return out;
}

class Writer {
 public:
  Writer(const Tree& tree, const std::string& base) : tree_(tree), base_(base) {}

  Written run(Id content) {
    children(content, {});
    flush();
    return std::move(out_);
  }

 private:
  struct Inline {
    std::uint8_t style = MarkdownLine::kPlain;
    std::string address;
  };

  bool full() const { return out_.markdown.size() > kDocumentBytesMax / 2; }

  // Recursion is bounded by the tree's depth.
  void children(Id id, const Inline& how) {
    for (Id child = tree_.at(id).first; child != kNone && !full(); child = tree_.at(child).next)
      node(child, how);
  }

  void node(Id id, const Inline& how) {
    if (tree_.at(id).is_text) {
      line_.add(tree_.at(id).text, how.style, how.address);
      return;
    }
    switch (tree_.at(id).tag) {
      case GUMBO_TAG_SCRIPT:
      case GUMBO_TAG_STYLE:
      case GUMBO_TAG_NOSCRIPT:
      case GUMBO_TAG_TEMPLATE:
      case GUMBO_TAG_SVG:
      case GUMBO_TAG_HEAD:
      case GUMBO_TAG_CANVAS:
      case GUMBO_TAG_AUDIO:
      case GUMBO_TAG_VIDEO: return;
      case GUMBO_TAG_BR: return line_break();
      case GUMBO_TAG_IMG: return picture(id, how);
      case GUMBO_TAG_IFRAME:
      case GUMBO_TAG_EMBED:
        return line_.add_object("Video", absolute_address(base_, tree_.attribute(id, "src")));
      case GUMBO_TAG_B:
      case GUMBO_TAG_STRONG: return styled(id, how, MarkdownLine::kBold);
      case GUMBO_TAG_I:
      case GUMBO_TAG_EM:
      case GUMBO_TAG_CITE:
      case GUMBO_TAG_DFN: return styled(id, how, MarkdownLine::kItalic);
      case GUMBO_TAG_CODE:
      case GUMBO_TAG_KBD:
      case GUMBO_TAG_SAMP:
      case GUMBO_TAG_TT: return styled(id, how, MarkdownLine::kCode);
      case GUMBO_TAG_DEL:
      case GUMBO_TAG_S:
      case GUMBO_TAG_STRIKE: return styled(id, how, MarkdownLine::kStruck);
      case GUMBO_TAG_A: {
        Inline inner = how;
        inner.address = absolute_address(base_, tree_.attribute(id, "href"));
        return children(id, inner);
      }
      default: break;
    }
    if (in_line_only_ || is_phrasing(tree_, id) || !is_block(tree_.at(id).tag)) {
      if (in_line_only_ && is_block(tree_.at(id).tag)) line_.add(" ", how.style, how.address);
      children(id, how);
      if (in_line_only_ && is_block(tree_.at(id).tag)) line_.add(" ", how.style, how.address);
      return;
    }
    block(id, how);
  }

  static bool is_block(GumboTag tag) {
    switch (tag) {
      case GUMBO_TAG_SPAN:
      case GUMBO_TAG_FONT:
      case GUMBO_TAG_UNKNOWN:
      case GUMBO_TAG_U:
      case GUMBO_TAG_BIG:
      case GUMBO_TAG_INS:
      case GUMBO_TAG_BDI:
      case GUMBO_TAG_BDO:
      case GUMBO_TAG_RB:
      case GUMBO_TAG_RT:
      case GUMBO_TAG_RP:
      case GUMBO_TAG_MI:
      case GUMBO_TAG_MO:
      case GUMBO_TAG_MN:
      case GUMBO_TAG_MS:
      case GUMBO_TAG_MTEXT:
      case GUMBO_TAG_ACRONYM:
      case GUMBO_TAG_NOBR:
      case GUMBO_TAG_STRONG:
      case GUMBO_TAG_EM: return false;
      default: return true;
    }
  }

  void styled(Id id, Inline how, std::uint8_t style) {
    how.style |= style;
    children(id, how);
  }

  // Two in a row part paragraphs.
  void line_break() {
    if (in_line_only_) return line_.add(" ", MarkdownLine::kPlain, {});
    if (line_.empty()) return;
    if (broke_at_ == line_.plain().size()) return flush();
    line_.add_break();
    broke_at_ = line_.plain().size();
  }

  void picture(Id id, const Inline& how) {
    constexpr std::array<std::string_view, 3> kTiny{"0", "1", "2"};
    const auto tiny = [&](const char* side) {
      return std::find(kTiny.begin(), kTiny.end(), tree_.attribute(id, side)) != kTiny.end();
    };
    if (tiny("width") || tiny("height")) return;  // they count visitors
    std::string label = clean_line(text::truncate(tree_.attribute(id, "alt"), 300));
    if (!how.address.empty()) return;  // its link says more
    std::string_view source = tree_.attribute(id, "src");
    if (source.empty() || source.starts_with("data:")) source = tree_.attribute(id, "data-src");
    line_.add_object(label.empty() ? "Image" : "Image: " + label, absolute_address(base_, source));
  }

  void block(Id id, const Inline& how) {
    flush();
    switch (tree_.at(id).tag) {
      case GUMBO_TAG_H1:
      case GUMBO_TAG_H2:
      case GUMBO_TAG_H3:
      case GUMBO_TAG_H4:
      case GUMBO_TAG_H5:
      case GUMBO_TAG_H6: heading(id, how); break;
      case GUMBO_TAG_UL:
      case GUMBO_TAG_OL:
      case GUMBO_TAG_MENU: list(id, how); break;
      case GUMBO_TAG_LI: item(id, how, "- "); break;
      case GUMBO_TAG_PRE: code(id); break;
      case GUMBO_TAG_BLOCKQUOTE: quote(id, how); break;
      case GUMBO_TAG_HR: emit("***", Apart::kYes); break;
      case GUMBO_TAG_TABLE: table(id, how); break;
      case GUMBO_TAG_P:
      case GUMBO_TAG_DT:
      case GUMBO_TAG_DD:
      case GUMBO_TAG_FIGCAPTION:
      default: children(id, how); break;
    }
    flush();
  }

  void heading(Id id, const Inline& how) {
    const auto level = static_cast<std::uint8_t>(
        std::max(2, 1 + static_cast<int>(tree_.at(id).tag) - static_cast<int>(GUMBO_TAG_H1)));
    const bool before = in_line_only_;
    in_line_only_ = true;
    children(id, how);
    in_line_only_ = before;
    const std::string plain = line_.plain();
    if (!plain.empty()) {
      emit(std::string(level, '#') + " " + line_.marked(MarkdownLine::Place::kCell), Apart::kYes);
      add_block(Block::Kind::kHeading, level, plain);
    }
    line_.clear();
  }

  void list(Id id, const Inline& how) {
    const bool ordered = tree_.is(id, GUMBO_TAG_OL);
    constexpr unsigned kNumberMax = 999'999;
    unsigned number = 1;
    if (ordered) {
      const std::string start(tree_.attribute(id, "start"));
      const unsigned long parsed = std::strtoul(start.c_str(), nullptr, 10);
      if (parsed > 0 && parsed <= kNumberMax) number = static_cast<unsigned>(parsed);
    }
    for (Id child = tree_.at(id).first; child != kNone; child = tree_.at(child).next) {
      if (tree_.is(child, GUMBO_TAG_LI)) {
        item(child, how, ordered ? std::to_string(number++) + ". " : "- ");
      } else {
        node(child, how);
      }
    }
  }

  void item(Id id, const Inline& how, const std::string& mark) {
    flush();
    if (list_depth_ >= kListDepthMax) {
      children(id, how);
      return flush();
    }
    ++list_depth_;
    const std::string before = prefix_;
    const std::string first_before = first_prefix_.empty() ? prefix_ : first_prefix_;
    first_prefix_ = first_before + mark;
    prefix_ += std::string(mark.size(), ' ');
    begins_item_ = true;
    children(id, how);
    flush();
    prefix_ = before;
    // An item that held nothing leaves no mark behind.
    first_prefix_ = begins_item_ && first_before != prefix_ ? first_before : std::string();
    begins_item_ = false;
    --list_depth_;
  }

  void quote(Id id, const Inline& how) {
    if (quote_depth_ >= kQuoteDepthMax) return children(id, how);
    ++quote_depth_;
    const std::string before = prefix_;
    if (!first_prefix_.empty()) first_prefix_ += "> ";
    prefix_ += "> ";
    ++fresh_quote_;
    children(id, how);
    flush();
    fresh_quote_ = 0;
    prefix_ = before;
    first_prefix_.clear();
    --quote_depth_;
  }

  void code(Id id) {
    const std::string text = harmless_code(code_text(tree_, id));
    if (text.empty()) return;
    std::size_t longest = 2;
    std::size_t run = 0;
    for (const char c : text) {
      run = c == '`' ? run + 1 : 0;
      longest = std::max(longest, run);
    }
    const std::string fence(longest + 1, '`');
    emit(fence + language_of(tree_, id) + "\n" + text + "\n" + fence, Apart::kYes);
    add_block(Block::Kind::kCode, 0, text::nfc(text));
  }

  std::vector<Id> rows_of(Id table) const {
    std::vector<Id> rows;
    for (Id id = tree_.following(table, table); id != kNone; id = tree_.following(id, table))
      if (tree_.is(id, GUMBO_TAG_TR)) rows.push_back(id);
    return rows;
  }

  bool is_grid(Id table, const std::vector<Id>& rows) const {
    if (rows.size() < 2 || !tree_.all(table, GUMBO_TAG_TABLE).empty()) return false;
    std::size_t columns = 0;
    for (const Id row : rows) columns = std::max(columns, tree_.element_count(row));
    if (columns < 2 || columns > kCellsMax) return false;
    for (const GumboTag tag : {GUMBO_TAG_PRE, GUMBO_TAG_BLOCKQUOTE, GUMBO_TAG_H2})
      if (!tree_.all(table, tag).empty()) return false;
    return true;
  }

  void table(Id id, const Inline& how) {
    const std::vector<Id> rows = rows_of(id);
    if (!is_grid(id, rows)) return children(id, how);
    for (const Id caption : tree_.all(id, GUMBO_TAG_CAPTION)) {
      children(caption, how);
      flush();
    }
    std::vector<std::vector<std::string>> grid;
    std::size_t columns = 0;
    for (const Id row : rows) {
      std::string plain;
      grid.push_back(cells_of(row, how, plain));
      columns = std::max(columns, grid.back().size());
      if (!plain.empty()) add_block(Block::Kind::kTableRow, 0, plain);
    }
    std::string text;
    for (std::size_t i = 0; i < grid.size(); ++i) {
      grid[i].resize(columns);
      text += i == 0 ? "|" : "\n|";
      for (const std::string& cell : grid[i]) text += " " + cell + " |";
      if (i != 0) continue;
      text += "\n|";
      for (std::size_t column = 0; column < columns; ++column) text += " --- |";
    }
    emit(text, Apart::kYes);
  }

  std::vector<std::string> cells_of(Id row, const Inline& how, std::string& plain) {
    std::vector<std::string> cells;
    const bool before = in_line_only_;
    in_line_only_ = true;
    for (Id cell = tree_.first_element(row); cell != kNone; cell = tree_.next_element(cell)) {
      children(cell, how);
      cells.push_back(line_.marked(MarkdownLine::Place::kCell));
      const std::string words = line_.plain();
      if (!words.empty()) plain += (plain.empty() ? "" : " | ") + words;
      line_.clear();
    }
    in_line_only_ = before;
    return cells;
  }

  enum class Apart { kYes, kTight };

  void flush() {
    broke_at_ = std::string::npos;
    if (line_.empty() || in_line_only_) return;
    const std::string text = line_.marked(MarkdownLine::Place::kBlock);
    const std::string plain = line_.plain();
    line_.clear();
    const bool is_item = begins_item_;
    emit(text, is_item ? Apart::kTight : Apart::kYes);
    if (!text::trim(plain).empty())
      add_block(is_item ? Block::Kind::kListItem : Block::Kind::kParagraph, 0, plain);
  }

  void emit(const std::string& text, Apart apart) {
    std::string& out = out_.markdown;
    const bool tight = apart == Apart::kTight && last_was_item_;
    if (!out.empty() && !tight) {
      const std::string_view blank = text::trim(prefix_);
      if (fresh_quote_ == 0) out += blank;
      out += '\n';
    }
    fresh_quote_ = 0;
    last_was_item_ = apart == Apart::kTight;
    begins_item_ = false;
    for (std::size_t begin = 0; begin <= text.size();) {
      std::size_t end = text.find('\n', begin);
      if (end == std::string::npos) end = text.size();
      out += first_prefix_.empty() ? prefix_ : first_prefix_;
      first_prefix_.clear();
      out.append(text, begin, end - begin);
      while (out.ends_with(' ')) out.pop_back();
      out += '\n';
      begin = end + 1;
    }
  }

  void add_block(Block::Kind kind, std::uint8_t level, std::string text) {
    if (out_.blocks.size() >= kBlocksMax) return;
    Block block;
    block.kind = kind;
    block.level = level;
    block.text = kind == Block::Kind::kCode ? std::move(text) : clean_line(text);
    if (!block.text.empty()) out_.blocks.push_back(std::move(block));
  }

  const Tree& tree_;
  const std::string& base_;
  Written out_;
  MarkdownLine line_;
  std::string prefix_, first_prefix_;
  std::uint32_t list_depth_ = 0, quote_depth_ = 0, fresh_quote_ = 0;
  std::size_t broke_at_ = std::string::npos;
  bool in_line_only_ = false, begins_item_ = false, last_was_item_ = false;
};

}  // namespace

Written write_markdown(const Tree& tree, Id content, const std::string& base) {
  return Writer(tree, base).run(content);
}

}  // namespace knap::extract::html
