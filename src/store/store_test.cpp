#include "knap/store/store.hpp"

#include <array>
#include <atomic>
#include <fstream>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "migrations.hpp"

namespace knap::store {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class StoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "knap-store-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::unique_ptr<Store> open() {
    auto store = Store::open({folder_});
    EXPECT_TRUE(store.has_value()) << (store ? "" : store.error().message);
    return store ? std::move(*store) : nullptr;
  }
  std::filesystem::path database() const { return folder_ / "knap.db"; }

  static FileChange change(std::int64_t id, std::string path, std::vector<std::string> texts) {
    FileChange change;
    change.file.id = static_cast<FileId>(id);
    change.file.path = std::move(path);
    change.file.hash = hash128(change.file.path);
    change.content = FileChange::Content::kReplace;
    change.note = {"Title", "name", "en", "a\nb", std::string("me\0ta", 5)};
    std::uint32_t line = 1;
    for (std::string& text : texts) {
      PassageRecord passage;
      passage.hash = hash128(text);
      passage.first_line = line;
      passage.last_line = line + 4;
      passage.headings = "One\nTwo";
      passage.text = "**" + text + "**";
      passage.plain = std::move(text);
      change.passages.push_back(std::move(passage));
      line += 10;
    }
    return change;
  }
  static std::vector<std::string> paths(const Store& store, VaultId vault) {
    std::vector<std::string> out;
    EXPECT_TRUE(store.files(vault, [&](FileRecord file) { out.push_back(std::move(file.path)); })
                    .has_value());
    return out;
  }

  std::filesystem::path folder_;
};

TEST_F(StoreTest, GivesBackWhatWasWrittenAfterReopening) {
  VaultId vault{};
  {
    auto store = open();
    vault = store->vault("notes", "/notes").value();
    FileChange first = change(7, "a/Ü.md", {"alpha", "beta"});
    first.file.size_bytes = 1ULL << 63;
    first.file.mtime_ns = -5;
    first.file.inode = ~0ULL;
    first.file.state = FileState::kStale;
    first.file.reason = "why";
    first.file.attempts = 3;
    ASSERT_TRUE(store->apply(vault, {{first}, {}}).has_value());
  }
  auto store = open();
  EXPECT_EQ(store->vault("notes", "/elsewhere").value(), vault);
  EXPECT_EQ(store->next_file_id().value(), 8);
  std::vector<FileRecord> files;
  ASSERT_TRUE(store->files(vault, [&](FileRecord file) { files.push_back(file); }).has_value());
  ASSERT_EQ(files.size(), 1U);
  EXPECT_EQ(files[0].path, "a/Ü.md");
  EXPECT_EQ(files[0].size_bytes, 1ULL << 63);
  EXPECT_EQ(files[0].mtime_ns, -5);
  EXPECT_EQ(files[0].inode, ~0ULL);
  EXPECT_EQ(files[0].state, FileState::kStale);
  EXPECT_EQ(files[0].reason, "why");
  EXPECT_EQ(files[0].hash, hash128("a/Ü.md"));
  const auto note = store->note(static_cast<FileId>(7)).value();
  ASSERT_TRUE(note.has_value());
  EXPECT_EQ(note->note.meta, std::string("me\0ta", 5));
  ASSERT_EQ(note->passages.size(), 2U);
  EXPECT_EQ(note->passages[1].plain, "beta");
  EXPECT_EQ(note->passages[1].first_line, 11U);
}

TEST_F(StoreTest, ReplacesAndDropsTheContentOfAFile) {
  auto store = open();
  const VaultId vault = store->vault("v", "/v").value();
  ASSERT_TRUE(
      store->apply(vault, {{change(1, "a.md", {"x", "y", "z"}), change(2, "b.md", {"w"})}, {}})
          .has_value());
  ASSERT_TRUE(store->apply(vault, {{change(1, "a.md", {"q"})}, {}}).has_value());
  EXPECT_THAT(store->passage_hashes(static_cast<FileId>(1)).value(), ElementsAre(hash128("q")));
  FileChange drop = change(1, "a.md", {});
  drop.content = FileChange::Content::kDrop;
  ASSERT_TRUE(store->apply(vault, {{drop}, {}}).has_value());
  EXPECT_FALSE(store->note(static_cast<FileId>(1)).value().has_value());
  FileChange keep = change(2, "b.md", {});
  keep.content = FileChange::Content::kKeep;
  ASSERT_TRUE(store->apply(vault, {{keep}, {}}).has_value());
  EXPECT_EQ(store->passage_hashes(static_cast<FileId>(2)).value().size(), 1U);
}

