#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "json_places.hpp"
#include "test_notes.hpp"

namespace knap::vault {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(Canvas, CardsFilesAndLabelsAreReadWithTheirLines) {
  const Note note = parsed(
      "{\n\t\"nodes\":[\n"
      "\t\t{\"id\":\"g\",\"type\":\"group\",\"x\":0,\"y\":0,\"width\":500,\"height\":500,\"label\":"
      "\"Plans\"},\n"
      "\t\t{\"id\":\"a\",\"x\":10,\"y\":10,\"width\":100,\"height\":60,\"type\":\"text\",\"text\":"
      "\"# Card\\n\\nsee [[Other]] #tag\\n- [ ] do 📅 2026-01-01\"},\n"
      "\t\t{\"id\":\"b\",\"type\":\"file\",\"file\":\"Dir/Note.md\",\"subpath\":\"#Head\"},\n"
      "\t\t{\"id\":\"c\",\n\t\t \"type\":\"text\",\n\t\t \"text\":\"pretty \\\"quoted\\\"\", "
      "\"x\":9000}\n\t],\n"
      "\t\"edges\":[\n\t\t{\"id\":\"e\",\"fromNode\":\"a\",\"toNode\":\"b\",\"label\":\"leads "
      "to\"}\n\t]\n}",
      "Board.canvas");
  ASSERT_EQ(note.passages.size(), 4U);
  EXPECT_EQ(note.passages[0].plain, "Plans");
  EXPECT_EQ(note.passages[0].lines, (LineRange{3, 3}));
  EXPECT_EQ(note.passages[1].kind, Passage::Kind::kCard);
  EXPECT_EQ(note.passages[1].lines, (LineRange{4, 4}));
  EXPECT_THAT(note.passages[1].headings, ElementsAre("Plans", "Card"));
  EXPECT_EQ(note.passages[1].plain, "see Other #tag\ndo 📅 2026-01-01");
  EXPECT_EQ(note.passages[2].plain, "pretty \"quoted\"");
  EXPECT_EQ(note.passages[2].lines, (LineRange{8, 8}));
  EXPECT_EQ(note.passages[3].plain, "leads to");
  EXPECT_EQ(note.passages[3].lines, (LineRange{11, 11}));
  EXPECT_THAT(link_targets(note), ElementsAre("Other", "Dir/Note.md"));
  EXPECT_EQ(note.links[1].kind, Link::Kind::kCanvasFile);
  EXPECT_THAT(note.links[1].heading, ElementsAre("Head"));
  EXPECT_EQ(note.links[1].line, 5U);
  EXPECT_EQ(note.tasks.size(), 1U);
  EXPECT_EQ(note.tasks[0].line, 4U);
  EXPECT_THAT(tag_names(note), ElementsAre("tag"));
}

TEST(Canvas, EmptyFileIsAnEmptyCanvas) {
  EXPECT_THAT(parsed("", "A.canvas").passages, IsEmpty());
  EXPECT_THAT(parsed("{}", "A.canvas").passages, IsEmpty());
  EXPECT_THAT(
      parsed("{\"nodes\":[1,\"x\",[{}],null,{\"text\":5}],\"edges\":7}", "A.canvas").passages,
      IsEmpty());
}

TEST(Canvas, NoJsonIsCorruptData) {
  for (const std::string_view bytes : {"{\"nodes\":[", "# heading", "[1]"}) {
    const auto note = parse("A.canvas", bytes);
    ASSERT_FALSE(note.has_value()) << bytes;
    EXPECT_EQ(note.error().code, ErrorCode::kCorruptData);
  }
  EXPECT_FALSE(
      parse("A.canvas", "{\"nodes\":" + std::string(5'000, '[') + std::string(5'000, ']') + "}")
          .has_value());
}

TEST(JsonPlaces, CountsElementsOfEveryKind) {
  EXPECT_THAT(
      field_lines(
          "{\"a\":[1],\n\"nodes\":[1,\n\"x\",{\"k\":[\"text\"],\n\"text\":\n\"v\"},[2,\n3]]}",
          "nodes", "text", 100),
      ElementsAre(2, 3, 5, 5));
  EXPECT_THAT(field_lines("{\"b\":{\"nodes\":[1,2]}}", "nodes", "text", 100), IsEmpty());
  EXPECT_EQ(field_lines("{\"nodes\":[1,2,3]}", "nodes", "text", 2).size(), 2U);
}

}  // namespace
}  // namespace knap::vault
