#include "meaning.hpp"

#include <thread>

#include <gtest/gtest.h>

#include "fakes.hpp"

namespace knap::answer {
namespace {

using std::chrono::milliseconds;

class SentenceMeaningsTest : public ::testing::Test {
 protected:
  SentenceMeaningsTest() {
    for (int i = 0; i < 20; ++i)
      vault_.add_note("n" + std::to_string(i) + ".md", "Note",
                      "The bridge number " + std::to_string(i) + " is made of steel.");
    index::SearchRequest request;
    request.text = "Which bridge is made of steel?";
    request.limit = 20;
    found_ = *vault_.search(request, Deadline::never(), cancel_);
  }

  Evidence evidence() const {
    return gather_evidence("Which bridge is made of steel?", "", found_.hits,
                           [](std::string_view) { return 1.0F; });
  }
  FakeEmbedder embedder(milliseconds per_sentence) {
    return FakeEmbedder(2, [this, per_sentence](std::string_view) {
      std::this_thread::sleep_for(per_sentence);
      ++embedded_;
      return std::vector<float>{1, 0};
    });
  }

  FakeService vault_;
  index::SearchOutcome found_;
  CancelToken cancel_;
  std::size_t embedded_ = 0;
};

TEST_F(SentenceMeaningsTest, ComparesAllWhereTheMachineIsFast) {
  SentenceMeanings meanings;
  FakeEmbedder fast = embedder(milliseconds(0));
  Evidence all = evidence();
  EXPECT_EQ(meanings.add_cosines(all, fast, {1, 0}, Deadline::after(milliseconds(5000)), cancel_),
            "");
  EXPECT_EQ(embedded_, SentenceMeanings::kMaxSentences);
}

TEST_F(SentenceMeaningsTest, ComparesFewerWhereItIsSlow) {
  SentenceMeanings meanings;
  FakeEmbedder slow = embedder(milliseconds(40));
  for (int question = 0; question < 3; ++question) {
    embedded_ = 0;
    Evidence some = evidence();
    EXPECT_EQ(meanings.add_cosines(some, slow, {1, 0}, Deadline::after(milliseconds(300)), cancel_),
              "");
    EXPECT_GE(embedded_, 2U);
    EXPECT_LT(embedded_, SentenceMeanings::kMaxSentences);
    EXPECT_FLOAT_EQ(some.candidates.front().cosine, 1);
  }
}

TEST_F(SentenceMeaningsTest, LeavesTheEvidenceAsItWasWhenNothingCanBeCompared) {
  SentenceMeanings meanings;
  FakeEmbedder broken = embedder(milliseconds(0));
  broken.set_failure(make_error(ErrorCode::kUnavailable, "starting"));
  Evidence none = evidence();
  const std::string reason =
      meanings.add_cosines(none, broken, {1, 0}, Deadline::after(milliseconds(300)), cancel_);
  EXPECT_NE(reason.find("starting"), std::string::npos);
  for (const Candidate& candidate : none.candidates) EXPECT_LT(candidate.cosine, 0);
}

}  // namespace
}  // namespace knap::answer