TEST_F(StoreTest, MovesAPathToANewIdInOneBatch) {
  auto store = open();
  const VaultId vault = store->vault("v", "/v").value();
  ASSERT_TRUE(store->apply(vault, {{change(1, "a.md", {"x"})}, {}}).has_value());
  ASSERT_TRUE(
      store->apply(vault, {{change(2, "a.md", {"y"})}, {static_cast<FileId>(1)}}).has_value());
  EXPECT_THAT(paths(*store, vault), ElementsAre("a.md"));
  EXPECT_TRUE(store->passage_hashes(static_cast<FileId>(1)).value().empty());
}

TEST_F(StoreTest, AnswersPassageRowsInTheOrderOfTheKeysWithGapsWhereGone) {
  auto store = open();
  const VaultId vault = store->vault("v", "/v").value();
  ASSERT_TRUE(store->apply(vault, {{change(1, "a.md", {"x", "y"}), change(2, "b.md", {"z"})}, {}})
                  .has_value());
  const std::array keys{
      PassageKey{static_cast<FileId>(2), 0}, PassageKey{static_cast<FileId>(9), 0},
      PassageKey{static_cast<FileId>(1), 1}, PassageKey{static_cast<FileId>(1), 2}};
  const auto rows = store->passages(keys).value();
  ASSERT_TRUE(rows[0] && rows[2]);
  EXPECT_FALSE(rows[1] || rows[3]);
  EXPECT_EQ(rows[0]->path, "b.md");
  EXPECT_EQ(rows[2]->passage.plain, "y");
  EXPECT_EQ(rows[2]->passage.text, "**y**");
  EXPECT_EQ(rows[2]->tags, "a\nb");
  EXPECT_EQ(rows[2]->vault, vault);
  EXPECT_EQ(store->passage_at(static_cast<FileId>(1), 12).value(), 1U);
  EXPECT_FALSE(store->passage_at(static_cast<FileId>(1), 8).value().has_value());
}

TEST_F(StoreTest, LoadsNotesOfOneVaultWithTheirPassages) {
  auto store = open();
  const VaultId first = store->vault("one", "/1").value(),
                second = store->vault("two", "/2").value();
  ASSERT_TRUE(
      store
          ->apply(first,
                  {{change(1, "a", {"x", "y"}), change(3, "c", {}), change(5, "d", {"w"})}, {}})
          .has_value());
  ASSERT_TRUE(store->apply(second, {{change(2, "a", {"other"}), change(6, "b", {"last"})}, {}})
                  .has_value());
  std::vector<std::string> seen;
  ASSERT_TRUE(store
                  ->notes(first,
                          [&](LoadedNote note) {
                            std::string line = std::to_string(static_cast<std::int64_t>(note.id));
                            for (const LoadedPassage& passage : note.passages)
                              line += " " + passage.plain;
                            seen.push_back(line);
                            return true;
                          })
                  .has_value());
  EXPECT_THAT(seen, ElementsAre("1 x y", "3", "5 w"));
}

TEST_F(StoreTest, KeepsEmbeddingsByHashAndModelWhenPassagesVanish) {
  auto store = open();
  const VaultId vault = store->vault("v", "/v").value();
  const ModelKey model = store->model("m1").value(), other = store->model("m2").value();
  ASSERT_TRUE(
      store->apply(vault, {{change(1, "a.md", {"x", "y", "x"}), change(2, "b.md", {"x"})}, {}})
          .has_value());
  const std::array all{vault};
  auto missing = store->missing_embeddings(model, all, std::nullopt, 10).value();
  EXPECT_EQ(missing.size(), 2U) << "the hash that stands in three passages counts once";
  const std::vector<std::int8_t> vector{1, -2, 127};
  const std::array records{EmbeddingRecord{hash128("x"), vector}};
  ASSERT_TRUE(store->put_embeddings(model, records, 1000).has_value());
  missing = store->missing_embeddings(model, all, std::nullopt, 10).value();
  ASSERT_EQ(missing.size(), 1U);
  EXPECT_EQ(missing[0].hash, hash128("y"));
  EXPECT_EQ(missing[0].passage, (PassageKey{static_cast<FileId>(1), 1}));
  EXPECT_TRUE(store->missing_embeddings(model, all, missing[0].hash, 10).value().empty());
  EXPECT_EQ(store->missing_embeddings(other, all, std::nullopt, 10).value().size(), 2U);
  const std::array files{static_cast<FileId>(1), static_cast<FileId>(2)};
  EXPECT_THAT(store->missing_in_files(model, files).value(), ElementsAre(1U, 0U));
  EXPECT_THAT(store->vaults_with(hash128("x")).value(), ElementsAre(vault));

  ASSERT_TRUE(
      store->apply(vault, {{}, {static_cast<FileId>(1), static_cast<FileId>(2)}}).has_value());
  const std::array hashes{hash128("y"), hash128("x")};
  std::vector<std::size_t> found;
  ASSERT_TRUE(store
                  ->embeddings(model, hashes,
                               [&](std::size_t i, std::span<const std::int8_t> values) {
                                 found.push_back(i);
                                 EXPECT_THAT(values, ElementsAre(1, -2, 127));
                               })
                  .has_value());
  EXPECT_THAT(found, ElementsAre(1U));
}

