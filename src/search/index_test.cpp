#include "knap/search/index.hpp"

#include <atomic>
#include <random>
#include <thread>

#include <gmock/gmock.h>

#include "test_notes.hpp"

namespace knap::search {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;
using testing_notes::ids;
using testing_notes::note;
using testing_notes::search;
using testing_notes::upsert;

std::unique_ptr<Index> make_index(std::vector<NoteInput> notes, std::uint32_t dimensions = 4) {
  auto index = Index::create({.dimensions = dimensions});
  index->apply(upsert(std::move(notes)));
  return index;
}

Filter filter(std::string_view text) { return *Filter::parse(text, 0); }

TEST(Index, RanksByWordsAndNamesThePassage) {
  const auto index =
      make_index({note(1, "Cooking", {"Bread needs flour.", "Soup needs water and leeks."}),
                  note(2, "Garden", {"Leeks grow slowly in cold ground."}),
                  note(3, "Music", {"A quartet plays."})});
  const auto result = search(*index, "leek soup");
  EXPECT_THAT(ids(result), ElementsAre(1, 2));
  EXPECT_EQ(result.hits[0].passage, 1U);
  EXPECT_LE(result.hits[0].score, 1.0F);
  EXPECT_GT(result.hits[1].score, 0.0F);
  EXPECT_EQ(result.ran, Mode::kKeyword);
  EXPECT_THAT(search(*index, "zebra").hits, IsEmpty());
  EXPECT_THAT(search(*index, "").hits, IsEmpty());
}

TEST(Index, FindsByTitleAliasTagPathAndHeading) {
  NoteInput rich = note(1, "Alpha", {"text"});
  rich.aliases = {"Beta"};
  rich.tags = {"gamma/delta"};
  rich.path = "epsilon/alpha.md";
  rich.passages[0].headings = {"Zeta"};
  const auto index = make_index({rich, note(2, "Other", {"nothing"}), note(3, "Empty", {})});
  for (const char* word : {"alpha", "beta", "gamma", "delta", "epsilon", "zeta"})
    EXPECT_THAT(ids(search(*index, word)), ElementsAre(1)) << word;
  EXPECT_THAT(ids(search(*index, "empty")), ElementsAre(3));
}

TEST(Index, ExactTitleOrAliasComesFirst) {
  NoteInput other = note(3, "Journal", {"x"});
  other.aliases = {"Project plan"};
  const auto index =
      make_index({note(1, "Plan", {"project plan project plan project plan project plan"}),
                  note(2, "Project Plan", {"unrelated words only here and here"}), other});
  EXPECT_THAT(ids(search(*index, "project plan")), testing::Contains(1));
  EXPECT_EQ(ids(search(*index, "PLAN")).front(), 1U);
  EXPECT_THAT(ids(search(*index, "project plan")).back(), 1U);
}

TEST(Index, MeaningWeighsLessInLanguagesThatTheModelDoesNotKnow) {
  // Chinese has no stemmer of ours, and is none of the model's languages all the same.
  for (const char* language : {"de", "zh"}) {
    const auto index =
        make_index({note(1, "Words", {"apple"}, language), note(2, "Meaning", {"pear"}, language)});
    const std::vector<std::int8_t> near{127, 0, 0, 0}, far{0, 127, 0, 0};
    const std::vector<Index::VectorInput> vectors{{hash128("pear"), near}, {hash128("apple"), far}};
    ASSERT_TRUE(index->set_vectors(vectors));
    Query query;
    query.text = "apple";
    query.mode = Mode::kHybrid;
    query.embedding = {1, 0, 0, 0};
    EXPECT_EQ(ids(*index->search(query, Deadline::never())).front(), 1U) << language;
    // A question none of whose words the notes hold has only meaning to go by.
    query.text = "Obst";
    EXPECT_THAT(ids(*index->search(query, Deadline::never())), ElementsAre(2)) << language;
  }
}

TEST(Index, UpsertReplacesAndDeleteRemoves) {
  const auto index = make_index({note(1, "One", {"apple"}), note(2, "Two", {"apple pear"})});
  index->apply(upsert({note(1, "One", {"cherry"})}));
  EXPECT_THAT(ids(search(*index, "apple")), ElementsAre(2));
  EXPECT_THAT(ids(search(*index, "cherry")), ElementsAre(1));
  index->apply({{}, {NoteId{2}, NoteId{99}}});
  EXPECT_THAT(search(*index, "pear").hits, IsEmpty());
  EXPECT_EQ(index->stats().notes, 1U);
  EXPECT_EQ(index->stats().epoch, 3U);
}

TEST(Index, LastOfSeveralUpsertsOfOneNoteCounts) {
  const auto index = make_index({note(1, "One", {"apple"}), note(1, "One", {"pear"})});
  EXPECT_THAT(search(*index, "apple").hits, IsEmpty());
  EXPECT_THAT(ids(search(*index, "pear")), ElementsAre(1));
  EXPECT_EQ(index->stats().notes, 1U);
}

TEST(Index, QuotedPhrasesAreRequired) {
  const auto index =
      make_index({note(1, "A", {"the quick brown fox"}), note(2, "B", {"the brown quick fox"}),
                  note(3, "C", {"quick", "brown"})});
  EXPECT_THAT(ids(search(*index, "\"quick brown\"")), ElementsAre(1));
  EXPECT_THAT(ids(search(*index, "\"the quick brown fox\" fox")), ElementsAre(1));
  EXPECT_THAT(search(*index, "\"brown fox quick\"").hits, IsEmpty());
  EXPECT_THAT(ids(search(*index, "quick brown")), testing::SizeIs(3));
  // Side by side beats the same words apart.
  const auto order = ids(search(*index, "quick brown"));
  EXPECT_LT(std::ranges::find(order, 1U), std::ranges::find(order, 2U));
}

TEST(Index, PhrasesDoNotSpanFields) {
  NoteInput input = note(1, "Red", {"house"});
  input.passages[0].headings = {"green"};
  const auto index = make_index({input});
  EXPECT_THAT(search(*index, "\"green house\"").hits, IsEmpty());
  EXPECT_THAT(ids(search(*index, "\"green\"")), ElementsAre(1));
}

TEST(Index, LastWordMatchesAsPrefix) {
  const auto index =
      make_index({note(1, "A", {"kubernetes cluster"}), note(2, "B", {"kube tools"})});
  EXPECT_THAT(ids(search(*index, "kube")), ElementsAre(2, 1));
  EXPECT_THAT(ids(search(*index, "kube ")), ElementsAre(2));
  EXPECT_THAT(ids(search(*index, "kubern")), ElementsAre(1));
}

TEST(Index, StemsEachNoteInItsOwnLanguage) {
  const auto index =
      make_index({note(1, "A", {"Die Häuser der Stadt"}, "de"), note(2, "B", {"The houses"}, "en"),
                  note(3, "C", {"東京都の天気"}, "ja")});
  EXPECT_THAT(ids(search(*index, "haus")), ElementsAre(1));
  EXPECT_THAT(ids(search(*index, "house")), ElementsAre(2));
  EXPECT_THAT(ids(search(*index, "天気")), ElementsAre(3));
  EXPECT_THAT(ids(search(*index, "京")), ElementsAre(3));
}

TEST(Index, QueryOfStopWordsStillFinds) {
  const auto index =
      make_index({note(1, "A", {"To be or not to be"}), note(2, "B", {"nothing else"})});
  EXPECT_THAT(ids(search(*index, "to be or not to be")), ElementsAre(1));
}

TEST(Index, FilterNarrowsBeforeScoring) {
  NoteInput tagged = note(1, "A", {"apple"});
  tagged.facts.tags = {"fruit"};
  const auto index = make_index({tagged, note(2, "B", {"apple apple"})});
  Query query{.text = "apple", .filter = filter("tag:fruit")};
  EXPECT_THAT(ids(*index->search(query, Deadline::never())), ElementsAre(1));
  query.filter = filter("-tag:fruit");
  EXPECT_THAT(ids(*index->search(query, Deadline::never())), ElementsAre(2));
}

TEST(Index, GraphFiltersFollowLinks) {
  NoteInput a = note(1, "A", {"word"}), b = note(2, "B", {"word"}), c = note(3, "C", {"word"});
  a.facts.links_to = {"B.md"};
  b.facts.links_to = {"C.md"};
  const auto index = make_index({a, b, c, note(4, "D", {"word"})});
  const auto found = [&](std::string_view text) {
    Query query{.text = "word", .filter = filter(text)};
    return ids(*index->search(query, Deadline::never()));
  };
  EXPECT_THAT(found("linked-from:[[A]]"), ElementsAre(2));
  EXPECT_THAT(found("link:[[C]]"), ElementsAre(2));
  EXPECT_THAT(found("near:[[A]]"), UnorderedElementsAre(1, 2));
  EXPECT_THAT(found("near:[[C]]~2"), UnorderedElementsAre(1, 2, 3));
  EXPECT_THAT(found("-near:[[A]]~2"), ElementsAre(4));
}

TEST(Index, GraphFiltersFollowEdits) {
  NoteInput a = note(1, "A", {"word"}), b = note(2, "B", {"word"});
  a.facts.links_to = {"B.md", "picture.png"};
  const auto index = make_index({a, b, note(3, "C", {"word"})});
  const auto found = [&](std::string_view text) {
    Query query{.text = "word", .filter = filter(text)};
    return ids(*index->search(query, Deadline::never()));
  };
  EXPECT_THAT(found("link:[[picture.png]]"), ElementsAre(1)) << "no note of the index";
  EXPECT_THAT(found("link:[[B]]"), ElementsAre(1));
  EXPECT_THAT(found("-link:[[B]]"), UnorderedElementsAre(2, 3));
  a.facts.links_to = {};
  b.facts.links_to = {"C.md"};
  index->apply(upsert({a, b}));
  EXPECT_THAT(found("link:[[B]]"), ElementsAre());
  EXPECT_THAT(found("link:[[C]]"), ElementsAre(2));
  EXPECT_THAT(found("near:[[A]]~5"), ElementsAre(1));
  index->apply({{}, {NoteId{2}}});
  EXPECT_THAT(found("link:[[C]]"), ElementsAre());
  EXPECT_THAT(found("near:[[C]]"), ElementsAre(3));
}

TEST(Index, GraphFiltersLiveWithAPathThatStandsTwice) {
  NoteInput a = note(1, "A", {"word"}), again = note(2, "A", {"word"}), c = note(3, "C", {"word"});
  a.facts.links_to = {"C.md"};
  c.facts.links_to = {"A.md"};
  const auto index = make_index({a, again, c});
  Query query{.text = "word", .filter = filter("near:[[C]]~2")};
  EXPECT_THAT(ids(*index->search(query, Deadline::never())), UnorderedElementsAre(1, 2, 3));
}

// ---- vectors

const std::vector<std::int8_t> kEast{127, 0, 0, 0}, kNorth{0, 127, 0, 0}, kNorthEast{90, 90, 0, 0};

TEST(Index, SemanticSearchFollowsTheVectors) {
  const auto index =
      make_index({note(1, "A", {"one"}), note(2, "B", {"two", "three"}), note(3, "C", {"four"})});
  const std::vector<Index::VectorInput> vectors{
      {hash128("one"), kEast}, {hash128("three"), kNorth}, {hash128("two"), kEast}};
  ASSERT_TRUE(index->set_vectors(vectors));
  const auto result = search(*index, "whatever", Mode::kSemantic, {0, 1, 0, 0});
  EXPECT_EQ(ids(result).front(), 2U);
  EXPECT_EQ(result.hits[0].passage, 1U);
  EXPECT_NEAR(result.hits[0].parts.cosine, 1.0F, 1e-3F);
  EXPECT_EQ(result.ran, Mode::kSemantic);
  EXPECT_EQ(index->stats().passages_with_vector, 3U);
}

TEST(Index, EqualPassagesShareAVectorAndKeepItAcrossReplacement) {
  const auto index = make_index({note(1, "A", {"same"}), note(2, "B", {"same"})});
  ASSERT_TRUE(index->set_vectors(std::vector<Index::VectorInput>{{hash128("same"), kEast}}));
  EXPECT_EQ(index->stats().passages_with_vector, 2U);
  index->apply(upsert({note(1, "Renamed", {"same", "new"})}));
  index->apply({{}, {NoteId{2}}});
  EXPECT_EQ(index->stats().passages_with_vector, 1U);
  EXPECT_THAT(ids(search(*index, "q", Mode::kSemantic, {1, 0, 0, 0})), ElementsAre(1));
}

TEST(Index, VectorsMayComeBeforeTheirNotes) {
  const auto index = Index::create({.dimensions = 4});
  ASSERT_TRUE(index->set_vectors(std::vector<Index::VectorInput>{{hash128("early"), kEast}}));
  index->apply(upsert({note(1, "A", {"early"})}));
  EXPECT_EQ(index->stats().passages_with_vector, 1U);
  ASSERT_TRUE(index->replace_vectors(4, 0, [](const auto&) { return Status(); }));
  EXPECT_EQ(index->stats().passages_with_vector, 0U);
}

TEST(Index, AnotherModelsVectorsTakeTheirPlaceAtOnce) {
  const auto index = make_index({note(1, "A", {"apple"}), note(2, "B", {"steel"})});
  ASSERT_TRUE(index->set_vectors(std::vector<Index::VectorInput>{{hash128("apple"), kEast}}));
  const std::vector<std::int8_t> first{127, 0}, second{0, 127};
  const auto fill = [&](const Index::PutVector& put) {
    put({hash128("apple"), second});
    put({hash128("steel"), first});
    put({hash128("steel"), kEast});  // of another size: left out
    return Status();
  };
  const auto epoch = index->stats().epoch;
  ASSERT_TRUE(index->replace_vectors(2, 7, fill));
  EXPECT_EQ(index->stats().epoch, epoch + 1);
  EXPECT_EQ(index->stats().passages_with_vector, 2U);

  // A query that the old model embedded is answered from words, and says so.
  auto late = search(*index, "apple", Mode::kHybrid, {1, 0, 0, 0});
  EXPECT_TRUE(late.other_space);
  EXPECT_EQ(late.ran, Mode::kKeyword);
  EXPECT_FALSE(late.degraded.empty());

  Query query;
  query.text = "anything";
  query.mode = Mode::kSemantic;
  query.embedding = {1, 0};
  query.space = 7;
  const auto result = index->search(query, Deadline::never());
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_FALSE(result->other_space);
  EXPECT_EQ(ids(*result).front(), 2U);
  query.embedding = {1, 0, 0};
  EXPECT_FALSE(index->search(query, Deadline::never()));

  EXPECT_FALSE(index->set_vectors(std::vector<Index::VectorInput>{{hash128("apple"), kEast}}));
  EXPECT_FALSE(index->replace_vectors(4, 8, [](const auto& put) -> Status {
    put({hash128("new"), kEast});
    return make_error(ErrorCode::kIo, "the store failed half-way");
  }));
  EXPECT_EQ(index->stats().passages_with_vector, 2U) << "a failure changes nothing";
  EXPECT_EQ(index
                ->search({.text = "x", .mode = Mode::kSemantic, .embedding = {1, 0}, .space = 7},
                         Deadline::never())
                ->ran,
            Mode::kSemantic);
}

TEST(Index, AModelIsTriedWithoutAChange) {
  const auto index = make_index({note(1, "A", {"apple"}), note(2, "B", {"steel"})});
  ASSERT_TRUE(index->set_vectors(std::vector<Index::VectorInput>{{hash128("apple"), kEast}}));
  const std::vector<std::int8_t> first{127, 0}, second{0, 127};
  const auto epoch = index->stats().epoch;
  const auto tried = index->try_vectors(2, 7, [&](const Index::PutVector& put) {
    put({hash128("apple"), second});
    put({hash128("steel"), first});
    put({hash128("steel"), kEast});  // of another size: left out
    return Status();
  });
  ASSERT_TRUE(tried) << tried.error().message;
  EXPECT_EQ(index->stats().epoch, epoch);
  EXPECT_EQ(index->stats().passages_with_vector, 1U);
  EXPECT_EQ(search(*index, "x", Mode::kSemantic, {1, 0, 0, 0}).ran, Mode::kSemantic);

  // The trial shows the notes of its time, whatever happens to the index.
  index->apply({{}, {NoteId{2}}});
  const Query query{.text = "x", .mode = Mode::kSemantic, .embedding = {1, 0}, .space = 7};
  const auto result = (*tried)(query, Deadline::never());
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->ran, Mode::kSemantic);
  EXPECT_EQ(ids(*result).front(), 2U);

