#include "passages.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "block_syntax.hpp"
#include "splitter.hpp"
#include "tokens.hpp"

namespace knap::vault {
namespace {

/// A group smaller than this is joined with its neighbour even above the target: alone it says
/// little.
constexpr std::uint32_t kSmallTokens = 40;
constexpr std::size_t kHeadingDepth = 6;
constexpr std::size_t kNone = SIZE_MAX;

Passage::Kind passage_kind(BlockKind kind) {
  switch (kind) {
    case BlockKind::kList: return Passage::Kind::kList;
    case BlockKind::kTable: return Passage::Kind::kTable;
    case BlockKind::kCode: return Passage::Kind::kCode;
    case BlockKind::kCallout: return Passage::Kind::kCallout;
    case BlockKind::kMath: return Passage::Kind::kMath;
    case BlockKind::kHeading:
    case BlockKind::kParagraph:
    case BlockKind::kQuote:
    case BlockKind::kHidden: break;
  }
  return Passage::Kind::kProse;
}

class Builder {
 public:
  Builder(const Document& document, const ParseOptions& options,
          const std::vector<std::string>& outer, Note& note)
      : document_(document),
        options_(options),
        outer_(outer),
        note_(note),
        splitter_(document, options.passages) {
    target_ = splitter_.target();
    max_ = splitter_.max();
  }

  void run() {
    for (const Block& block : document_.blocks) {
      if (full_) break;
      if (block.kind == BlockKind::kHeading) {
        heading(block);
      } else if (block.kind != BlockKind::kHidden) {
        content(block);
      }
    }
    flush();
    heading_alone();
    if (full_) {
      note_.warnings.push_back(
          fmt::format("more than {} passages: the rest is not indexed", options_.max_passages));
    }
  }

  void plain(std::size_t begin, std::size_t end, Passage::Kind kind) {
    emit_split(begin, end, begin, kind, BlockKind::kCode);
  }

 private:
  struct Open {
    std::string text;
    std::uint8_t level = 0;
  };

  void heading(const Block& block) {
    flush();
    // A heading right above a deeper one goes with it; any other stands alone.
    if (pending_ != kNone && block.level <= path_.back().level) heading_alone();
    while (!path_.empty() && path_.back().level >= block.level) path_.pop_back();
    std::string text;
    for (std::uint32_t i = block.first; i <= block.last; ++i) {
      const std::string_view part = document_.plain_of(document_.lines[i]);
      if (part.empty()) continue;
      if (!text.empty()) text += ' ';
      text += part;
    }
    note_.headings.push_back(
        {.level = block.level, .text = text, .line = document_.number(block.first)});
    path_.push_back({.text = std::move(text), .level = block.level});
    if (path_.size() > kHeadingDepth) path_.erase(path_.begin());
    if (pending_ == kNone) pending_ = block.first;
    pending_last_ = block.last;
  }

  void heading_alone() {
    if (pending_ == kNone) return;
    std::string plain = path_.empty() ? std::string() : path_.back().text;
    if (!plain.empty()) emit(pending_, pending_last_, Passage::Kind::kProse, std::move(plain));
    pending_ = kNone;
  }

  void content(const Block& block) {
    const std::uint32_t tokens = splitter_.tokens(block.first, block.last + 1);
    if (tokens == 0) {
      // "^id" on its own line belongs to the block before it.
      if (group_first_ != kNone) group_last_ = block.last;
      return;
    }
    if (tokens > max_) {
      // A short lead-in stays with the beginning of what it introduces.
      std::size_t first = block.first;
      if (group_first_ != kNone && group_tokens_ <= kSmallTokens && same_place(block)) {
        first = group_first_;
        group_first_ = kNone;
      } else {
        flush();
      }
      emit_split(first, block.last + 1, take_first(first), passage_kind(block.kind), block.kind);
      return;
    }
    const std::uint32_t total = group_tokens_ + tokens;
    const bool joins =
        group_first_ != kNone && same_place(block) &&
        (total <= target_ || (total <= max_ && (tokens <= kSmallTokens ||
                                                group_tokens_ <= kSmallTokens || introduces())));
    if (!joins) {
      flush();
      group_first_ = block.first;
      group_kind_ = block.kind;
      group_tokens_ = 0;
    } else if (group_kind_ != block.kind) {
      group_kind_ = BlockKind::kParagraph;
    }
    group_last_ = block.last;
    group_tokens_ += tokens;
  }

