#include "replicas.hpp"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "fake_runner.hpp"

namespace knap::models {
namespace {

using namespace std::chrono_literals;

class ReplicasTest : public testing::Test {
 protected:
  std::shared_ptr<RunnerPool::Slot> add(const std::string& name) {
    return pool_->add(
        {.name = name, .bytes = 1, .arithmetic = "", .keep = Keep::kOnDemand, .make = [this] {
           return std::make_shared<FakeRunner>(world_, 1);
         }});
  }
  void open(int count) {
    pool_ = RunnerPool::create({}, metrics_);
    for (int i = 0; i < count; ++i) slots_.push_back(add("r" + std::to_string(i)));
    replicas_ = std::make_unique<Replicas>(pool_, slots_);
  }
  std::shared_ptr<const Replicas::Lent> lend() {
    auto lent = replicas_->lend(Deadline::after(20s), {});
    EXPECT_TRUE(lent) << lent.error().message;
    return lent ? *lent : nullptr;
  }
  bool ready(int index) {
    return pool_->state(slots_[static_cast<std::size_t>(index)]).state == "ready";
  }
  bool eventually_ready(int index) {
    for (const Deadline patience = Deadline::after(20s); !patience.expired();) {
      if (ready(index)) return true;
      std::this_thread::sleep_for(2ms);
    }
    return false;
  }
  void TearDown() override {
    if (pool_) pool_->stop();
  }

  World world_;
  observe::Registry metrics_;
  std::shared_ptr<RunnerPool> pool_;
  std::vector<std::shared_ptr<RunnerPool::Slot>> slots_;
  std::unique_ptr<Replicas> replicas_;
};

TEST_F(ReplicasTest, OneAtATimeStaysWithTheFirst) {
  open(3);
  for (int i = 0; i < 5; ++i) ASSERT_NE(lend(), nullptr);
  EXPECT_TRUE(ready(0));
  EXPECT_FALSE(ready(1));
  EXPECT_FALSE(ready(2));
}

TEST_F(ReplicasTest, TheNextOneIsLoadedWhileTheFirstIsBusyAndNobodyWaitsForIt) {
  open(2);
  const auto first = lend();
  world_.gated = true;  // what loads now does not become ready
  const auto second = lend();
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(&first->runner(), &second->runner());
  world_.gated = false;
  ASSERT_TRUE(eventually_ready(1));
  const auto third = lend();
  EXPECT_NE(&third->runner(), &first->runner());
}

TEST_F(ReplicasTest, RequestsAreSharedOut) {
  open(3);
  std::vector<std::shared_ptr<const Replicas::Lent>> held;
  held.push_back(lend());
  held.push_back(lend());  // the second begins to load
  ASSERT_TRUE(eventually_ready(1));
  held.push_back(lend());  // the second one's first; nothing else is idle: the third begins to load
  held.push_back(lend());
  ASSERT_TRUE(eventually_ready(2));
  held.clear();
  for (int i = 0; i < 9; ++i) held.push_back(lend());
  std::map<const PooledRunner*, int> counts;
  for (const auto& each : held) ++counts[&each->runner()];
  ASSERT_EQ(counts.size(), 3U);
  for (const auto& each : counts) EXPECT_EQ(each.second, 3);
}

TEST_F(ReplicasTest, AFailedLoanCountsNothing) {
  open(1);
  world_.gated = true;
  EXPECT_FALSE(replicas_->lend(Deadline::after(20ms), {}));
  EXPECT_FALSE(replicas_->lend_loaded());
  world_.gated = false;
  EXPECT_NE(lend(), nullptr);
  EXPECT_TRUE(replicas_->lend_loaded());
}

}  // namespace
}  // namespace knap::models
