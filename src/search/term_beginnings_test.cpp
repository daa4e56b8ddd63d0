#include "term_beginnings.hpp"

#include <gtest/gtest.h>

namespace knap::search {
namespace {

bool may_be(std::string_view word, std::string_view term, std::string_view language) {
  TermBeginnings beginnings(language_of(language));
  beginnings.add(term);
  return beginnings.may_be_term(word);
}

TEST(TermBeginnings, NoWordIsPassedByThatGivesTheTerm) {
  const std::pair<std::string_view, std::string_view> words[] = {
      {"en", "Notes"},
      {"en", "\u00C9lan"},
      {"de", "\u00DCbungen"},
      {"tr", "\u015Earks\u0131"},
      {"tr", "\u0130zmir"},
      {"tr", "\u0131l\u0131k"},
      {"pl", "\u0141\u00F3d\u017A"},
      {"vi", "\u1EA8n"},
      {"ru", "\u0419\u043E\u0434"},
      {"ru", "\u0401\u043B\u043A\u0430"},
      {"el", "\u0386\u03BD\u03B8\u03C1\u03C9\u03C0\u03BF\u03C2"},
      {"zh", "\u77E5\u8BC6"},
      {"ja", "\u30AB\u3099"},
      {"ko", "\uD55C\uAE00"},
      {"hi", "\u0939\u093F\u0928\u094D\u0926\u0940"},
      {"ar", "\u0627\u0653"},
      {"en", "\uFB01le"},
      {"en", "\u01C6aba"},
      {"nl", "\u0132s"},
      {"en", "a\u0301b"},
      {"en", "\u2126m"},
      {"en", "e\u0301lan"}};
  for (const auto& [language, word] : words) {
    const Token token{word, 0, TokenKind::kWord};
    const std::string term = make_term(token, language_of(language));
    EXPECT_TRUE(may_be(word, term, language)) << language << " " << word << " -> " << term;
  }
}

TEST(TermBeginnings, OthersArePassedBy) {
  EXPECT_FALSE(may_be("\u015Earks\u0131", "note", "tr"));
  EXPECT_FALSE(may_be("\u77E5\u8BC6", "note", "zh"));
  EXPECT_FALSE(may_be("\u77E5\u8BC6", "\u8BC6", "zh"));
  EXPECT_FALSE(may_be("\u0419\u043E\u0434", "\u043D\u043E\u0442", "ru"));
  EXPECT_TRUE(may_be("\u015Earks\u0131", "note", "id")) << "its stemmer takes beginnings away";
}

}  // namespace
}  // namespace knap::search
