#include "knap/observe/log.hpp"

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "knap/base/file.hpp"

namespace knap::observe {
namespace {

TEST(Log, WritesOneJsonObjectALineAndRespectsTheLevel) {
  const auto file = std::filesystem::path(testing::TempDir()) / "knap_log_test.json";
  std::filesystem::remove(file);
  ASSERT_TRUE(configure_log(
      {.level = LogLevel::kInfo, .format = LogOptions::Format::kJson, .file = file.string()}));
  log_debug("hidden", "not written");
  log_info("index_done", "a\nb", {{"notes", std::int64_t{3}}, {"vault", std::string("x\"y")}});
  ASSERT_TRUE(configure_log({}));
  const std::string text = read_file(file, 10'000).value();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
  EXPECT_THAT(text, testing::HasSubstr(
                        R"("event":"index_done","message":"a\nb","notes":3,"vault":"x\"y")"));
}

TEST(Log, RefusesAFileThatCannotBeOpened) {
  EXPECT_EQ(configure_log({.file = "/proc/no/such/log"}).error().code, ErrorCode::kIo);
}

}  // namespace
}  // namespace knap::observe
