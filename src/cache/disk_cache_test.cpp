#include "disk_cache.hpp"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <random>
#include <string>

#include <gtest/gtest.h>

#include "knap/base/deadline.hpp"
#include "knap/base/hash.hpp"

namespace knap::cache {
namespace {

constexpr std::int64_t kNow = 1'800'000'000'000;

/// Bytes that belong to a number and to nothing else; they cannot be compressed.
std::string bytes_of(std::uint64_t number, std::size_t size) {
  std::string out;
  for (std::uint64_t i = 0; out.size() < size; ++i) {
    const std::uint64_t word = hash64({reinterpret_cast<const char*>(&i), sizeof i}, number);
    out.append(reinterpret_cast<const char*>(&word), sizeof word);
  }
  out.resize(size);
  return out;
}

std::string key_of(std::uint64_t number) { return "key " + std::to_string(number); }

class DiskCacheTest : public testing::Test {
 protected:
  DiskCacheTest() {
    std::string folder = testing::TempDir() + "knap-cache-XXXXXX";
    folder_ = ::mkdtemp(folder.data());
    options_.folder = folder_ / "cache";
  }
  ~DiskCacheTest() override { std::filesystem::remove_all(folder_); }

  void open() {
    cache_.reset();
    auto opened = DiskCache::open(options_);
    ASSERT_TRUE(opened) << opened.error().message;
    cache_ = std::move(*opened);
  }
  bool put(const std::string& key, std::string bytes, std::int64_t expires_ms = 0,
           std::vector<std::uint64_t> labels = {}) {
    DiskCache::Value value;
    value.bytes = std::move(bytes);
    value.expires_ms = expires_ms;
    value.labels = std::move(labels);
    return cache_->put(key, hash64(key), std::move(value));
  }
  std::optional<std::string> get(const std::string& key, std::int64_t now_ms = kNow) {
    auto value = cache_->get(key, hash64(key), now_ms);
    if (!value) return std::nullopt;
    return std::move(value->bytes);
  }
  std::vector<std::filesystem::path> segments() const {
    std::vector<std::filesystem::path> out;
    for (const auto& each : std::filesystem::directory_iterator(options_.folder))
      if (DiskSegment::number_of(each.path()) != 0) out.push_back(each.path());
    std::sort(out.begin(), out.end());
    return out;
  }

