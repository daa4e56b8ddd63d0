#include "keep_local.hpp"

#include <gtest/gtest.h>

namespace knap::answer {
namespace {

using models::Reach;

Reach reach(const std::string& path, std::vector<std::string> tags, const LocalOnly& rules) {
  Quote quote;
  quote.citation.vault = "notes";
  quote.citation.path = path;
  index::SearchHit hit;
  hit.passage.vault = "notes";
  hit.passage.path = path;
  hit.passage.tags = std::move(tags);
  return reach_of({quote}, {hit}, rules);
}

TEST(KeepLocal, KeepsNotesByTagAndWhatIsNestedBelowIt) {
  const LocalOnly usual;
  EXPECT_EQ(reach("A.md", {"work"}, usual), Reach::kAnywhere);
  EXPECT_EQ(reach("A.md", {"work", "local-only"}, usual), Reach::kThisMachine);
  EXPECT_EQ(reach("A.md", {"Local-Only/Health"}, usual), Reach::kThisMachine);
  EXPECT_EQ(reach("A.md", {"local-only-not"}, usual), Reach::kAnywhere);
  EXPECT_EQ(reach("A.md", {"private"}, {.tags = {"#Private"}, .folders = {}}), Reach::kThisMachine);
}

TEST(KeepLocal, KeepsNotesByFolder) {
  const LocalOnly rules{.tags = {}, .folders = {"Journal/", "other:Work", "notes:Home"}};
  EXPECT_EQ(reach("Journal/2026/May.md", {}, rules), Reach::kThisMachine);
  EXPECT_EQ(reach("Journals/May.md", {}, rules), Reach::kAnywhere);
  EXPECT_EQ(reach("Work/Plan.md", {}, rules), Reach::kAnywhere) << "of another vault";
  EXPECT_EQ(reach("Home/Plan.md", {}, rules), Reach::kThisMachine);
  EXPECT_EQ(reach("A.md", {}, {.tags = {}, .folders = {"notes:"}}), Reach::kThisMachine);
}

TEST(KeepLocal, KeepsAllForOneNoteAndWhatIsOfUnknownOrigin) {
  Quote open, kept;
  open.citation.path = "A.md";
  kept.citation.path = "B.md";
  index::SearchHit of_open, of_kept;
  of_open.passage.path = "A.md";
  of_kept.passage.path = "B.md";
  of_kept.passage.tags = {"local-only"};
  EXPECT_EQ(reach_of({open}, {of_open, of_kept}, {}), Reach::kAnywhere);
  EXPECT_EQ(reach_of({open, kept}, {of_open, of_kept}, {}), Reach::kThisMachine);
  EXPECT_EQ(reach_of({open}, {}, {}), Reach::kThisMachine);
}

}  // namespace
}  // namespace knap::answer
