#include "knap/ops/vitals.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace knap::ops {
namespace {

using State = KpiState::State;
using testing::HasSubstr;

KpiState kpi_of(const Vitals& vitals, std::string_view name) {
  for (KpiState& state : vitals.kpis())
    if (state.kpi.name == name) return state;
  return {};
}

TEST(Kpi, IsJudgedWithAReasonInWords) {
  const Kpi& queue = kKpis[2];
  EXPECT_EQ(judge(queue, 2).state, State::kGood);
  EXPECT_EQ(judge(queue, 3).state, State::kFair);
  EXPECT_EQ(judge(queue, 6).state, State::kWarning);
  EXPECT_EQ(judge(queue, 6).reason, "6 requests is above the warning value of 5 requests");
  EXPECT_EQ(judge(queue, 11).state, State::kCritical);
  const Kpi& hits = kKpis[0];
  EXPECT_EQ(judge(hits, 80).state, State::kGood);
  EXPECT_EQ(judge(hits, 79).state, State::kFair);
  EXPECT_EQ(judge(hits, 70).state, State::kWarning);
  EXPECT_EQ(judge(hits, 10).state, State::kCritical);
  EXPECT_THAT(judge(hits, 10).reason, HasSubstr("below the critical value of 60 %"));
  EXPECT_EQ(judge(hits, std::nullopt, "nothing happened").reason, "nothing happened");
}

class VitalsTest : public testing::Test {
 protected:
  observe::Registry metrics_;
  Vitals vitals_{metrics_, {.cores = 2, .memory_bytes = 1'000}};
  observe::Histogram& search_ = metrics_.histogram("knap_level_seconds", "", {{"level", "search"}});
  observe::Gauge& cpu_ =
      metrics_.total("knap_process_cpu_seconds_total", "", {{"process", "server"}});
  std::int64_t now_ = 1'700'000'000'000;

  void pass(int seconds) {
    for (int i = 0; i < seconds; ++i) vitals_.tick(now_ += 1'000);
  }
};

TEST_F(VitalsTest, KnowsNothingBeforeAnythingHappened) {
  pass(20);
  EXPECT_EQ(kpi_of(vitals_, "response_p95").state, State::kUnknown);
  EXPECT_EQ(kpi_of(vitals_, "cache_hit_rate").state, State::kUnknown);
  EXPECT_EQ(kpi_of(vitals_, "model_queue").state, State::kGood);
}

TEST_F(VitalsTest, LooksAtTheLastMinuteOfLatencies) {
  pass(1);
  for (int i = 0; i < 100; ++i) search_.record(std::chrono::milliseconds(2'500));
  pass(20);
  EXPECT_EQ(kpi_of(vitals_, "response_p95").state, State::kWarning);
  for (int i = 0; i < 100; ++i) search_.record(std::chrono::seconds(4));
  EXPECT_EQ(kpi_of(vitals_, "response_p95").state, State::kCritical);
  pass(80);
  EXPECT_EQ(kpi_of(vitals_, "response_p95").state, State::kUnknown);
}

TEST_F(VitalsTest, MeasuresProcessorTimeAgainstTheCoresAllowed) {
  pass(1);
  for (int i = 0; i < 20; ++i) {
    cpu_.add(1.7);
    pass(1);
  }
  EXPECT_NEAR(*kpi_of(vitals_, "cpu").value, 85, 1);
  EXPECT_EQ(kpi_of(vitals_, "cpu").state, State::kWarning);
}

TEST_F(VitalsTest, MeasuresMemoryAgainstWhatMayBeTaken) {
  observe::Gauge& memory = metrics_.gauge("knap_process_memory_bytes", "", {{"process", "server"}});
  memory.set(650);
  EXPECT_EQ(kpi_of(vitals_, "memory").state, State::kGood);
  memory.set(950);
  EXPECT_EQ(kpi_of(vitals_, "memory").state, State::kCritical);
}

TEST_F(VitalsTest, CountsAHitInTheSecondLayerAsAHit) {
  pass(1);
  metrics_.counter("knap_cache_hits_total", "", {{"layer", "l1"}}).add(50);
  metrics_.counter("knap_cache_hits_total", "", {{"layer", "l2"}}).add(20);
  metrics_.total("knap_cache_requests_total", "", {{"layer", "l1"}}).set(100);
  metrics_.total("knap_cache_requests_total", "", {{"layer", "l2"}}).set(50);
  pass(1);
  EXPECT_DOUBLE_EQ(*kpi_of(vitals_, "cache_hit_rate").value, 70);
}

TEST_F(VitalsTest, KeepsAnHourInStepsOfTenSecondsAndADayInStepsOfFiveMinutes) {
  observe::Counter& good =
      metrics_.counter("knap_level_requests_total", "", {{"level", "search"}, {"result", "good"}});
  for (int i = 0; i < 2 * 3'600; ++i) {
    good.add(3);
    pass(1);
  }
  const auto hour = vitals_.trends(Vitals::Span::kHour);
  ASSERT_EQ(hour.size(), 360U);
  EXPECT_EQ(hour[1].unix_s - hour[0].unix_s, 10);
  EXPECT_NEAR(hour.back().requests_per_second, 3, .01);
  const auto day = vitals_.trends(Vitals::Span::kDay);
  ASSERT_EQ(day.size(), 23U);
  EXPECT_NEAR(day.back().requests_per_second, 3, .01);
}

}  // namespace
}  // namespace knap::ops
