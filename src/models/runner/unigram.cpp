#include "runner/unigram.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "knap/base/hash.hpp"
#include "knap/base/text.hpp"

namespace knap::models::runner {
namespace {

constexpr std::size_t kPiecesMax = 2'000'000;
constexpr std::size_t kPieceBytesMax = 256;
// Longer runs without a space are cut there: texts in scripts without spaces come in such runs, and
// a cut inside one changes a piece or two.
constexpr std::size_t kWordCodePointsMax = 512;
constexpr std::string_view kMark = "\xe2\x96\x81";  // U+2581 stands where a word begins
// An unknown character costs this much more than the rarest piece, as in SentencePiece.
constexpr float kUnknownPenalty = 10;

Error corrupt(std::string message) {
  return make_error(ErrorCode::kCorruptData, std::move(message));
}

}  // namespace

Result<std::unique_ptr<Unigram>> Unigram::make(Vocabulary vocabulary) {
  const std::size_t count = vocabulary.pieces.size();
  if (count == 0 || count > kPiecesMax || vocabulary.scores.size() != count)
    return corrupt("the vocabulary has no pieces, too many, or not one score for each");
  for (const std::int32_t special :
       {vocabulary.begin, vocabulary.end, vocabulary.pad, vocabulary.unknown}) {
    if (special < 0 || static_cast<std::size_t>(special) >= count)
      return corrupt("a special token lies outside the vocabulary");
  }
  auto result = std::unique_ptr<Unigram>(new Unigram(std::move(vocabulary)));
  const Vocabulary& words = result->vocabulary_;
  result->table_.resize(std::bit_ceil(count * 2));
  float lowest = 0;
  for (std::size_t id = 0; id < count; ++id) {
    const std::string_view piece = words.pieces[id];
    if (!std::isfinite(words.scores[id])) return corrupt("a score is no finite number");
    if (piece.size() > kPieceBytesMax) return corrupt("a piece is too long");
    lowest = std::min(lowest, words.scores[id]);
    // Pieces in angle brackets are marks of the model, never text.
    const bool special = piece.starts_with('<') && piece.ends_with('>') && piece.size() > 2;
    if (piece.empty() || special) continue;
    result->longest_bytes_ = std::max(result->longest_bytes_, piece.size());
    std::size_t at = hash64(piece) & (result->table_.size() - 1);
    while (result->table_[at] != 0) at = (at + 1) & (result->table_.size() - 1);
    result->table_[at] = static_cast<std::int32_t>(id + 1);
  }
  result->unknown_score_ = lowest - kUnknownPenalty;
  return result;
}

std::int32_t Unigram::find(std::string_view piece) const {
  const std::size_t mask = table_.size() - 1;
  for (std::size_t at = hash64(piece) & mask;; at = (at + 1) & mask) {
    const std::int32_t entry = table_[at];
    if (entry == 0) return -1;
    if (vocabulary_.pieces[static_cast<std::size_t>(entry - 1)] == piece) return entry - 1;
  }
}

/// The state of one encode(): the word being gathered and the ids so far.
class Unigram::Encoder {
 public:
  Encoder(const Unigram& tokenizer, std::size_t max_tokens)
      : tokenizer_(tokenizer), max_tokens_(max_tokens) {
    tokens_.ids.push_back(tokenizer.vocabulary_.begin);
    start_word();
  }

  Tokens encode(std::string_view text) {
    for (std::size_t offset = 0; offset < text.size() && !tokens_.cut;) {
      const char32_t c = text::decode(text, offset);
      const auto normal = tokenizer_.vocabulary_.normal.find(c);
      if (normal == tokenizer_.vocabulary_.normal.end()) {
        add(c);
      } else {
        for (const char32_t each : normal->second) add(each);
      }
    }
    end_word();
    tokens_.ids.push_back(tokenizer_.vocabulary_.end);
    return std::move(tokens_);
  }

 private:
  void start_word() {
    word_ = kMark;
    starts_.assign({0});
  }

  void add(char32_t c) {
    if (c == U' ') {
      end_word();
      return start_word();
    }
    starts_.push_back(word_.size());
    text::append(word_, c);
    if (starts_.size() < kWordCodePointsMax) return;
    end_word();
    word_.clear();
    starts_.clear();
  }

  // Best cut of word_: best_[i] is the score of its first i characters, reached by a piece from
  // from_[i].
  void end_word() {
    const std::size_t length = starts_.size();
    if (length == 0 || (length == 1 && word_ == kMark) || tokens_.cut) return;
    starts_.push_back(word_.size());
    best_.assign(length + 1, -std::numeric_limits<float>::infinity());
    from_.assign(length + 1, 0);
    piece_.assign(length + 1, -1);
    best_[0] = 0;
    for (std::size_t i = 0; i < length; ++i) {
      for (std::size_t end = i + 1; end <= length; ++end) {
        const std::size_t bytes = starts_[end] - starts_[i];
        if (bytes > tokenizer_.longest_bytes_) break;
        const std::int32_t id = tokenizer_.find({word_.data() + starts_[i], bytes});
        if (id >= 0) reach(end, i, id, tokenizer_.vocabulary_.scores[static_cast<std::size_t>(id)]);
      }
      reach(i + 1, i, -1, tokenizer_.unknown_score_);
    }
    path_.clear();
    for (std::size_t i = length; i > 0; i = from_[i]) path_.push_back(piece_[i]);
    for (std::size_t i = path_.size(); i-- > 0;) {
      const bool repeated = path_[i] < 0 && i + 1 < path_.size() && path_[i + 1] < 0;
      if (!repeated) push(path_[i] < 0 ? tokenizer_.vocabulary_.unknown : path_[i]);
    }
  }

  void reach(std::size_t end, std::size_t from, std::int32_t piece, float score) {
    if (best_[from] + score <= best_[end]) return;
    best_[end] = best_[from] + score;
    from_[end] = from;
    piece_[end] = piece;
  }

  void push(std::int32_t id) {
    if (tokens_.ids.size() + 1 >= max_tokens_) {
      tokens_.cut = true;
    } else {
      tokens_.ids.push_back(id);
    }
  }

  const Unigram& tokenizer_;
  const std::size_t max_tokens_;
  Tokens tokens_;
  std::string word_;
  std::vector<std::size_t> starts_;  ///< Where each character of word_ begins.
  std::vector<float> best_;
  std::vector<std::size_t> from_;
  std::vector<std::int32_t> piece_, path_;
};

Tokenizer::Tokens Unigram::encode(std::string_view text, std::size_t max_tokens) const {
  return Encoder(*this, max_tokens).encode(text);
}

}  // namespace knap::models::runner
