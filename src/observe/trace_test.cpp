#include "knap/observe/trace.hpp"

#include <gtest/gtest.h>

namespace knap::observe {
namespace {

TEST(Trace, TakesStagesOfItsThreadOnly) {
  trace_stage("nobody", SteadyClock::now(), {});
  Trace trace;
  trace.received = SteadyClock::now();
  {
    const TraceScope scope(trace);
    trace_stage("search", trace.received + std::chrono::milliseconds(3),
                std::chrono::milliseconds(4), "model");
    Trace inner;
    const TraceScope nested(inner);
    trace_stage("other", SteadyClock::now(), {});
    EXPECT_EQ(inner.stages.size(), 1U);
  }
  trace_stage("late", SteadyClock::now(), {});
  EXPECT_EQ(current_trace(), nullptr);
  ASSERT_EQ(trace.stages.size(), 1U);
  EXPECT_EQ(trace.stages[0].name, "search");
  EXPECT_EQ(trace.stages[0].detail, "model");
  EXPECT_EQ(trace.stages[0].begin, std::chrono::milliseconds(3));
  EXPECT_EQ(trace.stages[0].took, std::chrono::milliseconds(4));
}

TEST(Trace, HasABoundOfStages) {
  Trace trace;
  const TraceScope scope(trace);
  for (int i = 0; i < 1'000; ++i) trace_stage("s", SteadyClock::now(), {});
  EXPECT_EQ(trace.stages.size(), Trace::kStagesMax);
}

TEST(TraceRing, KeepsTheNewest) {
  TraceRing ring(3);
  for (int i = 1; i <= 5; ++i) {
    Trace trace;
    trace.status = i;
    ring.add(std::move(trace));
  }
  const auto traces = ring.latest(2);
  ASSERT_EQ(traces.size(), 2U);
  EXPECT_EQ(traces[0].status, 5);
  EXPECT_EQ(traces[1].status, 4);
  EXPECT_EQ(ring.latest(10).size(), 3U);
}

}  // namespace
}  // namespace knap::observe
