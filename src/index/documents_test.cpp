#include "documents.hpp"

#include <atomic>
#include <fstream>

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
using ::testing::UnorderedElementsAre;

/// Reads "pages" divided by form feeds; a file that begins with "!" fails as its text says.
class DocumentsTest : public ServiceTest {
 protected:
  Result<extract::Document> read(int file) {
    ++reads_;
    std::string bytes(1U << 16, '\0');
    const ssize_t got = ::pread(file, bytes.data(), bytes.size(), 0);
    bytes.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    if (bytes.starts_with("!encrypted"))
      return make_error(ErrorCode::kUnsupported, "encrypted: it needs a password");
    if (bytes.starts_with("!broken")) return make_error(ErrorCode::kCorruptData, "broken");
    if (bytes.starts_with("!late")) return make_error(ErrorCode::kDeadlineExceeded, "too slow");
    extract::Document document;
    document.title = "The report";
    document.author = "A. Writer";
    document.created = "2024-02-03";
    document.blocks.push_back({extract::Block::Kind::kHeading, 1, 1, "Part"});
    std::uint32_t page = 1;
    for (std::size_t begin = 0; begin <= bytes.size(); ++page) {
      const std::size_t end = std::min(bytes.find('\f', begin), bytes.size());
      document.blocks.push_back(
          {extract::Block::Kind::kParagraph, 0, page, bytes.substr(begin, end - begin)});
      begin = end + 1;
    }
    return document;
  }

  ServiceOptions with_documents() {
    ServiceOptions out = options();
    DocumentReader reader;
    reader.id = 1;
    reader.name = "pdf";
    reader.version = version_;
    reader.types = {vault::FileType::kPdf};
    reader.max_file_bytes = 1'000;
    reader.off = off_;
    reader.ready = [this] { return ready_; };
    reader.read = [this](int file, std::string_view, Deadline, const CancelToken&) {
      return read(file);
    };
    out.documents = {reader};
    return out;
  }
  SearchHit first(const std::string& text) const {
    SearchRequest request;
    request.text = text;
    auto outcome = service_->search(request, Deadline::never(), {}).value();
    return outcome.hits.empty() ? SearchHit() : outcome.hits[0];
  }

  std::atomic<int> reads_ = 0;
  Status ready_;
  std::uint16_t version_ = 1;
  std::string off_;
};

TEST_F(DocumentsTest, AreFoundWithTheirPageAndKnowTitleAuthorAndType) {
  write("a.md", "# A\n\nzebrafish\n");
  write("papers/x.pdf", "nothing here\fthe quagga grazes\fthe end");
  open(with_documents());
  scan();
  const SearchHit hit = first("quagga");
  EXPECT_EQ(hit.passage.path, "papers/x.pdf");
  EXPECT_EQ(hit.passage.title, "The report");
  EXPECT_EQ(hit.passage.note_name, "x");
  EXPECT_EQ(hit.passage.place, 2U);
  EXPECT_THAT(hit.passage.headings, ElementsAre("Part"));
  EXPECT_EQ(first("zebrafish").passage.place, 0U);
  SearchRequest request;
  request.text = "quagga";
  request.filter = *search::Filter::parse("type:pdf prop.author:\"A. Writer\"", 0);
  EXPECT_EQ(service_->search(request, Deadline::never(), {}).value().hits.size(), 1U);
  const NoteView note = service_->note("", "papers/x.pdf").value();
  EXPECT_EQ(note.text, "# Part\n\nnothing here\n\nthe quagga grazes\n\nthe end");
  EXPECT_EQ(service_->status().front().files.indexed, 2U);
}

TEST_F(DocumentsTest, AreNotReadAgainByAStartARenameOrACopy) {
  write("x.pdf", "the quagga");
  open(with_documents());
  scan();
  EXPECT_EQ(reads_, 1);
  open(with_documents());
  scan();
  EXPECT_THAT(found("quagga"), ElementsAre("x.pdf"));
  std::filesystem::rename(vault_ / "x.pdf", vault_ / "y.pdf");
  write("z.pdf", "the quagga");
  scan();
  EXPECT_THAT(found("quagga"), UnorderedElementsAre("y.pdf", "z.pdf"));
  EXPECT_EQ(reads_, 1);
  ASSERT_TRUE(service_->rebuild(Deadline::never(), {}, nullptr).has_value());
  EXPECT_EQ(reads_, 1);
}

