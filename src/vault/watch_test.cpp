#include "knap/vault/watch.hpp"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "knap/base/mutex.hpp"
#include "test_folder.hpp"

namespace knap::vault {
namespace {

using namespace std::chrono_literals;

/// Gathers what a watcher reports and waits for it.
class Seen {
 public:
  void add(Changes changes) {
    const MutexLock lock(mutex_);
    ++calls_;
    rescans_ += changes.rescan ? 1 : 0;
    paths_.insert(changes.paths.begin(), changes.paths.end());
    wake_.notify_all();
  }
  /// True when all the paths were reported, or a rescan asked for where that will do.
  bool wait(const std::set<std::string>& wanted, bool rescan_will_do = false) {
    const Deadline deadline = Deadline::after(10s);
    const MutexLock lock(mutex_);
    while (true) {
      const bool all = std::includes(paths_.begin(), paths_.end(), wanted.begin(), wanted.end());
      if (all || (rescan_will_do && rescans_ > 0)) return true;
      if (!wake_.wait_until(mutex_, deadline) && deadline.expired()) return false;
    }
  }
  bool wait_for_rescan() {
    const Deadline deadline = Deadline::after(10s);
    const MutexLock lock(mutex_);
    while (rescans_ == 0) {
      if (!wake_.wait_until(mutex_, deadline) && deadline.expired()) return false;
    }
    return true;
  }
  void clear() {
    const MutexLock lock(mutex_);
    paths_.clear();
    rescans_ = 0;
    calls_ = 0;
  }
  int calls() {
    const MutexLock lock(mutex_);
    return calls_;
  }
  std::set<std::string> paths() {
    const MutexLock lock(mutex_);
    return paths_;
  }

 private:
  Mutex mutex_;
  CondVar wake_;
  std::set<std::string> paths_ KNAP_GUARDED_BY(mutex_);
  int rescans_ KNAP_GUARDED_BY(mutex_) = 0;
  int calls_ KNAP_GUARDED_BY(mutex_) = 0;
};

class WatcherTest : public testing::Test {
 protected:
  void start(Watcher::Options options = {}) {
    auto watcher = Watcher::start(vault_.path(), IgnoreRules::load(vault_.path()), options,
                                  [this](Changes changes) { seen_.add(std::move(changes)); });
    ASSERT_TRUE(watcher.has_value()) << watcher.error().message;
    watcher_ = std::move(*watcher);
  }
  TestFolder vault_;
  Seen seen_;
  std::unique_ptr<Watcher> watcher_;
};

TEST_F(WatcherTest, EditIsReportedSoonAndOnce) {
  vault_.write("sub/a.md");
  start();
  EXPECT_EQ(watcher_->mode(), "inotify");
  const auto begin = SteadyClock::now();
  vault_.write("sub/a.md", "new text");
  ASSERT_TRUE(seen_.wait({"sub/a.md"}));
  EXPECT_LT(SteadyClock::now() - begin, 1s);
  EXPECT_EQ(seen_.calls(), 1);
}

TEST_F(WatcherTest, AtomicSaveRenameAndDeleteNameTheFiles) {
  vault_.write("a.md");
  vault_.write("gone.md");
  start();
  vault_.write(".a.md.tmp", "fresh");
  std::filesystem::rename(vault_ / ".a.md.tmp", vault_ / "a.md");
  std::filesystem::remove(vault_ / "gone.md");
  ASSERT_TRUE(seen_.wait({"a.md", "gone.md"}));
  seen_.clear();
  std::filesystem::rename(vault_ / "a.md", vault_ / "b.md");
  ASSERT_TRUE(seen_.wait({"a.md", "b.md"}));
  EXPECT_FALSE(seen_.paths().contains(".a.md.tmp"));
}

TEST_F(WatcherTest, NewFoldersAreWatchedWithAllThatIsInThem) {
  start();
  std::set<std::string> wanted;
  for (int i = 0; i < 50; ++i) {
    const std::string path = "n" + std::to_string(i) + "/x/y/z.md";
    vault_.write(path);
    wanted.insert(path);
  }
  ASSERT_TRUE(seen_.wait(wanted));
  seen_.clear();
  vault_.write("n7/x/y/later.md");
  ASSERT_TRUE(seen_.wait({"n7/x/y/later.md"}));
}

TEST_F(WatcherTest, MovedFolderAsksForRescanAndIsWatchedAtItsNewPlace) {
  vault_.write("old/deep/a.md");
  start();
  std::filesystem::rename(vault_ / "old", vault_ / "new");
  ASSERT_TRUE(seen_.wait_for_rescan());
  ASSERT_TRUE(seen_.wait({"new/deep/a.md"}));
  seen_.clear();
  vault_.write("new/deep/a.md", "more");
  ASSERT_TRUE(seen_.wait({"new/deep/a.md"}));
  EXPECT_FALSE(seen_.paths().contains("old/deep/a.md"));
}

TEST_F(WatcherTest, BurstOfThousandsLosesNothing) {
  std::set<std::string> wanted;
  for (int i = 0; i < 5'000; ++i)
    wanted.insert("d" + std::to_string(i % 50) + "/n" + std::to_string(i) + ".md");
  for (const std::string& path : wanted) vault_.write(path);
  start();
  for (const std::string& path : wanted) vault_.write(path, "changed");
  EXPECT_TRUE(seen_.wait(wanted, true));
}

TEST_F(WatcherTest, HiddenAndIgnoredFilesAreNotReported) {
  vault_.write(".knapignore", "*.log\n");
  start();
  vault_.write("x.log");
  vault_.write(".obsidian/workspace.json");
  vault_.write("seen.md");
  ASSERT_TRUE(seen_.wait({"seen.md"}));
  EXPECT_EQ(seen_.paths(), std::set<std::string>{"seen.md"});
}

TEST_F(WatcherTest, ChangedIgnoreRulesAskForRescanAndHold) {
  vault_.write("a/x.md");
  start();
  vault_.write(".knapignore", "b.md\n");
  ASSERT_TRUE(seen_.wait_for_rescan());
  seen_.clear();
  vault_.write("a/b.md");
  vault_.write("a/c.md");
  ASSERT_TRUE(seen_.wait({"a/c.md"}));
  EXPECT_FALSE(seen_.paths().contains("a/b.md"));
}

TEST_F(WatcherTest, MorePathsThanTheLimitBecomeARescan) {
  start({.max_pending_paths = 10});
  for (int i = 0; i < 30; ++i) vault_.write("n" + std::to_string(i) + ".md");
  EXPECT_TRUE(seen_.wait_for_rescan());
}

TEST_F(WatcherTest, SteadyStreamIsReportedAtTheLatestAfterSettleMax) {
  start({.settle = 200ms, .settle_max = 300ms});
  const Deadline deadline = Deadline::after(5s);
  while (seen_.calls() == 0 && !deadline.expired()) vault_.write("a.md", "again");
  EXPECT_GT(seen_.calls(), 0);
}

TEST_F(WatcherTest, RescanIsAskedForAtEveryInterval) {
  start({.scan_interval = 1s});
  EXPECT_TRUE(seen_.wait_for_rescan());
}

TEST(Watcher, MissingRootIsNotFound) {
  const auto watcher = Watcher::start("/nonexistent/vault", IgnoreRules(), {}, [](Changes) {});
  ASSERT_FALSE(watcher.has_value());
  EXPECT_EQ(watcher.error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace knap::vault
