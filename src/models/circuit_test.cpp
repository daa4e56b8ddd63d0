#include "circuit.hpp"

#include <gtest/gtest.h>

namespace knap::models {
namespace {

using namespace std::chrono_literals;

struct CircuitTest : testing::Test {
  SteadyClock::time_point now{1h};
  Circuit circuit{[this] { return now; }};

  void fail(std::uint32_t times) {
    for (std::uint32_t i = 0; i < times; ++i) {
      ASSERT_TRUE(circuit.enter());
      circuit.failed();
    }
  }
};

TEST_F(CircuitTest, OpensAfterFailuresInARowOnly) {
  fail(Circuit::kFailuresToOpen - 1);
  ASSERT_TRUE(circuit.enter());
  circuit.succeeded();
  fail(Circuit::kFailuresToOpen - 1);
  EXPECT_FALSE(circuit.open());
  fail(1);
  EXPECT_TRUE(circuit.open());
  EXPECT_FALSE(circuit.enter());
  EXPECT_EQ(circuit.state(), "open for 5 s");
}

TEST_F(CircuitTest, LetsOneCallerTryAfterThePause) {
  fail(Circuit::kFailuresToOpen);
  now += Circuit::kFirstPause;
  EXPECT_EQ(circuit.state(), "trying again");
  EXPECT_TRUE(circuit.enter());
  EXPECT_FALSE(circuit.enter()) << "a second caller while the first one tries";
  circuit.gave_up();
  EXPECT_TRUE(circuit.enter()) << "a try that said nothing blocks nobody";
  circuit.succeeded();
  EXPECT_EQ(circuit.state(), "closed");
  EXPECT_TRUE(circuit.enter());
}

TEST_F(CircuitTest, DoublesThePauseAndQuarantinesWhatNeverRecovers) {
  fail(Circuit::kFailuresToOpen);
  now += Circuit::kFirstPause;
  fail(1);
  EXPECT_EQ(circuit.state(), "open for 10 s");
  for (std::uint32_t opened = 2; opened < Circuit::kOpeningsToQuarantine; ++opened) {
    now += Circuit::kLongestPause;
    fail(1);
  }
  EXPECT_EQ(circuit.state(), "quarantined for 600 s");
  now += Circuit::kQuarantine;
  ASSERT_TRUE(circuit.enter());
  circuit.succeeded();
  fail(Circuit::kFailuresToOpen);
  EXPECT_EQ(circuit.state(), "open for 5 s") << "a success forgives all";
}

TEST(RetryBudget, IsEarnedByRequestsAndBounded) {
  RetryBudget budget;
  const auto spend_all = [&] {
    int spent = 0;
    while (budget.spend()) ++spent;
    return spent;
  };
  EXPECT_EQ(spend_all(), 10);
  for (int i = 0; i < 9; ++i) budget.earn();
  EXPECT_EQ(spend_all(), 0);
  budget.earn();
  EXPECT_EQ(spend_all(), 1);
  for (int i = 0; i < 1'000; ++i) budget.earn();
  EXPECT_EQ(spend_all(), 10);
}

}  // namespace
}  // namespace knap::models