  std::filesystem::path folder_;
  DiskCache::Options options_;
  std::unique_ptr<DiskCache> cache_;
};

TEST_F(DiskCacheTest, GivesBackWhatWasPutAfterARestartToo) {
  open();
  EXPECT_EQ(get("a"), std::nullopt);
  DiskCache::Value value{Kind::kAnswer, true, 77, kNow - 5, kNow + 5'000, "one", {3, 4}};
  EXPECT_TRUE(cache_->put("a", hash64("a"), value));
  EXPECT_TRUE(put("b", std::string(100'000, 'x')));
  EXPECT_TRUE(put("c", "old"));
  EXPECT_TRUE(put("c", "new"));
  cache_->flush();
  for (int start = 0; start < 3; ++start) {
    const auto found = cache_->get("a", hash64("a"), kNow);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->kind, Kind::kAnswer);
    EXPECT_TRUE(found->negative);
    EXPECT_EQ(found->cost_us, 77U);
    EXPECT_EQ(found->written_ms, kNow - 5);
    EXPECT_EQ(found->expires_ms, kNow + 5'000);
    EXPECT_EQ(found->bytes, "one");
    EXPECT_EQ(found->labels, (std::vector<std::uint64_t>{3, 4}));
    EXPECT_EQ(get("b"), std::string(100'000, 'x'));
    EXPECT_EQ(get("c"), "new");
    open();
  }
  EXPECT_LT(cache_->stats().bytes, 20'000U);  // compressed
}

TEST_F(DiskCacheTest, ForgetsWhatHasExpired) {
  open();
  put("a", "one", kNow + 1'000);
  cache_->flush();
  EXPECT_EQ(get("a", kNow + 999), "one");
  EXPECT_EQ(get("a", kNow + 1'000), std::nullopt);
}

TEST_F(DiskCacheTest, ErasuresSurviveARestart) {
  open();
  put("a", "one", 0, {7});
  put("b", "two", 0, {8});
  put("c", "three");
  cache_->flush();
  cache_->erase("c", hash64("c"));
  EXPECT_EQ(get("c"), std::nullopt);
  EXPECT_EQ(cache_->erase_if([](std::string_view, Kind, std::span<const std::uint64_t> labels) {
    return !labels.empty() && labels[0] == 7;
  }),
            1U);
  open();
  EXPECT_EQ(get("a"), std::nullopt);
  EXPECT_EQ(get("b"), "two");
  EXPECT_EQ(get("c"), std::nullopt);
  cache_->clear();
  EXPECT_EQ(get("b"), std::nullopt);
  EXPECT_TRUE(put("d", "four"));
  open();
  EXPECT_EQ(get("b"), std::nullopt);
  EXPECT_EQ(get("d"), "four");
}

TEST_F(DiskCacheTest, StaysWithinItsBytesAndKeepsWhatIsAskedFor) {
  options_.capacity_bytes = 4U << 20;
  open();
  put("hot", bytes_of(1'000'000, 1'000));
  cache_->flush();
  for (std::uint64_t i = 0; i < 10'000; ++i) {
    put(key_of(i), bytes_of(i, 4'096));
    if (i % 100 != 0) continue;
    cache_->flush();
    ASSERT_EQ(get("hot"), bytes_of(1'000'000, 1'000)) << i;
    ASSERT_LE(cache_->stats().bytes, options_.capacity_bytes);
  }
  cache_->flush();
  EXPECT_EQ(get(key_of(9'999)), bytes_of(9'999, 4'096));
  EXPECT_EQ(get(key_of(0)), std::nullopt);
  const auto stats = cache_->stats();
  EXPECT_GT(stats.rewritten, 1U);
  EXPECT_GT(stats.evicted, 8'000U);
  EXPECT_GT(stats.bytes, options_.capacity_bytes * 3 / 4);
  std::uint64_t files = 0;
  for (const auto& file : segments()) files += std::filesystem::file_size(file);
  EXPECT_EQ(files, stats.bytes);
}

TEST_F(DiskCacheTest, BoundsTheNumberOfItsValues) {
  options_.segment_bytes = 64U << 10;
  options_.entries_max = 2'000;
  open();
  for (std::uint64_t i = 0; i < 10'000; ++i) put(key_of(i), "small");
  cache_->flush();
  EXPECT_LE(cache_->stats().entries, options_.entries_max);
  EXPECT_GT(cache_->stats().entries, options_.entries_max / 4);
  EXPECT_EQ(get(key_of(9'999)), "small");
}

TEST_F(DiskCacheTest, ManyStartsLeaveNoFiles) {
  for (int start = 0; start < 50; ++start) open();
  EXPECT_TRUE(segments().empty());
}

/// A value of another's choice that holds a record, found when the record around it is damaged.
TEST_F(DiskCacheTest, DoesNotTakeAValueForARecord) {
  disk::Record forged;
  forged.key = "secret";
  forged.stored = "forged";
  forged.value_bytes = 6;
  forged.hash = hash64("secret");
  std::string bytes;
  for (int i = 0; i < 8; ++i) {  // at every alignment
    disk::append_record(forged, 0, bytes);
    bytes.push_back('x');
  }
  open();
  put("outer", bytes);
  cache_.reset();
  ASSERT_EQ(segments().size(), 1U);
  const auto file = segments()[0];
  std::fstream stream(file, std::ios::binary | std::ios::in | std::ios::out);
  stream.seekp(disk::kSegmentHeadBytes);
  stream << "gone";
  stream.close();
  std::filesystem::resize_file(file, std::filesystem::file_size(file) - 1);  // the list too
  open();
  EXPECT_EQ(get("outer"), std::nullopt);
  EXPECT_EQ(get("secret"), std::nullopt);
}

TEST_F(DiskCacheTest, RefusesASecondProcess) {
  open();
  const auto second = DiskCache::open(options_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kAlreadyExists);
}

TEST_F(DiskCacheTest, DropsFilesOfAnotherVersion) {
  open();
  put("a", "one");
  cache_.reset();
  for (const auto& file : segments()) std::ofstream(file, std::ios::binary) << "KNAPCACH\x09 other";
  open();
  EXPECT_EQ(get("a"), std::nullopt);
  EXPECT_TRUE(put("a", "two"));
  cache_->flush();
  EXPECT_EQ(get("a"), "two");
}

TEST_F(DiskCacheTest, RefusesWhatIsTooLargeAndWhatItCannotKeepUpWith) {
  options_.capacity_bytes = 256U << 20;
  open();
  EXPECT_FALSE(put(std::string(disk::kKeyBytesMax + 1, 'k'), "x"));
  EXPECT_FALSE(put("a", std::string(disk::kValueBytesMax + 1, 'x')));
  EXPECT_EQ(cache_->stats().dropped, 2U);
}

/// 100,000 values of 4 KiB, the writer killed in the middle.
TEST_F(DiskCacheTest, IsReadyWithinASecondAfterAKill) {
  constexpr std::uint64_t kValues = 100'000;
  options_.capacity_bytes = 2ULL << 30;
  int told[2];
  ASSERT_EQ(::pipe(told), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    auto cache = DiskCache::open(options_);
    if (!cache) ::_exit(1);
    for (std::uint64_t i = 0; i < kValues * 2; ++i) {
      DiskCache::Value value;
      value.bytes = bytes_of(i, 4'096);
      while (!(*cache)->put(key_of(i), hash64(key_of(i)), value)) (*cache)->flush();
      if (i == kValues - 1) {
        (*cache)->flush();
        if (::write(told[1], "x", 1) != 1) ::_exit(1);
      }
    }
    ::pause();
  }
  char byte = 0;
  ASSERT_EQ(::read(told[0], &byte, 1), 1);
  ::kill(child, SIGKILL);  // it goes on writing until then
  int status = 0;
  ::waitpid(child, &status, 0);
  ::close(told[0]);
  ::close(told[1]);

  const auto begin = SteadyClock::now();
  open();
  const auto took = SteadyClock::now() - begin;
  RecordProperty("reopened_ms", static_cast<int>(took / std::chrono::milliseconds(1)));
  EXPECT_LT(took, std::chrono::seconds(1));
  EXPECT_GE(cache_->stats().entries, kValues);
  for (std::uint64_t i = 0; i < kValues; i += 7) ASSERT_EQ(get(key_of(i)), bytes_of(i, 4'096)) << i;
  std::uint64_t later = 0;
  for (std::uint64_t i = kValues; i < kValues * 2; ++i) {
    const auto found = get(key_of(i));
    if (!found) continue;
    ASSERT_EQ(*found, bytes_of(i, 4'096)) << i;
    ++later;
  }
  EXPECT_EQ(cache_->stats().entries, kValues + later);
}

/// Bits turned, bytes overwritten, files cut off and grown.
TEST_F(DiskCacheTest, AThousandFaultsNeverGiveAWrongValue) {
  constexpr std::uint64_t kValues = 400;
  constexpr int kFaults = 1'000;
  options_.segment_bytes = 256U << 10;
  std::mt19937_64 random(11);
  open();
  int misses = 0, hits = 0;
  for (int fault = 0; fault < kFaults; ++fault) {
    // Fresh files now and then: else little is left to damage.
    if (fault % 20 == 0 || segments().empty()) {
      cache_.reset();
      std::filesystem::remove_all(options_.folder);
      open();
      for (std::uint64_t i = 0; i < kValues; ++i)
        put(key_of(i), i % 2 == 0 ? bytes_of(i, 1'500) : std::string(3'000, char('a' + i % 26)));
    }
    // Half of them while it runs.
    const bool restarts = fault % 2 == 0;
    cache_->flush();
    if (restarts) cache_.reset();
    const auto files = segments();
    ASSERT_FALSE(files.empty());
    const auto& file = files[random() % files.size()];
    const std::uint64_t size = std::filesystem::file_size(file);
    std::fstream bytes(file, std::ios::binary | std::ios::in | std::ios::out);
    const std::uint64_t at = size == 0 ? 0 : random() % size;
    switch (random() % 4) {
      case 0: {
        bytes.seekg(static_cast<std::streamoff>(at));
        const int was = bytes.get();
        bytes.clear();
        bytes.seekp(static_cast<std::streamoff>(at));
        bytes.put(static_cast<char>(was ^ (1 << (random() % 8))));
        break;
      }
      case 1: {
        bytes.seekp(static_cast<std::streamoff>(at));
        bytes << bytes_of(random(), random() % 500);
        break;
      }
      case 2: std::filesystem::resize_file(file, at); break;
      default: std::filesystem::resize_file(file, size + random() % 100); break;
    }
    bytes.close();
    if (restarts) open();
    for (std::uint64_t i = 0; i < kValues; ++i) {
      const auto found = get(key_of(i));
      if (!found) {
        ++misses;
        continue;
      }
      ++hits;
      ASSERT_EQ(*found, i % 2 == 0 ? bytes_of(i, 1'500) : std::string(3'000, char('a' + i % 26)))
          << fault;
    }
  }
  EXPECT_GT(misses, kFaults);
  EXPECT_GT(hits, 100 * kFaults);
}

}  // namespace
}  // namespace knap::cache