TEST_F(StoreTest, CollectsOnlyOldEmbeddingsThatNothingUses) {
  auto store = open();
  const VaultId vault = store->vault("v", "/v").value();
  const ModelKey model = store->model("m").value();
  const std::vector<std::int8_t> vector{1, 2};
  const std::array old{EmbeddingRecord{hash128("used"), vector},
                       EmbeddingRecord{hash128("unused"), vector}};
  const std::array young{EmbeddingRecord{hash128("young"), vector}};
  ASSERT_TRUE(store->apply(vault, {{change(1, "a.md", {"used"})}, {}}).has_value());
  ASSERT_TRUE(store->put_embeddings(model, old, 10).has_value());
  ASSERT_TRUE(store->put_embeddings(model, young, 100).has_value());
  EXPECT_EQ(store->collect_garbage(50, 10).value(), 1U);
  const std::array hashes{hash128("used"), hash128("unused"), hash128("young")};
  std::vector<std::size_t> left;
  ASSERT_TRUE(store->embeddings(model, hashes, [&](std::size_t i, auto) { left.push_back(i); })
                  .has_value());
  EXPECT_THAT(left, ElementsAre(0U, 2U));
  std::vector<Hash128> used;
  ASSERT_TRUE(
      store->used_embeddings(model, vault, [&](const Hash128& hash, auto) { used.push_back(hash); })
          .has_value());
  EXPECT_THAT(used, ElementsAre(hash128("used")));
}

TEST_F(StoreTest, KeepsWhatWasTakenOutOfAContentByReaderAndVersion) {
  auto store = open();
  const Hash128 content = hash128("a pdf");
  const std::string bytes("D\0text", 6);
  EXPECT_EQ(store->extraction(content, {1, 1}).value(), std::nullopt);
  ASSERT_TRUE(store->put_extraction(content, {1, 1}, bytes, 10).has_value());
  ASSERT_TRUE(store->put_extraction(content, {2, 1}, "other", 10).has_value());
  EXPECT_EQ(store->extraction(content, {1, 1}).value(), bytes);
  EXPECT_EQ(store->extraction(content, {2, 1}).value(), "other");
  EXPECT_EQ(store->extraction(content, {1, 2}).value(), std::nullopt);
  ASSERT_TRUE(store->put_extraction(content, {1, 2}, "new", 20).has_value());
  EXPECT_EQ(store->extraction(content, {1, 2}).value(), "new");
  EXPECT_EQ(store->extraction(content, {1, 1}).value(), std::nullopt);
}

TEST_F(StoreTest, CollectsOnlyOldExtractionsOfContentThatNoFileHas) {
  auto store = open();
  const VaultId vault = store->vault("v", "/v").value();
  FileChange file = change(1, "a.pdf", {"text"});
  file.file.hash = hash128("here");
  ASSERT_TRUE(store->apply(vault, {{file}, {}}).has_value());
  for (const auto& [content, made] : {std::pair("here", 10), {"gone", 10}, {"young", 100}})
    ASSERT_TRUE(store->put_extraction(hash128(content), {1, 1}, "x", made).has_value());
  EXPECT_EQ(store->collect_extractions(50, 10).value(), 1U);
  EXPECT_TRUE(store->extraction(hash128("here"), {1, 1}).value().has_value());
  EXPECT_FALSE(store->extraction(hash128("gone"), {1, 1}).value().has_value());
  EXPECT_TRUE(store->extraction(hash128("young"), {1, 1}).value().has_value());
}

TEST_F(StoreTest, KeepsThePlaceOfAPassage) {
  auto store = open();
  const VaultId vault = store->vault("v", "/v").value();
  FileChange file = change(1, "a.pdf", {"text"});
  file.passages[0].place = 7;
  ASSERT_TRUE(store->apply(vault, {{file}, {}}).has_value());
  const PassageKey key{static_cast<FileId>(1), 0};
  EXPECT_EQ(store->passages(std::span(&key, 1)).value()[0]->passage.place, 7U);
}

