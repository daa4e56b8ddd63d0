#include "runner/placement.hpp"

#include <gtest/gtest.h>

#include <random>

namespace knap::models::runner {
namespace {

constexpr std::uint64_t kGiB = 1ULL << 30;

GpuDevice card(std::string name, std::uint64_t free, std::uint64_t total, bool shares = false) {
  return {.name = std::move(name),
          .description = "simulated",
          .free_bytes = free,
          .total_bytes = total,
          .shares_memory = shares};
}

// An 8-billion model in 4 bits: 32 layers, 4.6 GiB, 1 GiB of state.
GpuNeed eight_billion() {
  return {.weight_bytes = 46 * kGiB / 10,
          .state_bytes = kGiB,
          .computing_bytes = kGiB / 4,
          .layers = 32};
}

TEST(Placement, WithoutCardsTheProcessorComputes) {
  const auto placed = place_model(eight_billion(), {}, {});
  ASSERT_TRUE(placed);
  EXPECT_TRUE(placed->shares.empty());
  EXPECT_EQ(placed->layers, 0U);
  EXPECT_NE(placed->why.find("no graphics card"), std::string::npos) << placed->why;
}

TEST(Placement, NeverMeansNever) {
  const std::vector<GpuDevice> cards{card("CUDA0", 24 * kGiB, 24 * kGiB)};
  const auto placed = place_model(eight_billion(), cards, {.use = GpuUse::kNever});
  ASSERT_TRUE(placed);
  EXPECT_TRUE(placed->shares.empty());
}

TEST(Placement, OneCardThatHoldsAllIsEnough) {
  const std::vector<GpuDevice> cards{card("CUDA0", 8 * kGiB, 8 * kGiB),
                                     card("CUDA1", 20 * kGiB, 24 * kGiB)};
  const auto placed = place_model(eight_billion(), cards, {});
  ASSERT_TRUE(placed);
  ASSERT_EQ(placed->shares.size(), 1U);
  EXPECT_EQ(placed->shares[0].device, 1U) << "the one with the most room";
  EXPECT_TRUE(placed->whole());
  EXPECT_EQ(placed->layers, 33U);
}

TEST(Placement, WhatOthersUseIsNotTaken) {
  // 24 GiB, of which others use 20: 4 free, 2.4 of them kept free.
  const std::vector<GpuDevice> cards{card("CUDA0", 4 * kGiB, 24 * kGiB)};
  const auto placed = place_model(eight_billion(), cards, {});
  ASSERT_TRUE(placed);
  ASSERT_EQ(placed->shares.size(), 1U);
  EXPECT_FALSE(placed->whole());
  EXPECT_LE(placed->shares[0].bytes, 16 * kGiB / 10);
  EXPECT_GT(placed->layers, 4U);
}

TEST(Placement, ALargeModelIsSplitByRoom) {
  GpuNeed need{.weight_bytes = 20 * kGiB,
               .state_bytes = 2 * kGiB,
               .computing_bytes = kGiB / 4,
               .layers = 48};
  const std::vector<GpuDevice> cards{card("CUDA0", 12 * kGiB, 12 * kGiB),
                                     card("CUDA1", 24 * kGiB, 24 * kGiB)};
  const auto placed = place_model(need, cards, {});
  ASSERT_TRUE(placed);
  ASSERT_EQ(placed->shares.size(), 2U);
  EXPECT_TRUE(placed->whole());
  EXPECT_EQ(placed->shares[0].layers + placed->shares[1].layers, 49U);
  EXPECT_GT(placed->shares[0].layers, placed->shares[1].layers) << "the roomier one has more";
}

TEST(Placement, WhatFitsNowhereWholeIsSharedWithTheProcessor) {
  const std::vector<GpuDevice> cards{card("Vulkan0", 3 * kGiB, 4 * kGiB)};
  const auto placed = place_model(eight_billion(), cards, {});
  ASSERT_TRUE(placed);
  ASSERT_EQ(placed->shares.size(), 1U);
  EXPECT_LT(placed->layers, 33U);
  EXPECT_GT(placed->layers, 8U);
}

TEST(Placement, AlwaysRefusesHalfAModelWithTheNumbers) {
  const std::vector<GpuDevice> cards{card("Vulkan0", 3 * kGiB, 4 * kGiB)};
  const auto placed = place_model(eight_billion(), cards, {.use = GpuUse::kAlways});
  ASSERT_FALSE(placed);
  EXPECT_EQ(placed.error().code, ErrorCode::kResourceExhausted);
  EXPECT_NE(placed.error().message.find("of 33 layers"), std::string::npos)
      << placed.error().message;
  EXPECT_NE(placed.error().message.find("2.60 GiB of Vulkan0"), std::string::npos)
      << placed.error().message;
}

TEST(Placement, ACardOfTheProcessorsMemoryIsUsedWhenThereIsNoOther) {
  const std::vector<GpuDevice> both{card("Vulkan0", 20 * kGiB, 20 * kGiB, true),
                                    card("Vulkan1", 8 * kGiB, 8 * kGiB)};
  const auto placed = place_model(eight_billion(), both, {});
  ASSERT_TRUE(placed);
  ASSERT_EQ(placed->shares.size(), 1U);
  EXPECT_EQ(placed->shares[0].device, 1U);
  const auto alone = place_model(eight_billion(), std::span(both).first(1), {});
  ASSERT_TRUE(alone);
  ASSERT_EQ(alone->shares.size(), 1U);
}

TEST(Placement, EveryReplicaHasCardsOfItsOwn) {
  const std::vector<GpuDevice> cards{card("CUDA0", 24 * kGiB, 24 * kGiB),
                                     card("CUDA1", 24 * kGiB, 24 * kGiB),
                                     card("CUDA2", 24 * kGiB, 24 * kGiB)};
  std::vector<bool> used(3, false);
  for (std::size_t replica = 0; replica < 3; ++replica) {
    const auto placed = place_model(eight_billion(), cards, {.replica = replica, .replicas = 3});
    ASSERT_TRUE(placed);
    ASSERT_EQ(placed->shares.size(), 1U);
    EXPECT_FALSE(used[placed->shares[0].device]);
    used[placed->shares[0].device] = true;
  }
  // More replicas than cards: they share them.
  const auto fourth = place_model(eight_billion(), cards, {.replica = 3, .replicas = 4});
  ASSERT_TRUE(fourth);
  ASSERT_EQ(fourth->shares.size(), 1U);
  EXPECT_EQ(fourth->shares[0].device, 0U);
}

TEST(Placement, NoCardIsEverGivenMoreThanItsRoom) {
  std::mt19937_64 random(7);
  const auto up_to = [&](std::uint64_t most) { return random() % (most + 1); };
  for (int round = 0; round < 20'000; ++round) {
    GpuNeed need{.weight_bytes = up_to(80 * kGiB),
                 .state_bytes = up_to(8 * kGiB),
                 .computing_bytes = up_to(kGiB),
                 .layers = static_cast<std::uint32_t>(up_to(100))};
    std::vector<GpuDevice> cards(up_to(6));
    for (auto& each : cards) {
      each.total_bytes = up_to(96 * kGiB);
      each.free_bytes = up_to(each.total_bytes);
      each.shares_memory = up_to(3) == 0;
    }
    GpuWish wish{.memory_fraction = static_cast<double>(1 + up_to(99)) / 100,
                 .replicas = 1 + up_to(3)};
    wish.replica = up_to(wish.replicas - 1);
    const auto placed = place_model(need, cards, wish);
    ASSERT_TRUE(placed);
    std::uint32_t sum = 0;
    for (const auto& share : placed->shares) {
      sum += share.layers;
      const auto& device = cards[share.device];
      const double room = static_cast<double>(device.free_bytes) -
                          static_cast<double>(device.total_bytes) * (1 - wish.memory_fraction);
      EXPECT_LE(static_cast<double>(share.bytes), room + 1) << placed->why;
    }
    EXPECT_EQ(sum, placed->layers);
    EXPECT_LE(placed->layers, placed->all_layers);
  }
}

}  // namespace
}  // namespace knap::models::runner