TEST_F(DocumentsTest, AreReadAgainByANewerReaderAndWhenTheyChange) {
  write("x.pdf", "the quagga");
  open(with_documents());
  scan();
  version_ = 2;
  open(with_documents());
  scan();
  EXPECT_EQ(reads_, 2);
  write("x.pdf", "the zebrafish");
  scan();
  EXPECT_EQ(reads_, 3);
  EXPECT_THAT(found("zebrafish"), ElementsAre("x.pdf"));
  EXPECT_THAT(found("quagga"), IsEmpty());
}

TEST_F(DocumentsTest, ThatGiveNoTextAreFoundByNameWithTheReasonInTheLedger) {
  write("good.pdf", "the quagga");
  write("locked.pdf", "!encrypted");
  write("broken.pdf", "!broken");
  write("huge.pdf", std::string(2'000, 'x'));
  open(with_documents());
  scan();
  EXPECT_EQ(state_of("good.pdf"), "indexed");
  EXPECT_EQ(state_of("locked.pdf"), "skipped: encrypted: it needs a password");
  EXPECT_EQ(state_of("broken.pdf"), "failed: broken");
  EXPECT_EQ(state_of("huge.pdf"), "skipped: larger than 1000 bytes");
  EXPECT_THAT(found("locked"), ElementsAre("locked.pdf"));
  EXPECT_THAT(found("huge"), ElementsAre("huge.pdf"));
  const int reads = reads_;
  open(with_documents());
  scan();
  EXPECT_EQ(reads_, reads);
  EXPECT_EQ(state_of("locked.pdf"), "skipped: encrypted: it needs a password");
  EXPECT_THAT(found("broken"), ElementsAre("broken.pdf"));
  EXPECT_EQ(service_->status().front().files.total, 4U);
}

TEST_F(DocumentsTest, ImportedNotesOfThePagesTypeReplaceTheirElders) {
  ServiceOptions options = with_documents();
  options.vaults.push_back({"imports", folder_ / "data" / "imports", VaultConfig::Kind::kImports});
  open(options);
  scan();
  const auto import = [&](std::string_view word) {
    const auto row = service_->import_note(
        "A page 0a.web.md", "---\ntrust: untrusted\n---\n\nThe " + std::string(word) + ".\n");
    ASSERT_TRUE(row.has_value());
    EXPECT_EQ(row->vault, "imports");
    ASSERT_TRUE(
        service_->wait_for_file("imports", row->path, Deadline::after(std::chrono::seconds(20)), {})
            .has_value());
  };
  import("quagga");
  import("zebrafish");
  EXPECT_THAT(found("quagga"), IsEmpty());
  SearchRequest request;
  request.text = "zebrafish";
  request.filter = *search::Filter::parse("type:web trust:untrusted", 0);
  EXPECT_EQ(service_->search(request, Deadline::never(), {}).value().hits.size(), 1U);
  ASSERT_TRUE(service_->drop_import("A page 0a.web.md"));
  scan();
  EXPECT_THAT(found("zebrafish"), IsEmpty());
  EXPECT_TRUE(service_->drop_import("A page 0a.web.md"));
  EXPECT_EQ(service_->drop_import("../x.md").error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(service_->import_note("x.pdf", "text").error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(service_->import_note("../x.md", "text").error().code, ErrorCode::kInvalidArgument);
}

TEST_F(DocumentsTest, OfAKindThatIsOffAreSkippedWithTheSettingAndReadOnceItIsOn) {
  write("x.pdf", "the quagga");
  off_ = "not read: set index.pdf to true";
  open(with_documents());
  scan();
  EXPECT_EQ(state_of("x.pdf"), "skipped: not read: set index.pdf to true");
  EXPECT_THAT(found("x"), ElementsAre("x.pdf"));
  EXPECT_EQ(reads_, 0);
  EXPECT_EQ(service_->import_file("y.pdf", "the quagga").error().message, off_);
  off_.clear();
  open(with_documents());
  scan();
  EXPECT_EQ(state_of("x.pdf"), "indexed");
  EXPECT_THAT(found("quagga"), ElementsAre("x.pdf"));
  off_ = "not read: set index.pdf to true";
  open(with_documents());
  scan();
  EXPECT_THAT(found("quagga"), IsEmpty());
  EXPECT_EQ(reads_, 1);
}

TEST_F(DocumentsTest, ThatCannotBeReadNowAreTriedAgainAndHoldNothingUp) {
  ready_ = make_error(ErrorCode::kFailedPrecondition, "pdftotext is not installed");
  write("a.md", "zebrafish\n");
  write("x.pdf", "the quagga");
  open(with_documents());
  scan();
  EXPECT_THAT(found("zebrafish"), ElementsAre("a.md"));
  EXPECT_EQ(state_of("x.pdf"), "failed: pdftotext is not installed");
  EXPECT_THAT(found("x"), ElementsAre("x.pdf"));
  EXPECT_EQ(reads_, 0);
  ready_ = {};
  EXPECT_TRUE(eventually([&] { return found("quagga").size() == 1; }));
  EXPECT_EQ(state_of("x.pdf"), "indexed");
}

TEST_F(DocumentsTest, ThatTakeTooLongAreGivenUpAfterAFewTries) {
  write("x.pdf", "!late");
  open(with_documents());
  scan();
  EXPECT_EQ(state_of("x.pdf"), "failed: too slow");
  EXPECT_TRUE(eventually([&] { return state_of("x.pdf") == "skipped: too slow"; }));
  EXPECT_EQ(reads_, 3);
}

TEST_F(DocumentsTest, KeepTheOldTextWhileTheNewOneCannotBeRead) {
  write("x.pdf", "the quagga");
  open(with_documents());
  scan();
  write("x.pdf", "!late now");
  scan();
  EXPECT_THAT(found("quagga"), ElementsAre("x.pdf"));
  EXPECT_EQ(state_of("x.pdf"), "stale: too slow");
}

TEST_F(DocumentsTest, GoByTheirNameOnlyWhenTheReaderIsOff) {
  write("x.pdf", "the quagga");
  open();
  scan();
  EXPECT_THAT(found("quagga"), IsEmpty());
  EXPECT_EQ(state_of("x.pdf"), "indexed");
  open(with_documents());
  scan();
  EXPECT_THAT(found("quagga"), ElementsAre("x.pdf"));
  open();
  scan();
  EXPECT_THAT(found("quagga"), IsEmpty());
  EXPECT_THAT(found("x"), ElementsAre("x.pdf"));
}

TEST_F(DocumentsTest, AreLinkedFromNotesThatEmbedThem) {
  write("a.md", "# A\n\nSee ![[x.pdf#page=2]].\n");
  write("x.pdf", "the quagga");
  write("locked.pdf", "!encrypted");
  write("b.md", "![[locked.pdf]]\n");
  open(with_documents());
  scan();
  for (int i = 0; i < 2; ++i) {
    const LinksView links = service_->links("", "x.pdf").value();
    ASSERT_EQ(links.backlinks.size(), 1U);
    EXPECT_EQ(links.backlinks[0].path, "a.md");
    EXPECT_EQ(service_->links("", "locked.pdf").value().backlinks.size(), 1U);
    EXPECT_EQ(service_->links("", "a.md").value().links[0].path, "x.pdf");
    open(with_documents());
    scan();
  }
}

TEST_F(DocumentsTest, LeaveTheIndexWithTheirFile) {
  write("x.pdf", "the quagga");
  open(with_documents());
  scan();
  std::filesystem::remove(vault_ / "x.pdf");
  scan();
  EXPECT_THAT(found("quagga"), IsEmpty());
  EXPECT_EQ(state_of("x.pdf"), "");
}

class ImportsTest : public DocumentsTest {
 protected:
  ServiceOptions with_imports() {
    ServiceOptions out = with_documents();
    out.vaults.push_back({"imports", folder_ / "data" / "imports", VaultConfig::Kind::kImports});
    return out;
  }
  FileRow imported(std::string_view name, std::string_view bytes) {
    const FileRow file = service_->import_file(name, bytes).value();
    return service_
        ->wait_for_file(file.vault, file.path, Deadline::after(std::chrono::seconds(20)), {})
        .value();
  }
};

TEST_F(ImportsTest, ShowOnlyWhenThereAreAny) {
  write("a.md", "zebrafish\n");
  open(with_imports());
  scan();
  EXPECT_EQ(service_->status().size(), 1U);
  EXPECT_THAT(service_->vaults(), ElementsAre("notes"));
  EXPECT_EQ(imported("x.pdf", "the quagga").state, FileState::kIndexed);
  EXPECT_THAT(service_->vaults(), ElementsAre("notes", "imports"));
  EXPECT_THAT(found("quagga"), ElementsAre("x.pdf"));
  EXPECT_FALSE(std::filesystem::exists(vault_ / "x.pdf"));
  open(with_imports());
  scan();
  EXPECT_THAT(found("quagga"), ElementsAre("x.pdf"));
}

TEST_F(ImportsTest, OfOneNameGetNumbersAndOfOneContentAreOne) {
  open(with_imports());
  scan();
  EXPECT_EQ(imported("x.pdf", "the quagga").path, "x.pdf");
  EXPECT_EQ(imported("x.pdf", "the zebrafish").path, "x (2).pdf");
  EXPECT_EQ(imported("x.pdf", "the zebrafish").path, "x (2).pdf");
  EXPECT_EQ(imported("x.pdf", "the quagga").path, "x.pdf");
  EXPECT_EQ(reads_, 2);
}

TEST_F(ImportsTest, RefuseOddNamesKindsAndSizes) {
  open(with_imports());
  scan();
  for (const char* name : {"", "../x.pdf", "a/x.pdf", ".x.pdf", "x\n.pdf", "a\\x.pdf", "\xFF.pdf"})
    EXPECT_EQ(service_->import_file(name, "text").error().code, ErrorCode::kInvalidArgument)
        << name;
  EXPECT_EQ(service_->import_file("x.exe", "text").error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(service_->import_file("x.pdf", std::string(2'000, 'x')).error().code,
            ErrorCode::kResourceExhausted);
  open(with_documents());
  EXPECT_EQ(service_->import_file("x.pdf", "text").error().code, ErrorCode::kFailedPrecondition);
}

TEST_F(ImportsTest, WaitingForAFileTellsWhatBecameOfIt) {
  write("locked.pdf", "!encrypted");
  open(with_imports());
  scan();
  const Deadline soon = Deadline::after(std::chrono::seconds(20));
  EXPECT_EQ(service_->wait_for_file("", "locked.pdf", soon, {}).value().state, FileState::kSkipped);
  write("locked.pdf", "open now");
  EXPECT_EQ(service_->wait_for_file("", "locked.pdf", soon, {}).value().state, FileState::kIndexed);
  write("late.pdf", "!late");
  EXPECT_EQ(service_->wait_for_file("", "late.pdf", soon, {}).value().reason, "too slow");
  EXPECT_EQ(service_->wait_for_file("", "none.pdf", soon, {}).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(service_->wait_for_file("none", "x.pdf", soon, {}).error().code, ErrorCode::kNotFound);
}

TEST(Extracted, RoundTripsAndRefusesDamage) {
  Extracted with;
  with.document.emplace().title = "T";
  with.document->blocks.push_back({extract::Block::Kind::kParagraph, 0, 3, "text"});
  const Extracted back = decode_extracted(encode(with)).value();
  ASSERT_TRUE(back.document.has_value());
  EXPECT_EQ(back.document->title, "T");
  EXPECT_EQ(back.document->blocks[0].place, 3U);
  Extracted without;
  without.error = make_error(ErrorCode::kUnsupported, "no text layer");
  EXPECT_EQ(decode_extracted(encode(without)).value().error.message, "no text layer");
  const std::string bytes = encode(with);
  for (std::size_t length = 0; length < bytes.size(); ++length)
    EXPECT_FALSE(decode_extracted(std::string_view(bytes).substr(0, length)).has_value());
  without.error.code = ErrorCode::kIo;  // never final, so never kept
  EXPECT_FALSE(decode_extracted(encode(without)).has_value());
}

}  // namespace
}  // namespace knap::index