TEST_F(StoreTest, KnowsWhichModelServesAndWhatAnotherLacks) {
  std::unique_ptr<Store> store = open();
  EXPECT_EQ(store->serving_model().value(), "");
  const VaultId vault = store->vault("v", "/v").value();
  const VaultId other = store->vault("w", "/w").value();
  const ModelKey first = store->model("first").value();
  const ModelKey second = store->model("second").value();
  ASSERT_TRUE(store->apply(vault, {{change(1, "a.md", {"one", "two", "two"})}, {}}).has_value());
  ASSERT_TRUE(store->apply(other, {{change(2, "b.md", {"three"})}, {}}).has_value());
  const std::vector<std::int8_t> vector{1, 2};
  const std::array records{EmbeddingRecord{hash128("one"), vector},
                           EmbeddingRecord{hash128("three"), vector}};
  ASSERT_TRUE(store->put_embeddings(first, records, 10).has_value());
  EXPECT_EQ(store->count_missing_embeddings(first, std::array{vault}).value(), 1U);
  EXPECT_EQ(store->count_missing_embeddings(second, std::array{vault, other}).value(), 3U);
  std::vector<Hash128> used;
  ASSERT_TRUE(
      store->used_embeddings(first, other, [&](const Hash128& hash, auto) { used.push_back(hash); })
          .has_value());
  EXPECT_THAT(used, ElementsAre(hash128("three"))) << "of that vault alone";
  ASSERT_TRUE(store->set_serving_model(first).has_value());
  ASSERT_TRUE(store->set_serving_model(second).has_value());
  store.reset();
  store = open();
  EXPECT_EQ(store->serving_model().value(), "second");
}

TEST_F(StoreTest, RefusesASecondProcessAndASecondStoreOnTheFolder) {
  auto store = open();
  const auto again = Store::open({folder_});
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().code, ErrorCode::kAlreadyExists);
  EXPECT_THAT(again.error().message, HasSubstr(folder_.string()));
  const pid_t child = ::fork();
  if (child == 0) ::_exit(Store::open({folder_}).has_value() ? 1 : 0);
  int state = 0;
  ASSERT_EQ(::waitpid(child, &state, 0), child);
  EXPECT_EQ(WEXITSTATUS(state), 0);
  store.reset();
  EXPECT_TRUE(Store::open({folder_}).has_value());
}

