#include "stemmer.hpp"

#include <array>
#include <cstring>
#include <memory>

#include <libstemmer.h>

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

bool stems_before_folding(Language language) {
  static const std::uint32_t kBefore =
      bit(language_of("ru")) | bit(language_of("hi")) | bit(language_of("ne"));
  return (bit(language) & kBefore) != 0;
}

void stem(Language language, std::string& word) {
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
  if (length > 0)
    word.assign(reinterpret_cast<const char*>(stemmed), static_cast<std::size_t>(length));
}

}  // namespace knap::search