  /// A passage stands on one page: its citation names it.
  bool same_place(const Block& block) const {
    return document_.place(group_first_) == document_.place(block.first);
  }

  /// "Do this:" and the list after it are one thought.
  bool introduces() const {
    for (std::size_t i = group_last_ + 1; i-- > group_first_;) {
      const std::string_view plain = document_.plain_of(document_.lines[i]);
      if (!plain.empty()) return plain.back() == ':';
    }
    return false;
  }

  std::size_t take_first(std::size_t first) {
    if (pending_ == kNone) return first;
    const std::size_t begin = pending_;
    pending_ = kNone;
    return begin;
  }

  void flush() {
    if (group_first_ == kNone) return;
    const std::size_t content = group_first_;
    group_first_ = kNone;
    const std::size_t first = take_first(content);
    emit(first, group_last_, passage_kind(group_kind_), splitter_.plain(content, group_last_ + 1));
    group_tokens_ = 0;
  }

  void emit_split(std::size_t begin, std::size_t end, std::size_t text_begin, Passage::Kind kind,
                  BlockKind block) {
    splitter_.split(begin, end, block, [&](const Splitter::Piece& piece) {
      if (full_) return false;
      if (piece.within_line) {
        // The heading above a cut line belongs to its first piece.
        emit(piece.first == begin ? text_begin : piece.first, piece.last, kind, piece.plain,
             piece.text);
      } else {
        emit(piece.first == begin ? text_begin : piece.first, piece.last, kind, piece.plain);
      }
      text_begin = begin;
      return true;
    });
    group_tokens_ = 0;
  }

  void emit(std::size_t first, std::size_t last, Passage::Kind kind, std::string plain,
            std::string_view piece = {}) {
    if (note_.passages.size() >= options_.max_passages) {
      full_ = true;
      return;
    }
    Passage passage{.kind = kind, .headings = outer_};
    for (const Open& open : path_) {
      if (!open.text.empty()) passage.headings.push_back(open.text);
    }
    passage.lines = {.first = document_.number(first), .last = document_.number(last)};
    passage.place = document_.place(last);  // headings may stand on the page before
    if (piece.empty()) {
      passage.text = splitter_.text(first, last + 1);
    } else {
      // The same line range as its neighbours, but only its own part of the line.
      passage.text = first < last ? splitter_.text(first, last) + "\n" + std::string(piece)
                                  : std::string(piece);
    }
    passage.plain = std::move(plain);
    const auto& marks = document_.block_marks;
    const auto mark =
        std::lower_bound(marks.begin(), marks.end(), first,
                         [](const BlockMark& a, std::size_t line) { return a.line < line; });
    if (mark != marks.end() && mark->line <= last) passage.block = mark->id;
    note_.passages.push_back(std::move(passage));
  }

  const Document& document_;
  const ParseOptions& options_;
  const std::vector<std::string>& outer_;
  Note& note_;
  Splitter splitter_;
  std::uint32_t target_ = 0;
  std::uint32_t max_ = 0;
  std::vector<Open> path_;
  std::size_t pending_ = kNone;  ///< First line of headings that have no text yet.
  std::size_t pending_last_ = 0;
  std::size_t group_first_ = kNone;
  std::size_t group_last_ = 0;
  std::uint32_t group_tokens_ = 0;
  BlockKind group_kind_ = BlockKind::kParagraph;
  bool full_ = false;
};

}  // namespace

void build_passages(const Document& document, const ParseOptions& options,
                    const std::vector<std::string>& outer, Note& note) {
  Builder(document, options, outer, note).run();
}

void build_plain_passages(const Document& document, std::size_t begin, std::size_t end,
                          Passage::Kind kind, const ParseOptions& options, Note& note) {
  static const std::vector<std::string> kNoHeadings;
  Builder(document, options, kNoHeadings, note).plain(begin, end, kind);
}

}  // namespace knap::vault
