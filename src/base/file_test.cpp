#include "knap/base/file.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

namespace knap {
namespace {

class FileTest : public testing::Test {
 protected:
  FileTest()
      : folder_(std::filesystem::path(testing::TempDir()) /
                ("knap_file_test_" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(folder_);
  }
  ~FileTest() override { std::filesystem::remove_all(folder_); }
  std::filesystem::path folder_;
};

TEST_F(FileTest, WrittenBytesAreReadBack) {
  ASSERT_TRUE(write_file_atomic(folder_ / "a", "one"));
  ASSERT_TRUE(write_file_atomic(folder_ / "a", "two"));
  EXPECT_EQ(read_file(folder_ / "a", 10).value(), "two");
}

TEST_F(FileTest, PiecesAreSeenTogetherOnceTheyAreCommitted) {
  ASSERT_TRUE(write_file_atomic(folder_ / "a", "old"));
  auto file = AtomicFile::create(folder_ / "a");
  ASSERT_TRUE(file);
  EXPECT_TRUE(file->write("new, "));
  EXPECT_TRUE(file->write("in pieces"));
  EXPECT_EQ(read_file(folder_ / "a", 99).value(), "old");
  EXPECT_TRUE(file->commit());
  EXPECT_EQ(read_file(folder_ / "a", 99).value(), "new, in pieces");
}

TEST_F(FileTest, WhatIsNotCommittedLeavesNoTrace) {
  {
    auto file = AtomicFile::create(folder_ / "a");
    ASSERT_TRUE(file);
    EXPECT_TRUE(file->write("half"));
    const auto moved = std::move(*file);
    EXPECT_FALSE(std::filesystem::is_empty(folder_));
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
  EXPECT_FALSE(AtomicFile::create(folder_ / "missing" / "a"));
}

TEST_F(FileTest, RefusesWhatIsTooLargeMissingOrNoFile) {
  ASSERT_TRUE(write_file_atomic(folder_ / "a", "0123456789"));
  EXPECT_EQ(read_file(folder_ / "a", 9).error().code, ErrorCode::kResourceExhausted);
  EXPECT_EQ(read_file(folder_ / "b", 9).error().code, ErrorCode::kNotFound);
  ASSERT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  EXPECT_EQ(read_file(folder_ / "pipe", 9).error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace knap
