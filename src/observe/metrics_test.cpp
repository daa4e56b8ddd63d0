#include "knap/observe/metrics.hpp"

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

TEST(Registry, KeepsWithinItsLimitOfSeries) {
  Registry registry;
  for (int i = 0; i < 2'500; ++i)
    registry.counter("knap_many_total", "Many", {{"i", std::to_string(i)}}).add();
  EXPECT_EQ(registry.values().size(), 2'000U);
  EXPECT_THAT(registry.prometheus(), HasSubstr("knap_metrics_overflow_total 500"));
}

}  // namespace
}  // namespace knap::observe