  const auto failed = index->try_vectors(
      2, 8, [](const auto&) -> Status { return make_error(ErrorCode::kIo, "the store failed"); });
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::kIo);
}

TEST(Index, HybridJoinsBothLegs) {
  const auto index = make_index(
      {note(1, "A", {"apple pie"}), note(2, "B", {"baked dessert"}), note(3, "C", {"steel"})});
  const std::vector<Index::VectorInput> vectors{{hash128("apple pie"), kEast},
                                                {hash128("baked dessert"), kNorthEast},
                                                {hash128("steel"), kNorth}};
  ASSERT_TRUE(index->set_vectors(vectors));
  const auto result = search(*index, "apple", Mode::kAuto, {1, 0, 0, 0});
  EXPECT_EQ(result.ran, Mode::kHybrid);
  EXPECT_EQ(ids(result).front(), 1U);
  ASSERT_GE(result.hits.size(), 2U);
  EXPECT_EQ(ids(result)[1], 2U);
}

TEST(Index, MissingVectorsDegradeToWords) {
  const auto index = make_index({note(1, "A", {"apple"})});
  const auto result = search(*index, "apple", Mode::kSemantic);
  EXPECT_THAT(ids(result), ElementsAre(1));
  EXPECT_THAT(result.degraded, SizeIs(1));
  EXPECT_EQ(result.ran, Mode::kKeyword);
  EXPECT_THAT(search(*index, "apple", Mode::kAuto, {1, 0, 0, 0}).degraded, IsEmpty());
}

