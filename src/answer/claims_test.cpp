#include <gtest/gtest.h>

#include "knap/answer/answer.hpp"

namespace knap::answer {
namespace {

Citation quote(std::uint32_t id, std::string text, std::string title = "") {
  Citation citation;
  citation.id = id;
  citation.quote = std::move(text);
  citation.title = std::move(title);
  return citation;
}

Verdict judge(std::string_view statement, std::string text, std::string_view language = "en",
              std::string title = "") {
  return check_claim(statement, {quote(1, std::move(text), std::move(title))}, language).verdict;
}

TEST(CheckClaim, SupportsTheQuoteItself) {
  const std::string text =
      "The bridge in Dresden was opened by Anna Weber in 1893 after four years.";
  const Claim claim = check_claim(text + " [1]", {quote(1, text)}, "en");
  EXPECT_EQ(claim.verdict, Verdict::kSupported);
  EXPECT_FLOAT_EQ(claim.score, 1);
  EXPECT_EQ(claim.citations, std::vector<std::uint32_t>{1});
}

TEST(CheckClaim, SupportsAPartInOtherForms) {
  EXPECT_EQ(judge("Anna Weber opened the bridge in 1893.",
                  "The bridge in Dresden was opened by Anna Weber in 1893 after four years."),
            Verdict::kSupported);
}

TEST(CheckClaim, RejectsAChangedNumber) {
  EXPECT_EQ(judge("The bridge was opened in 1894.", "The bridge was opened in 1893."),
            Verdict::kUnsupported);
  EXPECT_EQ(judge("It weighs 1000 tons.", "It weighs 1,000 tons."), Verdict::kSupported);
  EXPECT_EQ(judge("It has three arches.", "It has 3 arches."), Verdict::kSupported);
}

TEST(CheckClaim, RejectsANameThatTheQuoteLacks) {
  EXPECT_EQ(judge("The bridge was opened by Anna Schmidt in 1893.",
                  "The bridge was opened by Anna Weber in 1893."),
            Verdict::kUnsupported);
}

TEST(CheckClaim, DoubtsSwappedNames) {
  EXPECT_NE(judge("Bob Miller hired Alice Jones.", "Alice Jones hired Bob Miller."),
            Verdict::kSupported);
  EXPECT_EQ(judge("Bob Miller was hired by Alice Jones.", "Alice Jones hired Bob Miller."),
            Verdict::kSupported);
}

TEST(CheckClaim, RejectsTheOtherDirection) {
  EXPECT_EQ(judge("The new pump lowers the pressure in the tank.",
                  "The new pump increased the pressure in the tank."),
            Verdict::kUnsupported);
  EXPECT_EQ(judge("The treatment is ineffective against rust on steel.",
                  "The treatment is effective against rust on steel."),
            Verdict::kUnsupported);
  EXPECT_EQ(
      judge("In Dresden heavy rain in May increases the flow of the river Elbe near the harbour.",
            "In Dresden heavy rain in May changes the flow of the river Elbe near the harbour."),
      Verdict::kWeak)
      << "the quote tells no direction";
  EXPECT_EQ(judge("The pump increases the pressure.", "The pump increased the pressure at once."),
            Verdict::kSupported);
  EXPECT_EQ(judge("Der Umsatz stieg im Jahr 2020 in Dresden.",
                  "Der Umsatz sank im Jahr 2020 in Dresden.", "de"),
            Verdict::kUnsupported);
}

TEST(CheckClaim, DoubtsWhatTheQuoteOnlyAsks) {
  EXPECT_EQ(judge("The glue holds under water.", "We tested whether the glue holds under water."),
            Verdict::kWeak);
  EXPECT_EQ(judge("The glue holds under water.",
                  "The aim was to examine how the glue holds under "
                  "water."),
            Verdict::kWeak);
  EXPECT_EQ(judge("They tested whether the glue holds.", "We tested whether the glue holds."),
            Verdict::kSupported);
}

TEST(CheckClaim, RejectsAFlippedNegation) {
  EXPECT_EQ(judge("The valve is safe under pressure.", "The valve is not safe under pressure."),
            Verdict::kUnsupported);
  EXPECT_EQ(judge("The valve is never safe under pressure.", "The valve is safe under pressure."),
            Verdict::kUnsupported);
  EXPECT_EQ(judge("The valve isn't safe under pressure.", "The valve is not safe under pressure."),
            Verdict::kSupported);
  EXPECT_EQ(judge("Das Ventil ist sicher.", "Das Ventil ist nicht sicher.", "de"),
            Verdict::kUnsupported);
}

TEST(CheckClaim, LetsANegationElsewhereStand) {
  EXPECT_EQ(
      judge("The pump runs at night.", "The pump runs at night, and nobody may enter the cellar."),
      Verdict::kSupported);
}

TEST(CheckClaim, RejectsTheOpposite) {
  EXPECT_EQ(judge("Sales of the company increased in spring.",
                  "Sales of the company decreased in spring."),
            Verdict::kUnsupported);
}

TEST(CheckClaim, HoldsAStatementToTheClauseThatSpeaksOfIt) {
  const std::string fruit =
      "Eating more whole apples is linked to a lower risk of scurvy, whereas more apple juice is "
      "linked to a higher risk.";
  EXPECT_NE(judge("Eating whole apples increases the risk of scurvy.", fruit), Verdict::kSupported);
  const std::string drug =
      "The drug decreased the risk of nausea but was linked to an increased risk of bleeding.";
  EXPECT_EQ(judge("The drug increased the risk of bleeding.", drug), Verdict::kSupported);
  EXPECT_NE(judge("The drug decreased the risk of bleeding.", drug), Verdict::kSupported);
  const std::string denial =
      "There was no link with the other eight ailments; use of the drug was linked to bleeding.";
  EXPECT_NE(judge("Use of the drug was not linked to bleeding.", denial), Verdict::kSupported);
}

TEST(CheckClaim, HoldsAPrefixToTheWordBeforeIt) {
  const std::string text = "It is a grid-independent design that uses a battery-dependent pump.";
  EXPECT_NE(judge("It is a grid-dependent design.", text), Verdict::kSupported);
  EXPECT_EQ(judge("It is a grid-independent design.", text), Verdict::kSupported);
}

TEST(CheckClaim, DoubtsADenialThatTheQuoteDoesNotHold) {
  const std::string text =
      "The studies compared home readings of blood pressure with those by a monitor that a clinic "
      "gave to patients in spring and summer.";
  std::string claim = text;
  EXPECT_EQ(judge(claim, text), Verdict::kSupported);
  claim.insert(claim.find("home"), "inaccurate ");
  EXPECT_NE(judge(claim, text), Verdict::kSupported);
}

TEST(CheckClaim, ReadsFailingAndLackingAsDenials) {
  EXPECT_NE(judge("The pump started after the flood.", "The pump failed to start after the flood."),
            Verdict::kSupported);
  EXPECT_NE(judge("The valley has bridges.", "The valley lacks bridges."), Verdict::kSupported);
}

TEST(CheckClaim, CountsAWordOnce) {
  EXPECT_NE(judge("The file was skipped because the file was skipped by the indexing engine.",
                  "Skipped: the file is too large."),
            Verdict::kSupported);
}

TEST(CheckClaim, SaysNothingOnTheWordOfATitleAlone) {
  EXPECT_NE(
      judge("The licence is a model catalogue of the village museum.",
            "The licence is shown beside each one.", "en", "Model catalogue of the village museum"),
      Verdict::kSupported);
}

TEST(CheckClaim, CallsAParaphraseWeak) {
  EXPECT_EQ(judge("The castle was constructed for the wealthy duke near the river.",
                  "The castle was built for the rich duke near the river."),
            Verdict::kWeak);
}

TEST(CheckClaim, RejectsAnotherSubject) {
  EXPECT_EQ(judge("Cats sleep all day on warm stones.", "The castle was built for the duke."),
            Verdict::kUnsupported);
}

TEST(CheckClaim, TakesTheSubjectFromTheTitle) {
  EXPECT_EQ(
      judge("The program Knap supports tables.", "It supports tables.", "en", "The program Knap"),
      Verdict::kSupported);
}

TEST(CheckClaim, ChoosesTheBestQuoteWithoutMark) {
  const Claim claim = check_claim(
      "The tower is 40 metres high.",
      {quote(1, "The bridge is 20 metres long."), quote(2, "The tower is 40 metres high.")}, "en");
  EXPECT_EQ(claim.verdict, Verdict::kSupported);
  EXPECT_EQ(claim.citations, std::vector<std::uint32_t>{2});
}

TEST(CheckClaim, HoldsAMarkedStatementToItsQuote) {
  const Claim claim = check_claim(
      "The tower is 40 metres high. [1]",
      {quote(1, "The bridge is 20 metres long."), quote(2, "The tower is 40 metres high.")}, "en");
  EXPECT_EQ(claim.verdict, Verdict::kUnsupported);
}

TEST(CheckClaim, JoinsSeveralMarkedQuotes) {
  const Claim claim = check_claim(
      "The tower is 40 metres high and the bridge 20 metres long. [1][2]",
      {quote(1, "The bridge is 20 metres long."), quote(2, "The tower is 40 metres high.")}, "en");
  EXPECT_EQ(claim.verdict, Verdict::kSupported);
}

TEST(CheckClaim, SupportsNothingEmpty) {
  EXPECT_EQ(judge("Yes.", "The tower is high."), Verdict::kUnsupported);
  EXPECT_EQ(check_claim("The tower is high.", {}, "en").verdict, Verdict::kUnsupported);
  EXPECT_EQ(judge("", ""), Verdict::kUnsupported);
}

}  // namespace
}  // namespace knap::answer
