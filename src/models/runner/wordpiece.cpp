#include "runner/wordpiece.hpp"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <optional>

#include "knap/base/assert.hpp"
#include "knap/base/file.hpp"
#include "knap/base/text.hpp"

namespace knap::models::runner {
namespace {

constexpr std::uint64_t kVocabularyBytesMax = 16U << 20;
constexpr std::size_t kPiecesMax = 1'000'000;
constexpr std::size_t kWordCodePointsMax =
    100;  // longer words are unknown, as in the model's own tokenizer
constexpr std::size_t kDecomposedMax = 16;  // the longest canonical decomposition has 4 code points

enum class CharClass { kDrop, kSpace, kPunctuation, kHan, kLetter };

bool is_han(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
         (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

CharClass classify_ascii(char32_t c) {
  if (c == '\t' || c == '\n' || c == '\r' || c == ' ') return CharClass::kSpace;
  if (c < 0x20 || c == 0x7F) return CharClass::kDrop;
  const bool letter = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
  return letter ? CharClass::kLetter : CharClass::kPunctuation;
}

CharClass classify(char32_t c) {
  if (c < 0x80) return classify_ascii(c);
  if (c == 0xFFFD) return CharClass::kDrop;
  if (is_han(c)) return CharClass::kHan;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CS: return CharClass::kDrop;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP: return CharClass::kSpace;
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO: return CharClass::kPunctuation;
    default: return CharClass::kLetter;
  }
}

}  // namespace

/// The state of one encode(): the word being gathered and the ids so far.
class Wordpiece::Encoder {
 public:
  Encoder(const Wordpiece& tokenizer, std::size_t max_tokens)
      : tokenizer_(tokenizer), max_tokens_(max_tokens) {
    tokens_.ids.push_back(tokenizer.begin_);
  }

  Tokens encode(std::string_view text) {
    for (std::size_t offset = 0; offset < text.size() && !tokens_.cut;) {
      const auto byte = static_cast<unsigned char>(text[offset]);
      if (byte < 0x80) {
        ++offset;
        add_ascii(byte);
      } else {
        add(text::decode(text, offset));
      }
    }
    flush();
    tokens_.ids.push_back(tokenizer_.end_);
    return std::move(tokens_);
  }

 private:
  void add_ascii(char32_t c) {
    switch (classify_ascii(c)) {
      case CharClass::kLetter: extend(c >= 'A' && c <= 'Z' ? c + 32 : c); break;
      case CharClass::kSpace: flush(); break;
      case CharClass::kDrop: break;
      case CharClass::kPunctuation:
      case CharClass::kHan: alone(c); break;
    }
  }

  void add(char32_t c) {
    switch (classify(c)) {
      case CharClass::kDrop: return;
      case CharClass::kSpace: flush(); return;
      case CharClass::kHan:
        flush();  // what it decomposes into is Han again and stands alone too
        break;
      case CharClass::kPunctuation:
      case CharClass::kLetter: break;
    }
    // Accents are stripped by canonical decomposition; what it yields is classified anew, since a
    // letter may decompose into punctuation.
    std::array<utf8proc_int32_t, kDecomposedMax> parts{};
    const auto count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), parts.data(),
                                               kDecomposedMax, UTF8PROC_DECOMPOSE, nullptr);
    for (utf8proc_ssize_t i = 0; i < std::min<utf8proc_ssize_t>(count, kDecomposedMax); ++i) {
      const utf8proc_int32_t part = parts[static_cast<std::size_t>(i)];
      if (utf8proc_category(part) == UTF8PROC_CATEGORY_MN) continue;
      const auto lower = static_cast<char32_t>(utf8proc_tolower(part));
      switch (classify(lower)) {
        case CharClass::kPunctuation:
        case CharClass::kHan: alone(lower); break;
        case CharClass::kSpace: flush(); break;
        case CharClass::kDrop: break;
        case CharClass::kLetter: extend(lower); break;
      }
    }
  }

  void extend(char32_t c) {
    if (++code_points_ <= kWordCodePointsMax) text::append(word_, c);
  }

