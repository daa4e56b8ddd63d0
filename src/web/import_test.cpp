#include "knap/web/import.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "knap/base/file.hpp"
#include "note_writer.hpp"

namespace knap::web {
namespace {

class NoteWriter : public testing::Test {
 protected:
  NoteWriter()
      : folder_(std::filesystem::path(testing::TempDir()) /
                ("knap_web_test_" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(folder_);
  }
  ~NoteWriter() override { std::filesystem::remove_all(folder_); }
  std::filesystem::path folder_;
};

TEST_F(NoteWriter, NeverReplacesAFile) {
  std::ofstream(folder_ / "A.md") << "mine";
  std::filesystem::create_symlink("/nowhere", folder_ / "A 2.md");
  const auto written = write_new_note(folder_, "A", "new");
  ASSERT_TRUE(written) << written.error().message;
  EXPECT_EQ(*written, "A 3.md");
  EXPECT_EQ(*read_file(folder_ / "A.md", 100), "mine");
  EXPECT_EQ(*read_file(folder_ / "A 3.md", 100), "new");
  EXPECT_FALSE(std::filesystem::exists("/nowhere"));
}

TEST_F(NoteWriter, EndsWhenTooManyHaveTheName) {
  for (int i = 1; i <= 100; ++i)
    std::ofstream(folder_ / (i == 1 ? "B.md" : "B " + std::to_string(i) + ".md")) << "x";
  EXPECT_EQ(write_new_note(folder_, "B", "new").error().code, ErrorCode::kAlreadyExists);
  EXPECT_EQ(write_new_note(folder_ / "absent", "B", "new").error().code,
            ErrorCode::kFailedPrecondition);
}

TEST(NoteName, IsAFileNameEverywhere) {
  EXPECT_EQ(note_name("A: b/c? <d> [[e]] #f"), "A b c d e f");
  EXPECT_EQ(note_name("../../etc/passwd"), "etc passwd");
  EXPECT_EQ(note_name("...."), "Web page");
  EXPECT_EQ(note_name("line\nbreak\x01"), "line break");
  EXPECT_LE(note_name(std::string(1000, 'x')).size(), 120U);
}

TEST(KeptPage, HasOneNameForEachAddressAndSaysThatItIsUntrusted) {
  Imported page;
  page.title = "A: b/c? " + std::string(500, 'x');
  page.address = "https://a.test/1";
  page.fetched = "2026-11-28T10:00:00Z";
  page.markdown = "Text.\n";
  const std::string name = kept_name(page);
  EXPECT_TRUE(name.starts_with("A b c x") && name.ends_with(".web.md")) << name;
  EXPECT_LE(name.size(), 200U);
  Imported again = page;
  again.fetched = "2026-11-29T10:00:00Z";
  EXPECT_EQ(kept_name(again), name);
  again.address = "https://a.test/2";
  EXPECT_NE(kept_name(again), name);
  EXPECT_NE(note_of(page).find("trust: untrusted\n"), std::string::npos);
  EXPECT_NE(note_of(page).find("source: \"https://a.test/1\"\n"), std::string::npos);
}

TEST(Importer, WantsAFolderBeforeItFetches) {
  Importer importer({});
  EXPECT_EQ(
      importer.import("http://a.test/", Importer::Note::kWrite, Deadline::never(), {}).error().code,
      ErrorCode::kFailedPrecondition);
}

}  // namespace
}  // namespace knap::web