TEST(Index, RefusesWrongInput) {
  const auto index = make_index({note(1, "A", {"apple"})});
  EXPECT_EQ(index->search({.text = "x", .limit = 0}, Deadline::never()).error().code,
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(index->search({.text = "x", .embedding = {1, 2}}, Deadline::never()).error().code,
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(index->search({.text = "x"}, Deadline::after(std::chrono::seconds(-1))).error().code,
            ErrorCode::kDeadlineExceeded);
  const std::vector<std::int8_t> wrong(3);
  EXPECT_EQ(index->set_vectors(std::vector<Index::VectorInput>{{hash128("a"), wrong}}).error().code,
            ErrorCode::kInvalidArgument);
}

TEST(Index, PassageGroupGivesSeveralPassagesOfANote) {
  const auto index =
      make_index({note(1, "A", {"apple one", "pear", "apple two"}), note(2, "B", {"apple three"})});
  const auto result = search(*index, "apple", Mode::kKeyword, {}, Group::kPassage);
  EXPECT_THAT(result.hits, SizeIs(3));
}

TEST(Index, ExplainGivesTermsAndStages) {
  const auto index = make_index({note(1, "A", {"apple pear"}), note(2, "B", {"apple"})});
  const auto result = index->search({.text = "apple pear", .explain = true}, Deadline::never());
  ASSERT_TRUE(result);
  ASSERT_THAT(result->hits[0].parts.terms, SizeIs(2));
  EXPECT_GT(result->hits[0].parts.bm25, 0.0F);
  EXPECT_THAT(result->stages, SizeIs(4));
  EXPECT_THAT(result->terms, ElementsAre("appl", "pear"));
}

// ---- segments

TEST(Index, ManySmallBatchesGiveTheSameAnswersAsOneLarge) {
  std::mt19937 random(3);
  std::vector<NoteInput> notes;
  for (std::uint64_t i = 0; i < 400; ++i) {
    std::vector<std::string> passages;
    for (unsigned p = 0; p < 1 + random() % 3; ++p) {
      std::string text;
      for (int w = 0; w < 30; ++w) text += "word" + std::to_string(random() % 200) + " ";
      passages.push_back(text + std::to_string(i) + " " + std::to_string(p));
    }
    notes.push_back(note(i, "Note " + std::to_string(i), passages));
  }
  const auto whole = make_index(notes);
  const auto pieces = Index::create({.dimensions = 4});
  for (std::size_t i = 0; i < notes.size(); ++i) {
    pieces->apply(upsert({note(i, "Old", {"stale words"})}));
    pieces->apply(upsert({notes[i]}));
  }
  EXPECT_LT(pieces->stats().segments, 40U);
  EXPECT_EQ(pieces->stats().notes, 400U);
  EXPECT_EQ(pieces->stats().passages, whole->stats().passages);
  EXPECT_THAT(search(*pieces, "stale").hits, IsEmpty());
  for (int i = 0; i < 20; ++i) {
    const std::string text =
        "word" + std::to_string(i * 7) + " word" + std::to_string(i * 3 + 1) + " ";
    const auto a = search(*whole, text), b = search(*pieces, text);
    ASSERT_EQ(a.hits.size(), b.hits.size());
    EXPECT_EQ(search(*whole, "\"word1 word" + std::to_string(i) + "\"").hits.size(),
              search(*pieces, "\"word1 word" + std::to_string(i) + "\"").hits.size());
  }
}

std::unique_ptr<Index> make_in_pieces(const std::vector<NoteInput>& notes) {
  auto index = Index::create({.dimensions = 4});
  for (const NoteInput& each : notes) index->apply(upsert({each}));
  return index;
}

std::vector<NoteInput> some_notes(std::uint64_t count) {
  std::vector<NoteInput> notes;
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::string number = std::to_string(i);
    notes.push_back(note(i, "Note " + number, {"common word" + std::to_string(i % 17), number}));
  }
  return notes;
}

TEST(Index, CompactLeavesFewSegmentsAndTheSameAnswers) {
  const auto notes = some_notes(300);
  const auto whole = make_index(notes);
  const auto pieces = make_in_pieces(notes);
  pieces->apply({{}, {NoteId{7}}});
  whole->apply({{}, {NoteId{7}}});
  ASSERT_GT(pieces->stats().segments, 2U);
  pieces->compact();
  EXPECT_LE(pieces->stats().segments, 2U);
  EXPECT_EQ(pieces->stats().notes, 299U);
  for (int i = 0; i < 17; ++i) {
    const std::string text = "word" + std::to_string(i);
    EXPECT_EQ(ids(search(*pieces, text)), ids(search(*whole, text))) << text;
  }
  pieces->compact();
  pieces->apply(upsert({note(7, "Back", {"word7"})}));
  EXPECT_THAT(ids(search(*pieces, "back")), ElementsAre(7));
}

TEST(Index, AQuietIndexMergesByItself) {
  const auto index = make_in_pieces(some_notes(300));
  ASSERT_GT(index->stats().segments, 2U);
  const auto patience = Deadline::after(std::chrono::seconds(30));
  while (index->stats().segments > 2 && !patience.expired())
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_LE(index->stats().segments, 2U);
  EXPECT_EQ(index->stats().notes, 300U);
}

TEST(Index, ReadersSeeWholeBatchesWhileOneWriterWrites) {
  const auto index = Index::create({.dimensions = 4});
  std::atomic<bool> stop{false};
  std::atomic<int> torn{0}, searches{0};
  std::vector<std::thread> readers;
  for (int r = 0; r < 2; ++r) {
    readers.emplace_back([&] {
      std::uint64_t epoch = 0;
      while (!stop) {
        const auto result = search(*index, "pairword", Mode::kAuto, {1, 0, 0, 0});
        // Each batch adds or removes two notes of the word.
        std::size_t words = 0;
        for (const Hit& hit : result.hits) words += hit.parts.bm25 > 0 ? 1 : 0;
        if (words % 2 != 0 || result.epoch < epoch) ++torn;
        epoch = result.epoch;
        (void)index->stats();
        ++searches;
      }
    });
  }
  for (std::uint64_t i = 0; i < 300 || searches < 20; ++i) {
    const std::string a = "pairword a" + std::to_string(i % 40),
                      b = "pairword b" + std::to_string(i % 40);
    if (i % 7 == 6) {
      index->apply({{}, {NoteId{2 * (i % 4)}, NoteId{2 * (i % 4) + 1}}});
    } else {
      index->apply(upsert({note(2 * (i % 4), "A", {a, "x"}), note(2 * (i % 4) + 1, "B", {b})}));
    }
    EXPECT_TRUE(index->set_vectors(
        std::vector<Index::VectorInput>{{hash128(a), kEast}, {hash128(b), kNorth}}));
  }
  stop = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(torn, 0);
}

TEST(Index, MemoryIsGivenBackAfterEdits) {
  const auto index = Index::create({.dimensions = 4});
  const auto text = [](std::uint64_t i) {
    return "body " + std::to_string(i) + " some words that stay the same";
  };
  for (std::uint64_t i = 0; i < 200; ++i)
    index->apply(upsert({note(i, "N" + std::to_string(i), {text(i)})}));
  const auto before = index->stats();
  for (std::uint64_t i = 0; i < 4000; ++i) {
    index->apply(upsert({note(i % 200, "N" + std::to_string(i % 200), {text(i)})}));
    ASSERT_TRUE(index->set_vectors(std::vector<Index::VectorInput>{{hash128(text(i)), kEast}}));
  }
  EXPECT_EQ(index->stats().notes, 200U);
  EXPECT_LT(index->stats().bytes, before.bytes * 4 + 200'000);
  EXPECT_LT(index->stats().segments, 40U);
}

TEST(Index, RarityFallsWithFrequency) {
  const auto index = make_index(
      {note(1, "A", {"common rare"}), note(2, "B", {"common"}), note(3, "C", {"common"})});
  const float common = index->inverse_document_frequency("common");
  const float rare = index->inverse_document_frequency("rare");
  EXPECT_LT(common, rare);
  EXPECT_LT(rare, index->inverse_document_frequency("unknown"));
}

}  // namespace
}  // namespace knap::search
