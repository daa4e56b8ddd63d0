#include "knap/index/service.hpp"

#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "testing.hpp"

namespace knap::index {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

TEST_F(ServiceTest, FindsNotesByTheirWordsAfterTheFirstScan) {
  write("a.md", "# Alpha\n\nThe zebrafish swims.\n");
  write("sub/b.md", "# Beta\n\nThe quagga grazes.\n");
  open();
  EXPECT_THAT(found("zebrafish"), IsEmpty());
  scan();
  EXPECT_THAT(found("zebrafish"), ElementsAre("a.md"));
  EXPECT_THAT(found("quagga"), ElementsAre("sub/b.md"));
  const VaultStatus status = service_->status().front();
  EXPECT_EQ(status.files.total, 2U);
  EXPECT_EQ(status.files.indexed, 2U);
  EXPECT_EQ(status.keyword_coverage, 1.0);
  EXPECT_EQ(status.lag.count(), 0);
}

TEST_F(ServiceTest, ClaimsNoCoverageBeforeTheFirstWalk) {
  write("a.md", "# A\n\nword\n");
  open();
  EXPECT_EQ(service_->status().front().keyword_coverage, 0.0);
  EXPECT_EQ(service_->status().front().semantic_coverage, 0.0);
  scan(Service::WaitFor::kKeyword);
  EXPECT_EQ(service_->status().front().keyword_coverage, 1.0);
}

TEST_F(ServiceTest, GivesAHitAllThatACitationNeeds) {
  write("note.md",
        "---\ntags: [one, two/three]\n---\n# Title\n\n## Part\n\nFirst line.\nThe **zebrafish** "
        "swims. ^here\n");
  open();
  scan();
  SearchRequest request;
  request.text = "zebrafish";
  const auto outcome = service_->search(request, Deadline::never(), {}).value();
  ASSERT_EQ(outcome.hits.size(), 1U);
  const PassageView& view = outcome.hits[0].passage;
  EXPECT_EQ(view.vault, "notes");
  EXPECT_EQ(view.title, "Title");
  EXPECT_THAT(view.headings, ElementsAre("Title", "Part"));
  EXPECT_THAT(view.tags, ElementsAre("one", "two/three"));
  EXPECT_THAT(view.text, HasSubstr("The **zebrafish** swims."));
  EXPECT_THAT(view.plain, HasSubstr("The zebrafish swims."));
  EXPECT_LE(view.lines.first, 9U);
  EXPECT_GE(view.lines.last, 9U);
  EXPECT_GT(view.modified_s, 0);
}

TEST_F(ServiceTest, ForgetsTheOldWordWhenANoteIsEdited) {
  write("a.md", "# A\n\nzebrafish\n");
  open();
  scan();
  write("a.md", "# A\n\nquagga\n");
  scan();
  EXPECT_THAT(found("quagga"), ElementsAre("a.md"));
  EXPECT_THAT(found("zebrafish"), IsEmpty());
}

TEST_F(ServiceTest, ReadsNothingWhenNothingChanged) {
  for (int i = 0; i < 20; ++i) write("n" + std::to_string(i) + ".md", "word " + std::to_string(i));
  open();
  scan();
  EXPECT_EQ(counted("knap_index_files_read_total"), 20U);
  scan();
  open();
  scan();
  EXPECT_EQ(counted("knap_index_files_read_total"), 20U);
  EXPECT_THAT(found("word").size(), 10U);
}

TEST_F(ServiceTest, LinesOfATemplateWeighLittleButAreFound) {
  const std::string footer = "\n\nAsk the gardening club for help with your plot\n";
  for (int i = 0; i < 100; ++i)
    write("n" + std::to_string(i) + ".md", "Number " + std::to_string(i) + footer);
  write("club.md", "We met at the gardening club, and the meeting at the club was long.\n");
  open();
  scan();
  EXPECT_EQ(found("gardening club").front(), "club.md");
  EXPECT_EQ(found("help plot").size(), 10U);
  EXPECT_EQ(found("\"help with your plot\"").size(), 10U);
  // Learned for good: a note that comes later is read the same way, after a start too.
  open();
  scan();
  write("late.md", "Quagga" + footer);
  scan();
  SearchRequest request;
  request.text = "quagga";
  const auto outcome = service_->search(request, Deadline::never(), {}).value();
  ASSERT_FALSE(outcome.hits.empty());
  EXPECT_EQ(outcome.hits[0].passage.plain.find("gardening"), std::string::npos);
  EXPECT_NE(outcome.hits[0].passage.text.find("gardening"), std::string::npos);
}

TEST_F(ServiceTest, ParsesNothingWhenAFileIsOnlyTouched) {
  write("a.md", "# A\n\nzebrafish\n");
  open();
  scan(Service::WaitFor::kSemantic);
  const auto epoch = service_->status().front().epoch;
  std::filesystem::last_write_time(
      vault_ / "a.md", std::filesystem::file_time_type::clock::now() + std::chrono::hours(1));
  scan();
  EXPECT_EQ(counted("knap_index_notes_parsed_total"), 1U);
  EXPECT_EQ(service_->status().front().epoch, epoch);
  EXPECT_EQ(state_of("a.md"), "indexed");
}

TEST_F(ServiceTest, EmbedsEachTextOnceThroughRenameCopyRestartAndRebuild) {
  for (int i = 0; i < 10; ++i)
    write("n" + std::to_string(i) + ".md", "# N\n\nword " + std::to_string(i) + "\n");
  open();
  scan(Service::WaitFor::kSemantic);
  EXPECT_EQ(embedder_->passages, 10);
  EXPECT_EQ(service_->status().front().semantic_coverage, 1.0);
  std::filesystem::rename(vault_ / "n3.md", vault_ / "renamed.md");
  std::filesystem::create_directories(vault_ / "copies");
  std::filesystem::copy(vault_ / "n4.md", vault_ / "copies/n4 copy.md");
  scan(Service::WaitFor::kSemantic);
  open();
  scan(Service::WaitFor::kSemantic);
  EXPECT_EQ(service_->status().front().semantic_coverage, 1.0);
  ASSERT_TRUE(service_->rebuild(Deadline::never(), {}, nullptr).has_value());
  scan(Service::WaitFor::kSemantic);
  EXPECT_EQ(embedder_->passages, 10);
  EXPECT_EQ(counted("knap_index_passages_embedded_total"), 10U);
  EXPECT_EQ(service_->status().front().files.total, 11U);
  EXPECT_EQ(service_->files(std::nullopt, "", 100, "")->files[0].model, "counting");
}

TEST_F(ServiceTest, FindsByMeaningWhenThereAreVectors) {
  write("a.md", "# A\n\nred green blue\n");
  open();
  scan(Service::WaitFor::kSemantic);
  SearchRequest request;
  request.text = "red green";
  const auto outcome = service_->search(request, Deadline::never(), {}).value();
  EXPECT_EQ(outcome.ran, search::Mode::kHybrid);
  EXPECT_EQ(outcome.embedding.size(), embedder_->dimensions());
  EXPECT_THAT(outcome.degraded, IsEmpty());
  EXPECT_EQ(outcome.semantic_coverage, 1.0);
}

TEST_F(ServiceTest, SearchesByWordsAndSaysSoWhenTheModelFails) {
  write("a.md", "# A\n\nzebrafish\n");
  open();
  scan(Service::WaitFor::kSemantic);
  embedder_->broken = true;
  SearchRequest request;
  request.text = "zebrafish";
  const auto outcome = service_->search(request, Deadline::never(), {}).value();
  EXPECT_EQ(outcome.ran, search::Mode::kKeyword);
  EXPECT_EQ(outcome.hits.size(), 1U);
  EXPECT_THAT(outcome.degraded, ElementsAre("semantic: the model is broken"));
}

TEST_F(ServiceTest, LeavesMeaningOutWhenTheDeadlineIsTooShortForIt) {
  write("a.md", "# A\n\nzebrafish\n");
  open();
  scan(Service::WaitFor::kSemantic);
  embedder_->query_ms = 400;
  SearchRequest request;
  request.text = "zebrafish";
  ASSERT_TRUE(service_->search(request, Deadline::never(), {}).has_value());
  const auto deadline = [] { return Deadline::after(std::chrono::milliseconds(300)); };
  const auto hurried = service_->search(request, deadline(), {}).value();
  EXPECT_EQ(embedder_->queries, 1) << "it is known to take longer";
  EXPECT_EQ(hurried.ran, search::Mode::kKeyword);
  EXPECT_EQ(hurried.hits.size(), 1U);
  ASSERT_EQ(hurried.degraded.size(), 1U);
  EXPECT_THAT(hurried.degraded[0], testing::HasSubstr("the deadline leaves"));
  // It is tried again after a while, though nobody had more time; and it fits now.
  embedder_->query_ms = 0;
  for (int i = 0; i < 64 && embedder_->queries == 1; ++i)
    ASSERT_TRUE(service_->search(request, deadline(), {}).has_value());
  EXPECT_EQ(embedder_->queries, 2);
  EXPECT_EQ(service_->search(request, deadline(), {}).value().ran, search::Mode::kHybrid);
}

TEST_F(ServiceTest, RemovesDeletedNotesAndFolders) {
  write("a.md", "zebrafish");
  write("sub/b.md", "quagga");
  write("sub/deep/c.md", "okapi");
  open();
  scan();
  std::filesystem::remove_all(vault_ / "sub");
  scan();
  EXPECT_THAT(found("quagga okapi"), IsEmpty());
  EXPECT_EQ(state_of("sub/b.md"), "");
  EXPECT_EQ(service_->status().front().files.total, 1U);
}

TEST_F(ServiceTest, KeepsEverythingThroughTheRenameOfAFolder) {
  write("old/b.md", "# B\n\nquagga");
  write("old/deep/c.md", "# C\n\nokapi");
  open();
  scan(Service::WaitFor::kSemantic);
  const int embedded = embedder_->passages;
  std::filesystem::rename(vault_ / "old", vault_ / "new");
  scan(Service::WaitFor::kSemantic);
  EXPECT_THAT(found("quagga"), ElementsAre("new/b.md"));
  EXPECT_THAT(found("okapi"), ElementsAre("new/deep/c.md"));
  EXPECT_EQ(embedder_->passages, embedded);
  EXPECT_EQ(service_->status().front().files.total, 2U);
}

TEST_F(ServiceTest, GivesEachOddFileOneStateWithItsReason) {
  write("good.md", "zebrafish");
  write("empty.md", "");
  write("binary.md", std::string("\0\1\2\0\0\0\xFF", 7) + std::string(500, '\0'));
  write("large.md", std::string(3'000, 'x'));
  write("broken.canvas", "{ this is no JSON");
  write("picture.png", "\x89PNG");
  write(".hidden/secret.md", "zebrafish");
  ASSERT_EQ(::mkfifo((vault_ / "pipe.md").c_str(), 0600), 0);
  ServiceOptions limited = options();
  limited.max_file_bytes = 2'000;
  open(limited);
  scan();
  EXPECT_EQ(state_of("good.md"), "indexed");
  EXPECT_EQ(state_of("empty.md"), "indexed");
  EXPECT_THAT(state_of("binary.md"), StartsWith("skipped: "));
  EXPECT_THAT(state_of("large.md"), StartsWith("skipped: large.md has 3000 bytes"));
  EXPECT_THAT(state_of("broken.canvas"), StartsWith("failed: "));
  EXPECT_EQ(state_of("picture.png"), "indexed");
  EXPECT_THAT(state_of("pipe.md"), StartsWith("skipped: "));
  EXPECT_EQ(state_of(".hidden/secret.md"), "");
  const auto files = service_->status().front().files;
  EXPECT_EQ(files.total, 7U);
  EXPECT_EQ(files.total,
            files.indexed + files.skipped + files.failed + files.pending + files.stale);
  EXPECT_THAT(found("zebrafish"), ElementsAre("good.md"));
}

TEST_F(ServiceTest, TriesAnUnreadableNoteAgain) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may read everything";
  write("a.md", "zebrafish");
  std::filesystem::permissions(vault_ / "a.md", std::filesystem::perms::none);
  open();
  scan();
  EXPECT_THAT(state_of("a.md"), StartsWith("failed: "));
  std::filesystem::permissions(vault_ / "a.md", std::filesystem::perms::owner_all);
  EXPECT_TRUE(eventually([&] { return state_of("a.md") == "indexed"; }));
}

TEST_F(ServiceTest, FindsAttachmentsByName) {
  write("images/Mountain view.png", "\x89PNG");
  open();
  scan();
  EXPECT_THAT(found("mountain"), ElementsAre("images/Mountain view.png"));
}

TEST_F(ServiceTest, ServesTwoVaultsAndSharesTheirVectors) {
  const auto second = folder_ / "second";
  write("a.md", "# A\n\nzebrafish here");
  write(second / "a.md", "# A\n\nzebrafish here");
  write(second / "b.md", "# B\n\nquagga");
  ServiceOptions both = options();
  both.vaults.push_back({"more", second});
  open(both);
  scan(Service::WaitFor::kSemantic);
  EXPECT_EQ(embedder_->passages, 2);
  EXPECT_THAT(found("zebrafish"), ElementsAre("a.md", "a.md"));
  SearchRequest request;
  request.text = "zebrafish";
  request.vaults = {"more"};
  const auto outcome = service_->search(request, Deadline::never(), {}).value();
  ASSERT_EQ(outcome.hits.size(), 1U);
  EXPECT_EQ(outcome.hits[0].passage.vault, "more");
  request.vaults = {"nowhere"};
  EXPECT_EQ(service_->search(request, Deadline::never(), {}).error().code, ErrorCode::kNotFound);
  for (const VaultStatus& status : service_->status()) EXPECT_EQ(status.semantic_coverage, 1.0);
}

TEST_F(ServiceTest, PagesThroughTheLedgerOfAllVaults) {
  const auto second = folder_ / "second";
  for (int i = 0; i < 5; ++i) write("n" + std::to_string(i) + ".md", "word");
  for (int i = 0; i < 4; ++i) write(second / ("m" + std::to_string(i) + ".md"), "word");
  ServiceOptions both = options();
  both.vaults.push_back({"more", second});
  open(both);
  scan();
  for (const std::uint32_t limit : {1U, 2U, 4U, 5U, 9U, 100U}) {
    std::vector<std::string> paths;
    std::string cursor;
    do {
      const auto page = service_->files(FileState::kIndexed, "", limit, cursor).value();
      for (const FileRow& file : page.files) paths.push_back(file.vault + "/" + file.path);
      cursor = page.next_cursor;
    } while (!cursor.empty());
    EXPECT_EQ(paths.size(), 9U) << limit;
    EXPECT_EQ(paths.front(), "notes/n0.md");
    EXPECT_EQ(paths.back(), "more/m3.md");
  }
  EXPECT_EQ(service_->files(std::nullopt, "", 10, "rubbish").error().code,
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(service_->files(std::nullopt, "", 0, "").error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(service_->files(std::nullopt, "none", 10, "").error().code, ErrorCode::kNotFound);
}

TEST_F(ServiceTest, StartsRightFromWhatAKilledProcessLeft) {
  for (int i = 0; i < 50; ++i)
    write("n" + std::to_string(i) + ".md", "# N\n\nword" + std::to_string(i) + "\n");
  open();
  scan(Service::WaitFor::kSemantic);
  write("n7.md", "# N\n\nquagga\n");
  std::filesystem::remove(vault_ / "n8.md");
  // The files as they stand while the service still runs: database and write-ahead log, nothing
  // closed.
  std::filesystem::copy(folder_ / "data", folder_ / "left");
  service_.reset();
  ServiceOptions after = options();
  after.data_dir = folder_ / "left";
  open(after);
  EXPECT_THAT(found("word9"), ElementsAre("n9.md")) << "answers before it has walked";
  scan(Service::WaitFor::kSemantic);
  EXPECT_THAT(found("quagga"), ElementsAre("n7.md"));
  EXPECT_THAT(found("word7 word8"), IsEmpty());
  EXPECT_EQ(embedder_->passages, 51);
}

TEST_F(ServiceTest, StartsFromItsSnapshotAndWhatChangedSince) {
  write("a.md", "# A\n\nquagga [[B]]\n");
  write("B.md", "# B\n\nokapi\n");
  open();
  scan(Service::WaitFor::kSemantic);
  service_.reset();
  const auto snapshot = folder_ / "data" / "search-1.snapshot";
  ASSERT_TRUE(std::filesystem::exists(snapshot));
  std::filesystem::copy(snapshot, folder_ / "older");

  open();
  EXPECT_THAT(found("quagga"), ElementsAre("a.md")) << "answers before it has walked";
  EXPECT_EQ(service_->links("", "B.md")->backlinks.size(), 1U);
  EXPECT_EQ(service_->status().front().semantic_coverage, 1.0);
  write("a.md", "# A\n\nzebra\n");
  scan(Service::WaitFor::kSemantic);
  EXPECT_THAT(found("zebra"), ElementsAre("a.md"));
  service_.reset();

  // As after a kill: the store has gone on, the file has not.
  std::filesystem::copy(folder_ / "older", snapshot,
                        std::filesystem::copy_options::overwrite_existing);
  open();
  EXPECT_THAT(found("zebra"), ElementsAre("a.md"));
  EXPECT_THAT(found("quagga"), IsEmpty());
  EXPECT_THAT(found("okapi"), ElementsAre("B.md"));
  EXPECT_TRUE(service_->links("", "B.md")->backlinks.empty());
  service_.reset();
  std::ofstream(snapshot) << "KNAPSRCH rubbish";
  open();
  EXPECT_THAT(found("zebra"), ElementsAre("a.md")) << "a damaged snapshot is not used";
}

TEST_F(ServiceTest, LinksOfAnOlderSnapshotAreBroughtUpToDate) {
  write("a.md", "# A\n\nquagga [[Later]]\n");
  write("b.md", "# B\n\nquagga\n");
  open();
  scan();
  service_.reset();
  const auto snapshot = folder_ / "data" / "search-1.snapshot";
  std::filesystem::copy(snapshot, folder_ / "older");
  open();
  write("Later.md", "# Later\n\nokapi\n");
  scan();
  service_.reset();
  std::filesystem::copy(folder_ / "older", snapshot,
                        std::filesystem::copy_options::overwrite_existing);
  open();
  scan();
  SearchRequest request;
  request.text = "quagga";
  request.filter = *search::Filter::parse("link:[[Later]]", 0);
  const auto outcome = service_->search(request, Deadline::never(), {});
  ASSERT_TRUE(outcome);
  ASSERT_EQ(outcome->hits.size(), 1U);
  EXPECT_EQ(outcome->hits.front().passage.path, "a.md");
}

TEST_F(ServiceTest, ShowsANoteWithItsLinksAndBacklinks) {
  write("Home.md", "# Home\n\nSee [[Trees|the trees]] and [[Nowhere]].\n");
  write("plants/Trees.md", "---\naliases: [Woods]\n---\n# Trees\n\nBack to [[Home]].\n");
  write("walk.md", "# Walk\n\nInto the [[Woods]].\n");
  open();
  scan();
  const auto note = service_->note("", "plants/Trees.md").value();
  EXPECT_EQ(note.title, "Trees");
  EXPECT_THAT(note.aliases, ElementsAre("Woods"));
  EXPECT_THAT(note.text, HasSubstr("Back to [[Home]]."));
  const auto links = service_->links("notes", "plants/Trees.md").value();
  ASSERT_EQ(links.links.size(), 1U);
  EXPECT_EQ(links.links[0].path, "Home.md");
  ASSERT_EQ(links.backlinks.size(), 2U);
  EXPECT_EQ(links.backlinks[0].path, "Home.md");
  EXPECT_EQ(links.backlinks[0].context, "See [[Trees|the trees]] and [[Nowhere]].");
  EXPECT_EQ(links.backlinks[1].path, "walk.md");
  const auto home = service_->links("", "Home.md").value();
  ASSERT_EQ(home.links.size(), 2U);
  EXPECT_EQ(home.links[1].path, "");
  EXPECT_EQ(home.links[1].title, "Nowhere");
  write("Nowhere.md", "# Somewhere\n");
  scan();
  EXPECT_EQ(service_->links("", "Home.md")->links[1].path, "Nowhere.md");
  EXPECT_EQ(service_->note("", "missing.md").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(service_->note("other", "Home.md").error().code, ErrorCode::kNotFound);
}

TEST_F(ServiceTest, RelatesNotesButNeverANoteToItself) {
  write("a.md", "# A\n\nred green blue\n");
  write("b.md", "# B\n\nred green yellow\n");
  write("c.md", "# C\n\nstones and rivers\n");
  open();
  scan(Service::WaitFor::kSemantic);
  const auto related = service_->related("", "a.md", 5).value();
  ASSERT_FALSE(related.empty());
  EXPECT_EQ(related[0].passage.path, "b.md");
  for (const SearchHit& hit : related) EXPECT_NE(hit.passage.path, "a.md");
}

TEST_F(ServiceTest, SearchesWhileScanning) {
  for (int i = 0; i < 300; ++i)
    write("n" + std::to_string(i) + ".md", "# N\n\nword number" + std::to_string(i) + "x\n");
  open();
  service_->start();
  std::atomic<bool> done = false;
  std::vector<std::thread> searchers;
  for (int i = 0; i < 3; ++i) {
    searchers.emplace_back([&] {
      while (!done) {
        SearchRequest request;
        request.text = "word";
        EXPECT_TRUE(service_->search(request, Deadline::never(), {}).has_value());
        EXPECT_EQ(service_->status().size(), 1U);
        EXPECT_TRUE(service_->files(std::nullopt, "", 50, "").has_value());
      }
    });
  }
  scan(Service::WaitFor::kSemantic);
  for (int i = 0; i < 20; ++i) write("n" + std::to_string(i) + ".md", "# N\n\nchanged\n");
  scan(Service::WaitFor::kSemantic);
  done = true;
  for (std::thread& searcher : searchers) searcher.join();
  EXPECT_EQ(found("number299x").size(), 1U);
  EXPECT_THAT(found("number7x"), IsEmpty());
}

TEST_F(ServiceTest, SeesEditsRenamesAndDeletesThroughTheWatcher) {
  write("a.md", "# A\n\nzebrafish\n");
  ServiceOptions watched = options();
  watched.watch = ServiceOptions::Watch::kOn;
  open(watched);
  service_->start();
  scan();
  write("a.md", "# A\n\nquagga\n");
  EXPECT_TRUE(eventually([&] { return !found("quagga").empty(); }));
  EXPECT_THAT(found("zebrafish"), IsEmpty());
  write("folder/b.md", "# B\n\nokapi\n");
  EXPECT_TRUE(eventually([&] { return !found("okapi").empty(); }));
  std::filesystem::rename(vault_ / "folder", vault_ / "moved");
  EXPECT_TRUE(eventually([&] { return found("okapi") == std::vector<std::string>{"moved/b.md"}; }));
  std::filesystem::remove(vault_ / "a.md");
  EXPECT_TRUE(eventually([&] { return found("quagga").empty(); }));
  for (int i = 0; i < 500; ++i)
    write("many/n" + std::to_string(i) + ".md", "burst word" + std::to_string(i));
  EXPECT_TRUE(eventually([&] { return service_->status().front().files.indexed == 501; }));
  EXPECT_THAT(found("word499"), ElementsAre("many/n499.md"));
}

TEST_F(ServiceTest, RefusesWrongOptions) {
  const auto refused = [&](ServiceOptions options) {
    const auto service = Service::open(std::move(options), embedder_, leases_, *metrics_);
    return service ? "opened" : std::string(to_string(service.error().code));
  };
  ServiceOptions missing = options();
  missing.vaults[0].root = folder_ / "nowhere";
  EXPECT_EQ(refused(missing), "not_found");
  ServiceOptions twice = options();
  twice.vaults.push_back(twice.vaults[0]);
  EXPECT_EQ(refused(twice), "invalid_argument");
  open();
  EXPECT_EQ(refused(options()), "already_exists");
}

TEST_F(ServiceTest, StopsAtTheDeadlineAndWhenTheCallerGoes) {
  write("a.md", "zebrafish");
  open();
  CancelToken gone;
  gone.cancel();
  SearchRequest request;
  request.text = "zebrafish";
  EXPECT_EQ(service_->search(request, Deadline::never(), gone).error().code, ErrorCode::kCancelled);
  EXPECT_EQ(service_->search(request, Deadline::after(std::chrono::seconds(-1)), {}).error().code,
            ErrorCode::kDeadlineExceeded);
  embedder_->broken = true;
  EXPECT_EQ(service_
                ->scan(Service::WaitFor::kSemantic, Deadline::after(std::chrono::milliseconds(300)),
                       {}, nullptr)
                .error()
                .code,
            ErrorCode::kDeadlineExceeded);
}

}  // namespace
}  // namespace knap::index
