#include "runner/whisper_levels.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "knap/base/file.hpp"
#include "test_folder.hpp"
#include "tiny_whisper.hpp"
#include "whisper_convert.hpp"

namespace knap::models::runner {
namespace {

using testing::HasSubstr;

constexpr std::size_t kFileBytesMax = 4U << 20;

class WhisperLevelsTest : public testing::Test {
 protected:
  WhisperLevelsTest() {
    // As in a real file: magic, sizes, and a bank of 80 filters for 201 frequencies.
    std::string head = "lmgg" + std::string(44, '\0');
    put(head, std::uint32_t{80});
    put(head, std::uint32_t{201});
    head += std::string(std::size_t{80} * 201 * 4, '\0');
    parts_ = {folder_.write("weights", tiny_whisper().file()),
              folder_.write("vocabulary", "a\nb\n<|endoftext|>\n"), folder_.write("head", head)};
    expect_done(convert_whisper(parts_, source_, {}, cancel_, WhisperBits::kSixteen));
  }
  static void expect_done(const Status& status) { ASSERT_TRUE(status) << status.error().message; }
  Result<std::string> level(std::string_view name) {
    return write_whisper_level(source_, name, made_, cancel_);
  }
  static std::string bytes(const std::filesystem::path& file) {
    return *read_file(file, kFileBytesMax);
  }

  TestFolder folder_;
  CancelToken cancel_;
  WhisperParts parts_;
  const std::filesystem::path source_ = folder_.path() / "source.bin";
  const std::filesystem::path made_ = folder_.path() / "made.bin";
};

TEST_F(WhisperLevelsTest, SixteenBitsAreTheSourceItself) {
  ASSERT_EQ(*level("F16"), "F16");
  EXPECT_EQ(bytes(made_), bytes(source_));
}

TEST_F(WhisperLevelsTest, EightBitsAreWhatIsInstalled) {
  ASSERT_EQ(*level("Q8_0"), "Q8_0");
  const auto installed = folder_.path() / "installed.bin";
  expect_done(convert_whisper(parts_, installed, {}, cancel_));
  EXPECT_EQ(bytes(made_), bytes(installed));
}

TEST_F(WhisperLevelsTest, FewerBitsMakeSmallerFiles) {
  std::size_t before = 0;
  for (const auto* name : {"Q4_K_M", "Q5_K_M", "Q8_0", "F16", "F32"}) {
    ASSERT_TRUE(level(name)) << name;
    EXPECT_GT(bytes(made_).size(), before) << name;
    before = bytes(made_).size();
  }
}

TEST_F(WhisperLevelsTest, ShortRowsHaveLevelsOfShortBlocks) {
  EXPECT_EQ(*level("Q5_K_M"), "Q5_0");
  EXPECT_EQ(*level("Q4_K_M"), "Q4_0");
  const auto six = level("Q6_K");
  ASSERT_FALSE(six);
  EXPECT_EQ(six.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(six.error().message, HasSubstr("64 numbers"));
}

TEST_F(WhisperLevelsTest, RefusesBrokenFiles) {
  const std::string whole = bytes(source_);
  for (const std::size_t length : {std::size_t{3}, std::size_t{40}, std::size_t{60},
                                   std::size_t{64'380}, whole.size() / 2, whole.size() - 1}) {
    const auto file = folder_.write("short.bin", whole.substr(0, length));
    const auto made = write_whisper_level(file, "Q8_0", made_, cancel_);
    ASSERT_FALSE(made) << length;
    EXPECT_EQ(made.error().code, ErrorCode::kCorruptData) << length;
  }
}

TEST_F(WhisperLevelsTest, RefusesAHeadThatLiesAboutTheRows) {
  std::string whole = bytes(source_);
  whole[12] = whole[28] = 0;  // 64 becomes 256
  whole[13] = whole[29] = 1;
  const auto made = write_whisper_level(folder_.write("lie.bin", whole), "Q6_K", made_, cancel_);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, ErrorCode::kCorruptData);
}

TEST_F(WhisperLevelsTest, RefusesABankOfFiltersWhoseSizeOverflows) {
  std::string whole = bytes(source_);
  whole.replace(48, 8, std::string("\0\0\0\x80\0\0\0\x80", 8));  // times four that is 0 in 64 bits
  const auto made = write_whisper_level(folder_.write("bank.bin", whole), "Q8_0", made_, cancel_);
  ASSERT_FALSE(made);
  EXPECT_THAT(made.error().message, HasSubstr("bank of filters"));
}

TEST_F(WhisperLevelsTest, RefusesWhatIsQuantisedAlready) {
  ASSERT_TRUE(level("Q8_0"));
  const auto again = write_whisper_level(made_, "Q4_K_M", folder_.path() / "again.bin", cancel_);
  ASSERT_FALSE(again);
  EXPECT_THAT(again.error().message, HasSubstr("another level"));
}

}  // namespace
}  // namespace knap::models::runner
