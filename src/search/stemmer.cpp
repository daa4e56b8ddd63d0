#include "stemmer.hpp"

#include <array>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

#include <libstemmer.h>

#include "knap/base/hash.hpp"

namespace knap::search {
namespace {

struct Row {
  std::string_view code;
  const char* algorithm;
};

/// ISO 639-1 codes of Snowball's languages. The order gives Language its values, which search
/// snapshots hold: another order needs another kSnapshotVersion.
constexpr Row kRows[] = {
    {"", "english"},      {"en", "english"},    {"de", "german"},     {"fr", "french"},
    {"es", "spanish"},    {"it", "italian"},    {"pt", "portuguese"}, {"nl", "dutch"},
    {"ru", "russian"},    {"sv", "swedish"},    {"da", "danish"},     {"no", "norwegian"},
    {"nb", "norwegian"},  {"nn", "norwegian"},  {"fi", "finnish"},    {"hu", "hungarian"},
    {"ro", "romanian"},   {"tr", "turkish"},    {"ca", "catalan"},    {"el", "greek"},
    {"ar", "arabic"},     {"id", "indonesian"}, {"eu", "basque"},     {"ga", "irish"},
    {"lt", "lithuanian"}, {"hi", "hindi"},      {"ta", "tamil"},      {"ne", "nepali"},
    {"hy", "armenian"},   {"sr", "serbian"},    {"*", "english"},
};
constexpr auto kOther = static_cast<Language>(std::size(kRows) - 1);
static_assert(std::size(kRows) <= kLanguagesMax);

/// Words come again: most stems are found in a table by hash, where a newer word takes an older
/// one's place.
class StemTable {
 public:
  /// @return whether the stem was known; `word` is the stem then
  bool find(Language language, std::string& word) const {
    if (word.size() > kWordBytes) return false;
    const Entry& entry = entries_[slot(language, word)];
    if (entry.language != language || entry.word() != word) return false;
    word.assign(entry.stem.data(), entry.stem_bytes);
    return true;
  }
  void add(Language language, std::string_view word, std::string_view stem) {
    if (word.empty() || word.size() > kWordBytes || stem.size() > kWordBytes) return;
    Entry& entry = entries_[slot(language, word)];
    entry.language = language;
    entry.word_bytes = static_cast<std::uint8_t>(word.size());
    entry.stem_bytes = static_cast<std::uint8_t>(stem.size());
    std::memcpy(entry.text.data(), word.data(), word.size());
    std::memcpy(entry.stem.data(), stem.data(), stem.size());
  }

 private:
  static constexpr std::size_t kWordBytes = 24, kEntries = 4096;
  struct Entry {
    Language language{};
    std::uint8_t word_bytes = 0, stem_bytes = 0;
    std::array<char, kWordBytes> text{}, stem{};
    std::string_view word() const { return {text.data(), word_bytes}; }
  };
  static std::size_t slot(Language language, std::string_view word) {
    return (hash64(word) + static_cast<std::size_t>(language)) % kEntries;
  }
  std::vector<Entry> entries_{kEntries};
};

struct Deleter {
  void operator()(sb_stemmer* stemmer) const { sb_stemmer_delete(stemmer); }
};

}  // namespace

Language language_of(std::string_view iso_code) {
  // "de-AT" is stemmed as "de".
  const std::string_view code = iso_code.substr(0, iso_code.find_first_of("-_"));
  for (std::size_t i = 1; i < std::size(kRows); ++i)
    if (kRows[i].code == code) return static_cast<Language>(i);
  return code.empty() ? Language::kUnknown : kOther;
}

bool has_stemmer(Language language) { return language != Language::kUnknown && language != kOther; }

bool keeps_beginnings(Language language) {
  static const std::uint32_t kTaken =
      bit(language_of("id")) | bit(language_of("ga")) | bit(language_of("ar"));
  return (bit(language) & kTaken) == 0;
}

bool stems_before_folding(Language language) {
  static const std::uint32_t kBefore =
      bit(language_of("ru")) | bit(language_of("hi")) | bit(language_of("ne"));
  return (bit(language) & kBefore) != 0;
}

void stem(Language language, std::string& word) {
  thread_local StemTable known;
  if (known.find(language, word)) return;
  thread_local std::array<std::unique_ptr<sb_stemmer, Deleter>, kLanguagesMax> stemmers;
  auto& stemmer = stemmers[static_cast<std::size_t>(language)];
  if (!stemmer)
    stemmer.reset(sb_stemmer_new(kRows[static_cast<std::size_t>(language)].algorithm, nullptr));
  if (!stemmer) return;
  const sb_symbol* stemmed =
      sb_stemmer_stem(stemmer.get(), reinterpret_cast<const sb_symbol*>(word.data()),
                      static_cast<int>(word.size()));
  if (stemmed == nullptr) return;
  const int length = sb_stemmer_length(stemmer.get());
  if (length <= 0) return;
  const std::string_view text(reinterpret_cast<const char*>(stemmed),
                              static_cast<std::size_t>(length));
  known.add(language, word, text);
  word.assign(text);
}

}  // namespace knap::search
