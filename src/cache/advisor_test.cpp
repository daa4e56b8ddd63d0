#include "advisor.hpp"

#include <gtest/gtest.h>

#include "knap/base/hash.hpp"

namespace knap::cache {
namespace {

std::uint64_t hash_of(std::uint64_t number) {
  return hash64(std::string_view(reinterpret_cast<const char*>(&number), sizeof number));
}

/// Asks for `keys` values of 1,000 bytes in turns, as a cache would.
SizeAdvisor::Report loop(SizeAdvisor& advisor, std::uint64_t keys, int rounds) {
  for (int round = 0; round < rounds; ++round) {
    for (std::uint64_t key = 0; key < keys; ++key) {
      advisor.asked(hash_of(key));
      advisor.came(hash_of(key), 1'000);
    }
  }
  return advisor.report();
}

double rate(const SizeAdvisor::Report& report, std::size_t size) {
  return static_cast<double>(report.sizes[size].hits) / static_cast<double>(report.asked);
}

TEST(SizeAdvisor, SaysThatTwiceTheSizeHoldsALoopThatTheCacheDoesNot) {
  SizeAdvisor advisor(10'000'000);
  const auto report = loop(advisor, 15'000, 10);
  EXPECT_GT(report.asked, 5'000U);
  EXPECT_LT(rate(report, 1), .1);
  EXPECT_NEAR(rate(report, 2), .9, .01);
  EXPECT_EQ(report.sizes[2].bytes, 20'000'000U);
}

TEST(SizeAdvisor, SaysThatHalfTheSizeSufficesForFewKeys) {
  SizeAdvisor advisor(10'000'000);
  const auto report = loop(advisor, 2'000, 10);
  for (std::size_t size = 0; size < SizeAdvisor::kFactors.size(); ++size)
    EXPECT_NEAR(rate(report, size), .9, .01);
}

TEST(SizeAdvisor, ForgetsValuesWhenTheCacheIsCleared) {
  SizeAdvisor advisor(10'000'000);
  loop(advisor, 1'000, 1);
  advisor.clear();
  const auto report = loop(advisor, 1'000, 1);
  EXPECT_EQ(report.sizes[3].hits, 0U);
}

}  // namespace
}  // namespace knap::cache
