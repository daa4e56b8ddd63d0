#include <algorithm>

#include "analyser.hpp"
#include "knap/base/text.hpp"
#include "knap/search/index.hpp"
#include "term_beginnings.hpp"

namespace knap::search {
namespace {

constexpr std::size_t kTermsMax = 64;  ///< One bit each.
/// Passages are cut to the window of the embedding model; anything longer is not prose.
constexpr std::size_t kSourceMax = 64U << 10;

/// Whether what stands between two words ends a sentence: a line's end, a full stop before white
/// space, or a full stop of scripts without spaces.
bool ends_sentence(std::string_view gap) {
  static constexpr std::string_view kWide[] = {"\xE3\x80\x82", "\xEF\xBC\x81", "\xEF\xBC\x9F"};
  for (std::size_t i = 0; i < gap.size(); ++i) {
    const char c = gap[i];
    if (c == '\n') return true;
    if ((c == '.' || c == '!' || c == '?') && i + 1 < gap.size() &&
        (gap[i + 1] == ' ' || gap[i + 1] == '\n' || gap[i + 1] == '\r'))
      return true;
    for (const std::string_view mark : kWide)
      if (gap.substr(i, mark.size()) == mark) return true;
  }
  return false;
}

/// Adds up the weights of the different terms in each sentence.
class Sentences {
 public:
  Sentences(std::span<const TermWeight> terms, Language language)
      : terms_(terms), language_(language), beginnings_(language) {
    for (const TermWeight& term : terms) {
      beginnings_.add(term.term);
      all_ += term.weight;
    }
  }

  /// The text's end ends a sentence.
  void read(std::string_view text) {
    std::size_t last_end = 0;
    for_each_token(text, [&](const Token& token) {
      const auto begin = static_cast<std::size_t>(token.source.data() - text.data());
      if (begin > last_end && ends_sentence(text.substr(last_end, begin - last_end))) end();
      last_end = std::max(last_end, begin + token.source.size());
      if (beginnings_.may_be_term(token.source)) add(token);
    });
    if (inherited_) end();
  }
  /// What was read so far belongs to each sentence that follows.
  void inherit() {
    held_first_ = held_;
    seen_first_ = seen_;
    inherited_ = true;
    best_ = held_;
  }
  float best() const { return all_ > 0 ? std::clamp(best_ / all_, 0.0F, 1.0F) : 0; }

 private:
  void add(const Token& token) {
    make_term(token, language_, scratch_);
    for (std::size_t i = 0; i < terms_.size(); ++i) {
      if (terms_[i].term != scratch_ || (seen_ >> i & 1U) != 0) continue;
      seen_ |= std::uint64_t{1} << i;
      held_ += terms_[i].weight;
      return;
    }
  }
  void end() {
    if (!inherited_) return;
    best_ = std::max(best_, held_);
    held_ = held_first_;
    seen_ = seen_first_;
  }

  const std::span<const TermWeight> terms_;
  const Language language_;
  TermBeginnings beginnings_;
  float all_ = 0, held_ = 0, held_first_ = 0, best_ = 0;
  std::uint64_t seen_ = 0, seen_first_ = 0;
  bool inherited_ = false;
  std::string scratch_;
};

}  // namespace

float best_sentence_share(std::string_view plain, std::span<const std::string> names,
                          std::span<const TermWeight> terms, std::string_view language) {
  Sentences sentences(terms.first(std::min(terms.size(), kTermsMax)), language_of(language));
  for (const std::string& name : names) sentences.read(name);
  sentences.inherit();
  sentences.read(text::truncate(plain, kSourceMax));
  return sentences.best();
}

}  // namespace knap::search
