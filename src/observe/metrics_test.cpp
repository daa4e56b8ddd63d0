#include "knap/observe/metrics.hpp"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace knap::observe {
namespace {

using std::chrono::microseconds;
using testing::HasSubstr;

TEST(Histogram, QuantilesAreWithinThreePercent) {
  Histogram histogram;
  for (int i = 1; i <= 10'000; ++i) histogram.record(microseconds(i * 10));
  EXPECT_EQ(histogram.count(), 10'000U);
  EXPECT_NEAR(histogram.quantile_seconds(.5), .05, .05 * .032);
  EXPECT_NEAR(histogram.quantile_seconds(.99), .099, .099 * .032);
  EXPECT_NEAR(histogram.sum_seconds(), 500.05, .01);
}

TEST(Histogram, HoldsExtremesWithoutTrap) {
  Histogram histogram;
  histogram.record(microseconds(-5));
  histogram.record(std::chrono::hours(1'000'000));
  EXPECT_EQ(histogram.count(), 2U);
  EXPECT_EQ(histogram.count_at_most(0), 1U);
}

TEST(Registry, WritesPrometheusText) {
  Registry registry;
  registry.counter("knap_test_total", "Things", {{"kind", "a\"b"}}).add(3);
  registry.histogram("knap_test_seconds", "Times").record(std::chrono::milliseconds(3));
  const std::string text = registry.prometheus();
  EXPECT_THAT(text,
              HasSubstr("# TYPE knap_test_total counter\nknap_test_total{kind=\"a\\\"b\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("knap_test_seconds_bucket{le=\"0.0025\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("knap_test_seconds_bucket{le=\"0.005\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("knap_test_seconds_count 1\n"));
}

TEST(Histogram, CountsExactlyUpToTheLimitsOfTheLevels) {
  Histogram histogram;
  for (const int milliseconds : {100, 500, 2'000, 10'000, 60'000}) {
    histogram.record(microseconds(milliseconds * 1000));
    histogram.record(microseconds(milliseconds * 1000 + 1));
  }
  EXPECT_EQ(histogram.count_at_most(.1), 1U);
  EXPECT_EQ(histogram.count_at_most(.5), 3U);
  EXPECT_EQ(histogram.count_at_most(2), 5U);
  EXPECT_EQ(histogram.count_at_most(10), 7U);
  EXPECT_EQ(histogram.count_at_most(60), 9U);
  EXPECT_EQ(histogram.cumulative().count, 10U);
}

TEST(Histogram, TellsTheQuantileOfWhatHappenedBetweenTwoReadings) {
  Histogram histogram;
  Histogram::Buckets before{}, now{};
  for (int i = 0; i < 1'000; ++i) histogram.record(std::chrono::seconds(5));
  histogram.read(before);
  EXPECT_EQ(Histogram::quantile_of(before, before, .95), 0);
  for (int i = 0; i < 10; ++i) histogram.record(std::chrono::milliseconds(20));
  histogram.read(now);
  EXPECT_NEAR(Histogram::quantile_of(now, before, .95), .02, .02 * .032);
}

TEST(Histogram, OfRatesHasEdgesOfItsOwn) {
  Histogram histogram(Scale::kRate);
  histogram.record_rate(35.5);
  histogram.record_rate(std::nan(""));
  histogram.record_rate(-1);
  EXPECT_EQ(histogram.count(), 1U);
  EXPECT_NEAR(histogram.sum_seconds(), 35.5, 1e-5);
  EXPECT_EQ(histogram.count_at_most(20), 0U);
  EXPECT_EQ(histogram.count_at_most(50), 1U);
}

TEST(Registry, LeavesOutHistogramsWithoutRecords) {
  Registry registry;
  registry.histogram("knap_test_seconds", "Times");
  EXPECT_THAT(registry.prometheus(), testing::Not(HasSubstr("knap_test_seconds")));
}

TEST(Registry, ShowsAliasesBesideTheNames) {
  Registry registry;
  registry.alias("knap_test_total", "test_total");
  registry.counter("knap_test_total", "Things", {{"kind", "a"}}).add(3);
  EXPECT_THAT(registry.prometheus(), HasSubstr("\nknap_test_total{kind=\"a\"} 3\n"));
  EXPECT_THAT(registry.prometheus(), HasSubstr("\ntest_total{kind=\"a\"} 3\n"));
}

TEST(Registry, ShowsANameOnceThatIsKeptItself) {
  Registry registry;
  registry.alias("knap_test_total", "test_total");
  registry.counter("knap_test_total", "Things").add(3);
  registry.counter("test_total", "Things").add(4);
  EXPECT_THAT(registry.prometheus(), HasSubstr("\ntest_total 4\n"));
  EXPECT_THAT(registry.prometheus(), testing::Not(HasSubstr("\ntest_total 3\n")));
}

TEST(Registry, SumsOverTheLabelsThatAreAskedFor) {
  Registry registry;
  registry.counter("knap_test_total", "Things", {{"kind", "a"}, {"layer", "l1"}}).add(3);
  registry.counter("knap_test_total", "Things", {{"kind", "b"}, {"layer", "l1"}}).add(4);
  EXPECT_EQ(registry.sum("knap_test_total"), 7);
  EXPECT_EQ(registry.sum("knap_test_total", {{"kind", "b"}}), 4);
  EXPECT_EQ(registry.sum("knap_test_total", {{"kind", "c"}}), std::nullopt);
  EXPECT_EQ(registry.sum("knap_other_total"), std::nullopt);
}

TEST(Registry, GivesWhatIsOverTheLimitOfANameToOneSeries) {
  Registry registry;
  for (int i = 0; i < 600; ++i)
    registry.counter("knap_many_total", "Many", {{"i", std::to_string(i)}}).add();
  EXPECT_EQ(registry.values().size(), 513U);
  EXPECT_EQ(registry.sum("knap_many_total", {{"i", "other"}}), 88);
  EXPECT_THAT(registry.prometheus(), HasSubstr("knap_metrics_overflow_total 88"));
}

TEST(Registry, KeepsWithinItsLimitOfSeries) {
  Registry registry;
  for (int name = 0; name < 10; ++name) {
    for (int i = 0; i < 500; ++i) {
      registry
          .counter("knap_many" + std::to_string(name) + "_total", "Many",
                   {{"i", std::to_string(i)}})
          .add();
    }
  }
  EXPECT_EQ(registry.values().size(), 4'000U);
  EXPECT_THAT(registry.prometheus(), HasSubstr("knap_metrics_overflow_total 1000"));
}

}  // namespace
}  // namespace knap::observe