TEST_F(StoreTest, NamesTheFileAndTheWayOutWhenItIsNoDatabase) {
  std::ofstream(database()) << std::string(20'000, 'x');
  const auto store = Store::open({folder_});
  ASSERT_FALSE(store.has_value());
  EXPECT_EQ(store.error().code, ErrorCode::kCorruptData);
  EXPECT_THAT(store.error().message, HasSubstr(database().string()));
  EXPECT_THAT(store.error().message, HasSubstr("move it aside"));
}

TEST_F(StoreTest, ReportsPagesOverwrittenByRubbish) {
  {
    auto store = open();
    const VaultId vault = store->vault("v", "/v").value();
    WriteBatch batch;
    for (int i = 1; i <= 500; ++i)
      batch.changes.push_back(change(i, "note " + std::to_string(i), {std::string(900, 'w')}));
    ASSERT_TRUE(store->apply(vault, batch).has_value());
  }
  {
    std::fstream file(database(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(8192 * 8);
    file << std::string(8192 * 40, '\xA5');
  }
  auto store = Store::open({folder_});
  Status read = store ? Status() : Status(store.error());
  if (store) {
    const VaultId vault = (*store)->vault("v", "/v").value();
    read = (*store)->files(vault, [](FileRecord) {});
    if (read) read = (*store)->notes(vault, [](LoadedNote) { return true; });
  }
  ASSERT_FALSE(read.has_value());
  EXPECT_EQ(read.error().code, ErrorCode::kCorruptData);
}

TEST_F(StoreTest, RefusesAStoreOfANewerKnap) {
  open().reset();
  {
    auto raw = Database::open(database(), Database::Access::kReadWrite).value();
    ASSERT_TRUE(
        raw->execute("INSERT INTO schema_migrations VALUES (999, 'future', '', 0)").has_value());
  }
  const auto store = Store::open({folder_});
  ASSERT_FALSE(store.has_value());
  EXPECT_EQ(store.error().code, ErrorCode::kFailedPrecondition);
  EXPECT_THAT(store.error().message, HasSubstr("newer knap (schema 999"));
}

TEST_F(StoreTest, RefusesADatabaseOfAnotherProgram) {
  {
    auto raw = Database::open(database(), Database::Access::kReadWrite).value();
    ASSERT_TRUE(raw->execute("CREATE TABLE precious (a)").has_value());
  }
  const auto store = Store::open({folder_});
  ASSERT_FALSE(store.has_value());
  EXPECT_EQ(store.error().code, ErrorCode::kFailedPrecondition);
}

TEST_F(StoreTest, RollsBackWholeWhenTheDiskIsFull) {
  auto raw = Database::open(database(), Database::Access::kReadWrite).value();
  ASSERT_TRUE(migrate(*raw).has_value());
  ASSERT_TRUE(raw->execute("PRAGMA max_page_count = 60").has_value());
  const auto fill = [&]() -> Status {
    KNAP_TRY(auto transaction, Transaction::begin(*raw));
    KNAP_TRY(auto insert,
             raw->prepare("INSERT INTO notes VALUES (?, '', '', '', '', zeroblob(5000), 0)"));
    for (std::int64_t i = 1; i < 1000; ++i) {
      insert.bind(i);
      KNAP_CHECK_OK(insert.run());
    }
    return transaction.commit();
  };
  const Status filled = fill();
  ASSERT_FALSE(filled.has_value());
  EXPECT_EQ(filled.error().code, ErrorCode::kResourceExhausted);
  EXPECT_EQ(raw->integer("SELECT count(*) FROM notes").value(), 0);
}

TEST_F(StoreTest, CountsChangesAndKnowsItsNewestMarks) {
  auto store = open();
  const VaultId vault = store->vault("v", "/v").value();
  const VaultId other = store->vault("w", "/w").value();
  EXPECT_EQ(store->changes(vault).value(), 0U);
  const Mark first = store->mark(vault).value();
  ASSERT_TRUE(
      store->apply(vault, {{change(1, "a.md", {"a"}), change(2, "b.md", {"b"})}, {}}).has_value());
  const Mark second = store->mark(vault).value();
  ASSERT_TRUE(store->apply(vault, {{change(2, "b.md", {"c"})}, {}}).has_value());
  EXPECT_EQ(second.changes, 1U);
  EXPECT_EQ(store->changes(vault).value(), 2U);
  EXPECT_EQ(store->changes(other).value(), 0U);

  std::vector<std::pair<FileId, std::uint64_t>> notes;
  ASSERT_TRUE(
      store
          ->note_records(vault, [&](FileId id, NoteRecord,
                                    std::uint64_t number) { notes.emplace_back(id, number); })
          .has_value());
  EXPECT_THAT(notes, ElementsAre(std::pair(FileId{1}, 1U), std::pair(FileId{2}, 2U)));

  EXPECT_EQ(store->find_mark(vault, second.stamp).value()->changes, 1U);
  EXPECT_FALSE(store->find_mark(other, second.stamp).value().has_value());
  EXPECT_TRUE(store->find_mark(vault, first.stamp).value().has_value());
  const Mark third = store->mark(vault).value();
  EXPECT_FALSE(store->find_mark(vault, first.stamp).value().has_value())
      << "only the newest are kept";
  EXPECT_TRUE(store->find_mark(vault, second.stamp).value().has_value());
  EXPECT_EQ(third.changes, 2U);
  EXPECT_FALSE(store->find_mark(vault, ~0ULL).value().has_value());
}

TEST_F(StoreTest, SaysThatAReadOnlyFolderIsReadOnly) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may write everywhere";
  std::filesystem::permissions(
      folder_, std::filesystem::perms::owner_read | std::filesystem::perms::owner_exec);
  const auto store = Store::open({folder_});
  std::filesystem::permissions(folder_, std::filesystem::perms::owner_all);
  ASSERT_FALSE(store.has_value());
  EXPECT_EQ(store.error().code, ErrorCode::kPermissionDenied);
}

TEST_F(StoreTest, ServesReadersWhileAWriterWrites) {
  auto store = open();
  const VaultId vault = store->vault("v", "/v").value();
  std::atomic<bool> done = false;
  std::vector<std::thread> readers;
  std::atomic<int> torn = 0;
  for (int i = 0; i < 6; ++i) {
    readers.emplace_back([&] {
      while (!done) {
        const auto note = store->note(static_cast<FileId>(1));
        if (!note || (*note && (*note)->passages.size() != 3)) ++torn;
      }
    });
  }
  for (int i = 0; i < 50; ++i) {
    const std::string text = std::to_string(i);
    ASSERT_TRUE(store->apply(vault, {{change(1, "a.md", {text, text, text})}, {}}).has_value());
  }
  done = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(torn, 0);
}

}  // namespace
}  // namespace knap::store
