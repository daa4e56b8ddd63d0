#include <algorithm>
#include <array>
#include <string>
#include <unordered_map>

#include "knap/base/text.hpp"
#include "parts.hpp"

namespace knap::vault {
namespace {

constexpr std::size_t kSampleBytes = 4096;
constexpr std::size_t kLettersMin = 12;  ///< Fewer letters of a script say nothing.

enum Script : std::size_t {
  kLatin,
  kCyrillic,
  kGreek,
  kArabic,
  kHebrew,
  kThai,
  kDevanagari,
  kBengali,
  kTamil,
  kGeorgian,
  kArmenian,
  kHan,
  kKana,
  kHangul,
  kScripts
};

Script script_of(char32_t c) {
  struct Range {
    char32_t first, last;
    Script script;
  };
  constexpr std::array<Range, 20> kRanges = {
      {{0x41, 0x5A, kLatin},        {0x61, 0x7A, kLatin},        {0xC0, 0x24F, kLatin},
       {0x370, 0x3FF, kGreek},      {0x400, 0x52F, kCyrillic},   {0x531, 0x58F, kArmenian},
       {0x591, 0x5F4, kHebrew},     {0x600, 0x6FF, kArabic},     {0x750, 0x77F, kArabic},
       {0x900, 0x97F, kDevanagari}, {0x980, 0x9FF, kBengali},    {0xB80, 0xBFF, kTamil},
       {0xE01, 0xE5B, kThai},       {0x10A0, 0x10FF, kGeorgian}, {0x1E00, 0x1EFF, kLatin},
       {0x1F00, 0x1FFF, kGreek},    {0x3040, 0x30FF, kKana},     {0x3400, 0x9FFF, kHan},
       {0xAC00, 0xD7A3, kHangul},   {0xFB50, 0xFDFF, kArabic}}};
  for (const Range& range : kRanges) {
    if (c < range.first) return kScripts;
    if (c <= range.last) return range.script;
  }
  return kScripts;
}

struct StopWords {
  std::string_view language;
  std::string_view words;
};
// Frequent words that tell a language from its neighbours; a word of several languages votes for
// each.
constexpr std::array<StopWords, 19> kLatinWords = {{
    {"en",
     "the of and to in is that for with as are this be on by it you can from or not have your "
     "which"},
    {"de",
     "der die das und ist nicht mit den von zu ein eine auf für im des dem sich auch wird als "
     "werden kann oder sie"},
    {"fr",
     "le la les des et est une un du dans pour que qui sur pas avec ce au par vous sont plus cette "
     "votre ou"},
    {"es",
     "el la los las de y en que un una es por con para se del al como más está su lo puede o"},
    {"it",
     "il di che la e è un una per in non con del della sono si le gli da come più nel questo al"},
    {"pt",
     "o a os as de e que do da em um uma para com não por no na se mais como você é ao são ou"},
    {"nl",
     "de het een en van is dat te in op niet met voor zijn je aan ook door als er maar of bij"},
    {"sv", "och att det som en på är av för med den till inte om ett har de kan du från"},
    {"da", "og at det som en på er af for med den til ikke om et har de kan du fra"},
    {"no", "og å det som en på er av for med den til ikke om et har de kan du fra"},
    {"fi", "ja on ei se että oli hän mutta ovat kun myös joka sen tai voi niin kuin tämä"},
    {"pl", "i w na z do się nie że to jest jak od po za o przez dla są lub może"},
    {"cs", "a v na se je že s z do o k pro jako by ale nebo není který jsou lze"},
    {"ro", "și în de la cu pe un o este care pentru nu sau din mai sunt poate ce"},
    {"hu", "a az és hogy nem egy is meg ez vagy de van csak lehet mint ha"},
    {"tr", "ve bir bu için ile de da olarak çok daha en gibi veya olan değil"},
    {"id", "yang dan di untuk dengan dari ini itu tidak dalam pada adalah atau anda ke"},
    {"vi", "và của là có không được trong cho một các với người này những để"},
    {"sq", "dhe në të e i që për me një nga është si ka ose do nuk"},
}};

const std::unordered_map<std::string_view, std::uint32_t>& votes() {
  static const auto* const kVotes = [] {
    auto* map = new std::unordered_map<std::string_view, std::uint32_t>;
    for (std::size_t language = 0; language < kLatinWords.size(); ++language) {
      std::string_view words = kLatinWords[language].words;
      while (!words.empty()) {
        const std::size_t space = words.find(' ');
        (*map)[words.substr(0, space)] |= 1U << language;
        words.remove_prefix(space == std::string_view::npos ? words.size() : space + 1);
      }
    }
    return map;
  }();
  return *kVotes;
}

std::string latin_language(std::string_view sample) {
  std::array<std::uint32_t, kLatinWords.size()> counts{};
  std::uint32_t words = 0;
  std::string word;
  const auto vote = [&] {
    if (word.empty()) return;
    ++words;
    if (const auto found = votes().find(word); found != votes().end()) {
      for (std::size_t language = 0; language < counts.size(); ++language)
        counts[language] += found->second >> language & 1U;
    }
    word.clear();
  };
  for (std::size_t i = 0; i < sample.size();) {
    const char c = sample[i];
    if (c >= 'A' && c <= 'Z') {
      word += static_cast<char>(c + ('a' - 'A'));
      ++i;
    } else if (c >= 'a' && c <= 'z') {
      word += c;
      ++i;
    } else if (static_cast<unsigned char>(c) >= 0x80) {
      const std::size_t begin = i;
      if (script_of(text::decode(sample, i)) == kLatin) {
        word += sample.substr(begin, i - begin);
      } else {
        vote();
      }
    } else {
      vote();
      ++i;
    }
  }
  vote();
  const auto best =
      static_cast<std::size_t>(std::max_element(counts.begin(), counts.end()) - counts.begin());
  // Two stop words, and one in twelve words: below that it is a list of names, or a language
  // unknown here.
  if (counts[best] < 2 || counts[best] * 12 < words) return {};
  return std::string(kLatinWords[best].language);
}

std::string cyrillic_language(std::string_view sample) {
  if (sample.find("і") != std::string_view::npos && sample.find("ї") != std::string_view::npos)
    return "uk";
  if (sample.find("ў") != std::string_view::npos) return "be";
  if (sample.find("ј") != std::string_view::npos || sample.find("ћ") != std::string_view::npos)
    return "sr";
  const bool russian =
      sample.find("ы") != std::string_view::npos || sample.find("э") != std::string_view::npos;
  return !russian && sample.find("ъ") != std::string_view::npos ? "bg" : "ru";
}

}  // namespace

std::string guess_language(std::string_view plain) {
  const std::string_view sample = text::truncate(plain, kSampleBytes);
  std::array<std::size_t, kScripts + 1> letters{};
  for (std::size_t i = 0; i < sample.size();) ++letters[script_of(text::decode(sample, i))];
  // An ideograph says as much as several letters.
  letters[kHan] *= 3;
  letters[kHangul] *= 3;
  letters[kKana] *= 3;
  const auto best = static_cast<std::size_t>(
      std::max_element(letters.begin(), letters.begin() + kScripts) - letters.begin());
  if (letters[best] < kLettersMin) return {};
  switch (static_cast<Script>(best)) {
    case kLatin: return latin_language(sample);
    case kCyrillic: return cyrillic_language(sample);
    case kGreek: return "el";
    case kArabic:
      return sample.find("پ") != std::string_view::npos ||
                     sample.find("چ") != std::string_view::npos ||
                     sample.find("گ") != std::string_view::npos
                 ? "fa"
                 : "ar";
    case kHebrew: return "he";
    case kThai: return "th";
    case kDevanagari: return "hi";
    case kBengali: return "bn";
    case kTamil: return "ta";
    case kGeorgian: return "ka";
    case kArmenian: return "hy";
    case kHan: return letters[kKana] * 10 > letters[kHan] ? "ja" : "zh";
    case kKana: return "ja";
    case kHangul: return "ko";
    case kScripts: break;
  }
  return {};
}

}  // namespace knap::vault