  void alone(char32_t c) {
    flush();
    extend(c);
    flush();
  }

  void flush() {
    if (code_points_ > kWordCodePointsMax) {
      push(tokenizer_.unknown_);
    } else if (code_points_ > 0) {
      cut_into_pieces();
    }
    word_.clear();
    code_points_ = 0;
  }

  void cut_into_pieces() {
    const std::size_t before = pieces_.size();
    KNAP_ASSERT(before == 0);
    for (std::size_t at = 0; at < word_.size();) {
      const auto& pieces = at == 0 ? tokenizer_.starts_ : tokenizer_.continues_;
      std::size_t length = std::min(word_.size() - at, tokenizer_.longest_bytes_);
      std::optional<std::int32_t> id;
      for (; length > 0; --length) {
        const auto found = pieces.find(std::string_view(word_).substr(at, length));
        if (found == pieces.end()) continue;
        id = found->second;
        break;
      }
      if (!id) {  // one part unknown: the whole word is
        pieces_.assign(1, tokenizer_.unknown_);
        break;
      }
      pieces_.push_back(*id);
      at += length;
    }
    for (const std::int32_t piece : pieces_) push(piece);
    pieces_.clear();
  }

  void push(std::int32_t id) {
    if (tokens_.ids.size() + 1 < max_tokens_) {  // one place is kept for [SEP]
      tokens_.ids.push_back(id);
    } else {
      tokens_.cut = true;
    }
  }

  const Wordpiece& tokenizer_;
  const std::size_t max_tokens_;
  Tokens tokens_;
  std::string word_;
  std::size_t code_points_ = 0;
  std::vector<std::int32_t> pieces_;
};

Result<Wordpiece> Wordpiece::parse(std::string vocabulary) {
  if (vocabulary.size() > kVocabularyBytesMax) {
    return make_error(ErrorCode::kCorruptData, "the vocabulary is too large");
  }
  Wordpiece result;
  result.text_ = std::make_unique<const std::string>(std::move(vocabulary));
  const std::string_view all = *result.text_;
  result.starts_.reserve(32'000);
  result.continues_.reserve(8'000);
  std::int32_t id = 0;
  for (std::size_t at = 0; at < all.size(); ++id) {
    const std::size_t end = std::min(all.find('\n', at), all.size());
    std::string_view line = all.substr(at, end - at);
    at = end + 1;
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (static_cast<std::size_t>(id) >= kPiecesMax) {
      return make_error(ErrorCode::kCorruptData, "the vocabulary has too many pieces");
    }
    const bool continues = line.size() > 2 && line.starts_with("##");
    if (continues) line.remove_prefix(2);
    if (line.empty()) continue;
    (continues ? result.continues_ : result.starts_).try_emplace(line, id);
    result.longest_bytes_ = std::max(result.longest_bytes_, line.size());
  }
  result.size_ = static_cast<std::size_t>(id);
  for (const auto& [piece, target] :
       {std::pair{"[UNK]", &result.unknown_}, std::pair{"[CLS]", &result.begin_},
        std::pair{"[SEP]", &result.end_}, std::pair{"[PAD]", &result.pad_}}) {
    const auto found = result.starts_.find(piece);
    if (found == result.starts_.end()) {
      return make_error(ErrorCode::kCorruptData, fmt::format("the vocabulary has no {}", piece));
    }
    *target = found->second;
  }
  return result;
}

Result<Wordpiece> Wordpiece::open(const std::filesystem::path& vocabulary_file) {
  KNAP_TRY(std::string bytes, read_file(vocabulary_file, kVocabularyBytesMax));
  auto parsed = parse(std::move(bytes));
  if (!parsed) return with_context(std::move(parsed).error(), vocabulary_file.filename().string());
  return parsed;
}

Tokenizer::Tokens Wordpiece::encode(std::string_view text, std::size_t max_tokens) const {
  KNAP_ASSERT(max_tokens >= 2);
  return Encoder(*this, max_tokens).encode(text);
}

}  // namespace knap::models::runner
