#include "note_codec.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace knap::index {
namespace {

NoteMeta sample() {
  NoteMeta meta;
  meta.type = vault::FileType::kCanvas;
  meta.aliases = {"Ünï", ""};
  meta.properties = {
      {"status", {std::string("done")}, false},
      {"list",
       {1.5, true, false, std::monostate(), vault::DateTime{-44, 3, 15, 12, 30, 1, true}},
       true}};
  meta.headings = {{2, "Heading", 7}};
  meta.links = {{vault::Link::Kind::kEmbed, "target", {"A", "B"}, "block", "alias", 70'000}};
  meta.created_s = -5;
  meta.has_open_task = true;
  return meta;
}

TEST(NoteCodec, GivesBackWhatWasEncoded) {
  const NoteMeta meta = sample();
  const NoteMeta back = decode(encode(meta)).value();
  EXPECT_EQ(back.type, meta.type);
  EXPECT_EQ(back.aliases, meta.aliases);
  ASSERT_EQ(back.properties.size(), 2U);
  EXPECT_EQ(back.properties[1].values, meta.properties[1].values);
  EXPECT_TRUE(back.properties[1].is_list);
  EXPECT_EQ(back.headings[0].text, "Heading");
  EXPECT_EQ(back.links[0].heading, meta.links[0].heading);
  EXPECT_EQ(back.links[0].line, 70'000U);
  EXPECT_EQ(back.created_s, -5);
  EXPECT_TRUE(back.has_open_task);
  EXPECT_FALSE(back.has_done_task);
}

TEST(NoteCodec, RefusesEveryTruncation) {
  const std::string bytes = encode(sample());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(decode(std::string_view(bytes).substr(0, size)).has_value()) << size;
  }
  EXPECT_FALSE(decode(bytes + "x").has_value());
}

TEST(NoteCodec, SurvivesChangedBytes) {
  const std::string bytes = encode(sample());
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    for (const char value : {'\x00', '\x7F', '\xFF'}) {
      std::string changed = bytes;
      changed[at] = value;
      static_cast<void>(decode(changed).has_value());
    }
  }
}

TEST(NoteCodec, CountsTimeFrom1970InUtc) {
  EXPECT_EQ(unix_seconds({1970, 1, 2, 0, 0, 1, true}), 86'401);
  EXPECT_EQ(iso_text({2026, 1, 31, 14, 5, 0, true}), "2026-01-31T14:05:00");
  EXPECT_EQ(iso_text({2026, 1, 31}), "2026-01-31");
}

}  // namespace
}  // namespace knap::index
