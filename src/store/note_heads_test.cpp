#include "note_heads.hpp"

#include <gtest/gtest.h>

namespace knap::store {
namespace {

constexpr PassageKey kFirst{FileId{1}, 0}, kSecond{FileId{2}, 3};

NoteHeads::Head head(std::string title) {
  auto made = std::make_shared<NoteHead>();
  made->title = std::move(title);
  return made;
}

std::string titles(const NoteHeads& heads, std::optional<NoteHeads::State> state) {
  std::string out;
  const std::vector<PassageKey> keys{kFirst, kSecond};
  for (const auto& each : heads.find(state, keys)) out += each ? each->title : "-";
  return out;
}

TEST(NoteHeads, GivesWhatWasPut) {
  NoteHeads heads;
  const auto state = heads.state();
  EXPECT_EQ(titles(heads, state), "--");
  heads.put(state, kSecond.file, head("b"));
  EXPECT_EQ(titles(heads, state), "-b");
}

TEST(NoteHeads, AWriteTakesAwayWhatItChangesAndOldReadersSeeNone) {
  NoteHeads heads;
  const auto before = heads.state();
  heads.put(before, kFirst.file, head("a"));
  heads.put(before, kSecond.file, head("b"));
  {
    const NoteHeads::Write write(heads, {kFirst.file});
    EXPECT_EQ(heads.state(), std::nullopt);
    EXPECT_EQ(titles(heads, heads.state()), "--") << "a reader that begins meanwhile";
    EXPECT_EQ(titles(heads, before), "--");
    heads.put(before, kFirst.file, head("old"));
    heads.put(heads.state(), kFirst.file, head("either"));
  }
  EXPECT_EQ(titles(heads, heads.state()), "-b");
  EXPECT_EQ(titles(heads, before), "--");
  heads.put(before, kFirst.file, head("old"));
  EXPECT_EQ(titles(heads, heads.state()), "-b");
}

TEST(NoteHeads, TheirNumberHasALimit) {
  NoteHeads heads;
  const auto state = heads.state();
  const auto one = head("x");
  for (std::int64_t i = 0; i < 40'000; ++i) heads.put(state, FileId{i}, one);
  EXPECT_LE(one.use_count(), static_cast<long>(NoteHeads::kHeadsMax) + 1);
}

}  // namespace
}  // namespace knap::store
