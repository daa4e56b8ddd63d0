#include "memory_cache.hpp"

#include <algorithm>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "ghost.hpp"
#include "knap/base/hash.hpp"

namespace knap::cache {
namespace {

using std::chrono::seconds;

constexpr std::uint64_t kMiB = 1U << 20;

class MemoryCacheTest : public testing::Test {
 protected:
  bool put(const std::string& key, const std::string& value, EntryFacts facts = {},
           std::vector<std::uint64_t> labels = {}) {
    return cache_.put(key, hash64(key), value, labels, facts, now_);
  }
  std::string get(const std::string& key) {
    const auto hit = cache_.get(key, hash64(key), now_);
    return hit ? std::string(hit.value()) : "";
  }
  MemoryCache::KindStats stats(Kind kind = Kind::kSearch) { return cache_.stats()[index_of(kind)]; }

  SteadyClock::time_point now_ = SteadyClock::now();
  MemoryCache cache_{{.capacity_bytes = kMiB}};
};

TEST_F(MemoryCacheTest, GivesBackWhatWasPut) {
  EXPECT_EQ(get("a"), "");
  EXPECT_TRUE(put("a", "one"));
  EXPECT_TRUE(put("b", ""));
  EXPECT_EQ(get("a"), "one");
  EXPECT_TRUE(cache_.get("b", hash64("b"), now_));
  EXPECT_TRUE(put("a", "two"));
  EXPECT_EQ(get("a"), "two");
  EXPECT_EQ(stats().entries, 2U);
}

TEST_F(MemoryCacheTest, ComparesKeysWhoseHashesAreTheSame) {
  EXPECT_TRUE(cache_.put("a", 42, "one", {}, {}, now_));
  EXPECT_TRUE(cache_.put("b", 42, "two", {}, {}, now_));
  EXPECT_EQ(cache_.get("a", 42, now_).value(), "one");
  EXPECT_EQ(cache_.get("b", 42, now_).value(), "two");
  EXPECT_FALSE(cache_.get("c", 42, now_));
}

TEST_F(MemoryCacheTest, ForgetsWhatHasExpired) {
  EntryFacts facts;
  facts.expires = now_ + seconds(10);
  put("a", "one", facts);
  now_ += seconds(9);
  EXPECT_EQ(get("a"), "one");
  now_ += seconds(1);
  EXPECT_EQ(get("a"), "");
  EXPECT_EQ(stats().expired, 1U);
  EXPECT_EQ(stats().entries, 0U);
}

TEST_F(MemoryCacheTest, TellsOneReaderToRenew) {
  EntryFacts facts;
  facts.refresh_after = now_ + seconds(8);
  put("a", "one", facts);
  EXPECT_FALSE(cache_.get("a", hash64("a"), now_).take_refresh(now_));
  now_ += seconds(8);
  EXPECT_TRUE(cache_.get("a", hash64("a"), now_).take_refresh(now_));
  EXPECT_FALSE(cache_.get("a", hash64("a"), now_).take_refresh(now_));
}

TEST_F(MemoryCacheTest, StaysWithinItsBytes) {
  for (int i = 0; i < 5'000; ++i) {
    put(std::to_string(i), std::string(static_cast<std::size_t>(1 + i % 3'000), 'x'));
    ASSERT_LE(stats().bytes, kMiB);
  }
  EXPECT_GT(stats().bytes, kMiB * 9 / 10);
  EXPECT_GT(stats().evictions, 1'000U);
  EXPECT_EQ(stats().puts - stats().evictions, stats().entries);
}

TEST_F(MemoryCacheTest, RefusesWhatIsTooLarge) {
  EXPECT_FALSE(put("a", std::string(kMiB / 8, 'x')));
  EXPECT_EQ(stats().refused, 1U);
  EXPECT_EQ(get("a"), "");
}

TEST_F(MemoryCacheTest, KeepsWhatIsAskedForThroughAScan) {
  const std::string value(1'000, 'x');
  for (int round = 0; round < 5; ++round) {
    for (int i = 0; i < 100; ++i)
      if (get("hot" + std::to_string(i)).empty()) put("hot" + std::to_string(i), value);
  }
  for (int i = 0; i < 10'000; ++i) put("scan" + std::to_string(i), value);
  int held = 0;
  for (int i = 0; i < 100; ++i) held += get("hot" + std::to_string(i)).empty() ? 0 : 1;
  EXPECT_EQ(held, 100);
}

TEST_F(MemoryCacheTest, HitsInALoopLargerThanItself) {
  const std::string value(1'000, 'x');  // about 880 fit
  int hits = 0;
  for (int i = 0; i < 50 * 1'600; ++i) {
    const std::string key = std::to_string(i % 1'600);
    if (get(key).empty()) {
      put(key, value);
    } else {
      ++hits;
    }
  }
  EXPECT_GT(hits, 50 * 1'600 * 45 / 100);
}

TEST_F(MemoryCacheTest, FollowsAChangeOfWhatIsAskedFor) {
  const std::string value(1'000, 'x');
  const auto ask = [&](const std::string& name) {
    int hits = 0;
    for (int i = 0; i < 700; ++i) {
      const std::string key = name + std::to_string(i);
      if (get(key).empty()) {
        put(key, value);
      } else {
        ++hits;
      }
    }
    return hits;
  };
  for (int round = 0; round < 50; ++round) ask("old");
  EXPECT_EQ(ask("old"), 700);
  int rounds = 0;
  while (ask("new") < 650 && rounds < 100) ++rounds;
  EXPECT_LT(rounds, 40);
}

TEST_F(MemoryCacheTest, ErasesByQuestion) {
  put("search:rocket", "one", {}, {7, 8});
  put("search:moon", "two", {}, {8});
  EntryFacts facts;
  facts.kind = Kind::kAnswer;
  put("answer:rocket", "three", facts);
  const auto labelled = [](std::uint64_t label) {
    return [label](std::string_view, Kind, std::span<const std::uint64_t> labels) {
      return std::ranges::find(labels, label) != labels.end();
    };
  };
  EXPECT_EQ(cache_.erase_if(labelled(7)), 1U);
  EXPECT_EQ(get("search:rocket"), "");
  EXPECT_EQ(get("search:moon"), "two");
  EXPECT_TRUE(cache_.erase("search:moon", hash64("search:moon")));
  EXPECT_FALSE(cache_.erase("search:moon", hash64("search:moon")));
  EXPECT_EQ(get("answer:rocket"), "three");
  cache_.clear();
  EXPECT_EQ(stats(Kind::kAnswer).entries, 0U);
}

TEST_F(MemoryCacheTest, GivesMemoryBackWhenMadeSmaller) {
  for (int i = 0; i < 800; ++i) put(std::to_string(i), std::string(1'000, 'x'));
  cache_.resize(kMiB / 4);
  EXPECT_LE(stats().bytes, kMiB / 4);
  EXPECT_GT(stats().bytes, kMiB / 5);
}

TEST_F(MemoryCacheTest, AHitOutlivesItsEviction) {
  put("a", "one");
  const auto hit = cache_.get("a", hash64("a"), now_);
  cache_.clear();
  put("b", "two");
  EXPECT_EQ(hit.value(), "one");
  EXPECT_EQ(get("a"), "");
}

TEST_F(MemoryCacheTest, ManyThreadsNeverSeeAnothersValue) {
  constexpr int kThreads = 4;
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::uint64_t state = static_cast<std::uint64_t>(t) + 1;
      for (int i = 0; i < 20'000; ++i) {
        state = state * 6'364'136'223'846'793'005ULL + 1'442'695'040'888'963'407ULL;
        const std::string key = "key" + std::to_string((state >> 33) % 3'000);
        if (const auto hit = cache_.get(key, hash64(key), now_)) {
          if (!hit.value().starts_with(key + "=")) ++wrong;
        } else {
          cache_.put(key, hash64(key), key + "=" + std::string(500, 'v'), {}, {}, now_);
        }
        if (i % 1'000 == 0) cache_.erase(key, hash64(key));
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
  EXPECT_LE(stats().bytes, kMiB);
}

TEST(GhostList, RemembersAsManyAsItMay) {
  GhostList ghosts;
  ghosts.set_capacity(100);
  ghosts.put(hash64("first"), {3, 1});
  for (int i = 0; i < 99; ++i) ghosts.put(hash64(std::to_string(i)), {1, 1});
  EXPECT_EQ(ghosts.take(hash64("first")).value, 3);
  EXPECT_EQ(ghosts.take(hash64("first")).value, 0);
  ghosts.put(hash64("second"), {2, 1});
  for (int i = 0; i < 101; ++i) ghosts.put(hash64(std::to_string(i)), {1, 1});
  EXPECT_EQ(ghosts.take(hash64("second")).value, 0);
}

}  // namespace
}  // namespace knap::cache
