#include "warmer.hpp"

#include <atomic>

#include <gtest/gtest.h>

#include "knap/base/file.hpp"

namespace knap::api {
namespace {

using cache::Kind;
using std::chrono::seconds;

class WarmerTest : public testing::Test {
 protected:
  WarmerTest() {
    std::string name = testing::TempDir() + "warmerXXXXXX";
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  ~WarmerTest() override {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  Warmer::Work work() {
    Warmer::Work out;
    out.content = [this] { return std::optional(std::to_string(content_.load())); };
    out.make = [this](Kind, const std::string& body, Warmer::Work::Need) {
      const MutexLock lock(mutex_);
      made_.push_back(body);
      return body != "there";
    };
    return out;
  }
  std::vector<std::string> made() {
    const MutexLock lock(mutex_);
    return made_;
  }
  std::vector<std::string> wait_for(std::size_t count) {
    const Deadline until = Deadline::after(seconds(20));
    while (made().size() < count && !until.expired()) std::this_thread::yield();
    return made();
  }
  static void ask(Warmer& warmer, const std::string& body, int times, std::uint32_t cost_us) {
    for (int i = 0; i < times; ++i)
      warmer.used(Kind::kSearch, std::hash<std::string>()(body), cost_us, [&] { return body; });
  }

  std::filesystem::path folder_;
  observe::Registry metrics_;
  std::atomic<int> content_ = 1;
  Mutex mutex_;
  std::vector<std::string> made_;
};

TEST_F(WarmerTest, MakesTheMostValuedFirstAndLeavesOutWhatWasAskedOnce) {
  Warmer warmer({2, {}}, work(), metrics_);
  ask(warmer, "often", 10, 100);
  ask(warmer, "dear", 2, 100'000);
  ask(warmer, "cheap", 2, 1);
  ask(warmer, "once", 1, 1'000'000);
  const auto warmed = warmer.warm(Deadline::never(), {});
  EXPECT_EQ(warmed.questions, 2U);
  EXPECT_EQ(warmed.made, 2U);
  const auto first = made();
  ASSERT_GE(first.size(), 2U);
  EXPECT_EQ(first[0], "dear");
  EXPECT_EQ(first[1], "often");
}

TEST_F(WarmerTest, WarmsByItselfWhenTheContentHasChangedAndIsStill) {
  Warmer warmer({5, {}}, work(), metrics_);
  ask(warmer, "a", 2, 100);
  EXPECT_EQ(wait_for(1).size(), 1U);
  ++content_;
  EXPECT_EQ(wait_for(2).back(), "a");
}

TEST_F(WarmerTest, RenewsWhatExpires) {
  Warmer warmer({5, {}}, work(), metrics_);
  ask(warmer, "a", 1, 100);
  warmer.refresh(std::hash<std::string>()("a"));
  warmer.refresh(12345);  // unknown
  EXPECT_EQ(wait_for(1).front(), "a");
}

TEST_F(WarmerTest, RemembersOverARestartAndSurvivesADamagedFile) {
  const auto file = folder_ / "questions.json";
  {
    Warmer warmer({5, file}, work(), metrics_);
    ask(warmer, "a \"quoted\"", 3, 100);
  }
  {
    Warmer warmer({5, file}, work(), metrics_);
    EXPECT_EQ(warmer.warm(Deadline::never(), {}).questions, 1U);
    EXPECT_EQ(made().back(), "a \"quoted\"");
  }
  ASSERT_TRUE(write_file_atomic(file, "{\"questions\": [{}]}"));
  Warmer warmer({5, file}, work(), metrics_);
  EXPECT_EQ(warmer.warm(Deadline::never(), {}).questions, 0U);
}

TEST_F(WarmerTest, SwitchedOffRemembersNothing) {
  Warmer warmer({0, folder_ / "questions.json"}, work(), metrics_);
  ask(warmer, "a", 3, 100);
  EXPECT_EQ(warmer.warm(Deadline::never(), {}).questions, 0U);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "questions.json"));
}

TEST_F(WarmerTest, CountsWhatWasMadeAlone) {
  Warmer warmer({5, {}}, work(), metrics_);
  ask(warmer, "there", 3, 100);
  const auto warmed = warmer.warm(Deadline::never(), {});
  EXPECT_EQ(warmed.questions, 1U);
  EXPECT_EQ(warmed.made, 0U);
}

}  // namespace
}  // namespace knap::api
