#include <gmock/gmock.h>

#include "knap/search/index.hpp"
#include "test_notes.hpp"

namespace knap::search {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;
using testing_notes::ids;
using testing_notes::note;
using testing_notes::search;
using testing_notes::upsert;

constexpr std::uint64_t kStamp = 42;

std::string bytes_of(const Index::Frozen& frozen) {
  std::string out;
  const Status written = frozen(kStamp, [&](std::string_view piece) {
    EXPECT_LE(piece.size(), Index::kSnapshotPieceBytes);
    out += piece;
    return Status();
  });
  EXPECT_TRUE(written);
  return out;
}

std::unique_ptr<Index> make_index() {
  auto index = Index::create({.dimensions = 4});
  NoteInput rich = note(1, "Alpha", {"leeks and soup", "bread and butter"});
  rich.aliases = {"Beta"};
  rich.tags = {"kitchen/soup"};
  rich.facts.tags = rich.tags;
  rich.facts.properties.push_back({"rating", {4.0, std::string("good"), true, std::monostate()}});
  index->apply(upsert({rich, note(2, "Old", {"leeks of last year"}), note(3, "Empty", {})}));
  index->apply(upsert({note(2, "New", {"leeks of this year"})}));
  return index;
}

TEST(Snapshot, RestoredIndexAnswersAsTheFirst) {
  const auto first = make_index();
  auto second = Index::create({.dimensions = 4});
  ASSERT_TRUE(second->restore(bytes_of(first->freeze())));
  for (const char* query : {"leeks", "beta", "soup", "\"bread and butter\"", "old", "empty"}) {
    EXPECT_EQ(ids(search(*second, query)), ids(search(*first, query))) << query;
  }
  EXPECT_EQ(second->stats().notes, 3U);
  EXPECT_EQ(second->stats().passages, 3U);
  for (const char* text : {"tag:#kitchen", "prop.rating>=4", "prop.rating:good"}) {
    Query query;
    query.text = "soup";
    query.filter = *Filter::parse(text, 0);
    EXPECT_THAT(ids(*second->search(query, Deadline::never())), ElementsAre(1)) << text;
  }
}

TEST(Snapshot, RestoredIndexGoesOnChanging) {
  auto index = Index::create({.dimensions = 4});
  ASSERT_TRUE(index->restore(bytes_of(make_index()->freeze())));
  index->apply({.upserts = {note(2, "Newer", {"onions"})}, .deletes = {NoteId{1}}});
  EXPECT_THAT(search(*index, "leeks").hits, IsEmpty());
  EXPECT_THAT(ids(search(*index, "onions")), ElementsAre(2));
  const std::int8_t values[] = {127, 0, 0, 0};
  EXPECT_TRUE(index->set_vectors(std::vector<Index::VectorInput>{{Hash128{1, 1}, values}}));
}

TEST(Snapshot, ShowsTheMomentItWasFrozen) {
  const auto first = make_index();
  const Index::Frozen frozen = first->freeze();
  first->apply({.upserts = {note(4, "Late", {"late leeks"})}, .deletes = {NoteId{1}}});
  auto second = Index::create({.dimensions = 4});
  ASSERT_TRUE(second->restore(bytes_of(frozen)));
  EXPECT_THAT(ids(search(*second, "soup")), ElementsAre(1));
  EXPECT_THAT(search(*second, "late").hits, IsEmpty());
}

TEST(Snapshot, NamesItsStampAndKeepsTheCallersCookies) {
  auto first = Index::create({.dimensions = 4});
  NoteInput with_cookie = note(1, "Alpha", {"leeks"});
  with_cookie.cookie = 77;
  first->apply(upsert({with_cookie, note(2, "Beta", {"onions"})}));
  const std::string bytes = bytes_of(first->freeze());
  EXPECT_EQ(Index::stamp_of(bytes), kStamp);
  EXPECT_EQ(Index::stamp_of("KNAPSRCH"), std::nullopt);
  EXPECT_EQ(Index::stamp_of("rubbish that is long enough for a header"), std::nullopt);
  auto second = Index::create({.dimensions = 4});
  ASSERT_TRUE(second->restore(bytes));
  EXPECT_THAT(second->cookies(), UnorderedElementsAre(Pair(NoteId{1}, 77U), Pair(NoteId{2}, 0U)));
}

TEST(Snapshot, ComesInPiecesAndEndsWithTheSinksError) {
  auto first = Index::create({.dimensions = 4});
  std::string long_text;
  for (int i = 0; i < 120'000; ++i) long_text += " leek" + std::to_string(i);
  first->apply(upsert({note(1, "Long", {long_text}), note(2, "Short", {"onions"})}));
  const std::string bytes = bytes_of(first->freeze());
  ASSERT_GT(bytes.size(), 2 * Index::kSnapshotPieceBytes);
  auto second = Index::create({.dimensions = 4});
  ASSERT_TRUE(second->restore(bytes));
  EXPECT_THAT(ids(search(*second, "leek119999")), ElementsAre(1));
  int calls = 0;
  const Status failed = first->freeze()(kStamp, [&](std::string_view) -> Status {
    if (++calls == 2) return make_error(ErrorCode::kResourceExhausted, "disk full");
    return {};
  });
  EXPECT_EQ(calls, 2);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::kResourceExhausted);
}

TEST(Snapshot, RefusesEveryDamagedByte) {
  std::string bytes = bytes_of(make_index()->freeze());
  auto index = Index::create({.dimensions = 4});
  for (std::size_t i = 0; i < bytes.size(); i += 7) {
    bytes[i] = static_cast<char>(bytes[i] ^ 0x20);
    EXPECT_FALSE(index->restore(bytes)) << i;
    bytes[i] = static_cast<char>(bytes[i] ^ 0x20);
  }
  for (const std::size_t length :
       {std::size_t{0}, std::size_t{7}, bytes.size() / 2, bytes.size() - 1}) {
    EXPECT_FALSE(index->restore(std::string_view(bytes).substr(0, length))) << length;
  }
  EXPECT_TRUE(index->restore(bytes));
  EXPECT_EQ(index->restore(bytes).error().code, ErrorCode::kFailedPrecondition);
}

}  // namespace
}  // namespace knap::search
