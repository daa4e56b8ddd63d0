#include "knap/cache/layers.hpp"

#include <unistd.h>

#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "knap/cache/flights.hpp"

namespace knap::cache {
namespace {

using testing::Eq;
using testing::Optional;

class LayersTest : public testing::Test {
 protected:
  LayersTest() {
    std::string name = testing::TempDir() + "layersXXXXXX";
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = options_.folder = name;
    options_.memory_bytes = options_.disk_bytes = 8U << 20;
  }
  ~LayersTest() override {
    layers_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);  // what mkdtemp made, whatever a test chose
  }
  Layers& open() {
    layers_.reset();
    layers_ = std::move(*Layers::open(options_, metrics_));
    return *layers_;
  }
  static Key key(const std::string& question) {
    return {Kind::kSearch, std::string("state") + '\0' + question};
  }
  std::optional<Layer> layer_of(const std::string& question) {
    const auto found = layers_->find(key(question));
    return found ? std::optional(found->layer) : std::nullopt;
  }

  std::filesystem::path folder_;
  Layers::Options options_;
  observe::Registry metrics_;
  std::unique_ptr<Layers> layers_;
};

TEST_F(LayersTest, FindsInMemoryAndAfterARestartOnDiskAndThenInMemory) {
  open().put(key("rocket"), "value", {1'500, false, Layers::Reach::kLasting, {}});
  EXPECT_THAT(layer_of("rocket"), Optional(Layer::kMemory));
  EXPECT_THAT(layer_of("other"), Eq(std::nullopt));
  open();
  EXPECT_FALSE(layers_->find_in_memory(key("rocket")).has_value());
  const auto found = layers_->find(key("rocket"));
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->value, "value");
  EXPECT_EQ(found->layer, Layer::kDisk);
  EXPECT_EQ(found->cost_us, 1'500U);
  EXPECT_THAT(layer_of("rocket"), Optional(Layer::kMemory));
}

TEST_F(LayersTest, KeepsWhatMeansNothingToOtherProcessesOffTheDisk) {
  open().put(key("rocket"), "value", {1, false, Layers::Reach::kProcess, {}});
  EXPECT_THAT(layer_of("rocket"), Optional(Layer::kMemory));
  open();
  EXPECT_THAT(layer_of("rocket"), Eq(std::nullopt));
}

TEST_F(LayersTest, InvalidatesByLabelPatternAndKindInAllLayers) {
  open();
  layers_->put(key("rocket fuel"), "a",
               {1, false, Layers::Reach::kLasting, {label_of("note", "R.md")}});
  layers_->put(key("Balloon"), "b", {1, false, Layers::Reach::kLasting, {label_of("tag", "air")}});
  layers_->put(Key(Kind::kAnswer, "x"), "c", {1, false, Layers::Reach::kLasting, {}});
  layers_->flush();
  EXPECT_EQ(layers_->invalidate({std::nullopt, label_of("note", "R.md"), ""}), 2U);
  EXPECT_THAT(layer_of("rocket fuel"), Eq(std::nullopt));
  EXPECT_THAT(layer_of("Balloon"), Optional(Layer::kMemory));
  EXPECT_EQ(layers_->invalidate({std::nullopt, std::nullopt, "ball*"}), 2U);
  EXPECT_THAT(layer_of("Balloon"), Eq(std::nullopt));
  EXPECT_EQ(layers_->invalidate({Kind::kAnswer, std::nullopt, ""}), 2U);
}

TEST_F(LayersTest, ClearsOneLayerOrAll) {
  open().put(key("a"), "value", {});
  layers_->flush();
  layers_->clear(Layer::kMemory);
  EXPECT_THAT(layer_of("a"), Optional(Layer::kDisk));
  layers_->clear(std::nullopt);
  EXPECT_THAT(layer_of("a"), Eq(std::nullopt));
}

TEST_F(LayersTest, ForgetsAfterTheKindsLifetime) {
  options_.lifetimes.kind[index_of(Kind::kSearch)] = std::chrono::seconds(1);
  open().put(key("a"), "value", {});
  layers_->put(Key(Kind::kAnswer, "b"), "value", {});
  layers_->put(key("nothing"), "", {1, true, Layers::Reach::kLasting, {}});
  const auto until = Deadline::after(std::chrono::seconds(10));
  while (layer_of("a") && !until.expired()) std::this_thread::yield();
  EXPECT_THAT(layer_of("a"), Eq(std::nullopt));
  EXPECT_THAT(layer_of("nothing"), Eq(std::nullopt));
  EXPECT_TRUE(layers_->find(Key(Kind::kAnswer, "b")).has_value());
}

TEST_F(LayersTest, TellsOneReaderToRenewWhatExpiresSoon) {
  options_.lifetimes.kind[index_of(Kind::kSearch)] = std::chrono::seconds(2);
  open().put(key("a"), "value", {});
  EXPECT_TRUE(layers_->holds(key("a")));
  EXPECT_FALSE(layers_->holds(key("b")));
  int told = 0;
  while (const auto found = layers_->find_in_memory(key("a"))) told += found->refresh ? 1 : 0;
  EXPECT_EQ(told, 1);
  EXPECT_EQ(layers_->stats()[index_of(Layer::kMemory)].kinds[index_of(Kind::kSearch)].misses, 0U);
}

TEST_F(LayersTest, RunsWithoutADiskThatCannotBeOpened) {
  options_.folder = "/proc/nothing/here";
  open().put(key("a"), "value", {});
  EXPECT_THAT(layer_of("a"), Optional(Layer::kMemory));
  EXPECT_FALSE(layers_->stats()[index_of(Layer::kDisk)].open);
}

TEST_F(LayersTest, CountsByLayerAndKind) {
  open().put(key("a"), "value", {2'000, false, Layers::Reach::kLasting, {}});
  layer_of("a");
  layer_of("b");
  const auto stats = layers_->stats();
  const auto& memory = stats[index_of(Layer::kMemory)];
  EXPECT_EQ(memory.kinds[index_of(Kind::kSearch)].hits, 1U);
  EXPECT_EQ(memory.kinds[index_of(Kind::kSearch)].misses, 1U);
  EXPECT_EQ(memory.kinds[index_of(Kind::kSearch)].saved_ms, 2U);
  EXPECT_EQ(memory.entries, 1U);
  EXPECT_EQ(stats[index_of(Layer::kDisk)].kinds[index_of(Kind::kSearch)].misses, 1U);
  layers_->refresh_metrics();
  EXPECT_EQ(metrics_.gauge("knap_cache_entries", "", {{"layer", "l1"}}).value(), 1);
}

TEST(Pattern, MatchesStarsAndMarks) {
  EXPECT_TRUE(matches_pattern("When is the lease due?", "when*due?"));
  EXPECT_TRUE(matches_pattern("abcabd", "*abd"));
  EXPECT_TRUE(matches_pattern("", "*"));
  EXPECT_TRUE(matches_pattern("abc", "a?c"));
  EXPECT_FALSE(matches_pattern("abc", "a?"));
  EXPECT_FALSE(matches_pattern("abc", "b*"));
  EXPECT_FALSE(matches_pattern("", "?"));
}

TEST(Flights, GivesTheLeadersValueToThoseWhoWait) {
  Flights flights;
  const Key key(Kind::kSearch, "k");
  auto lead = flights.join(key, Deadline::never(), {});
  ASSERT_NE(lead.lead, nullptr);
  std::vector<std::thread> others;
  std::atomic<int> given = 0;
  for (int i = 0; i < 4; ++i) {
    others.emplace_back([&] {
      const auto turn = flights.join(key, Deadline::never(), {});
      if (turn.value && *turn.value == "made") ++given;
    });
  }
  lead.lead->give(std::make_shared<const std::string>("made"));
  lead.lead.reset();
  // Those who came late lead themselves and give nothing, so that nobody waits for ever.
  for (auto& thread : others) thread.join();
  EXPECT_EQ(static_cast<std::uint64_t>(given), flights.shared());
}

TEST(Flights, LetsTheNextLeadWhenTheLeaderGivesNothing) {
  Flights flights;
  const Key key(Kind::kSearch, "k");
  auto first = flights.join(key, Deadline::never(), {});
  std::thread other([&] {
    const auto turn = flights.join(key, Deadline::never(), {});
    EXPECT_NE(turn.lead, nullptr);
  });
  first.lead.reset();
  other.join();
}

TEST(Flights, EndsTheWaitAtTheDeadlineAndWhenTheClientGoes) {
  Flights flights;
  const Key key(Kind::kSearch, "k");
  const auto first = flights.join(key, Deadline::never(), {});
  auto turn = flights.join(key, Deadline::after(std::chrono::milliseconds(1)), {});
  EXPECT_TRUE(turn.lead == nullptr && turn.value == nullptr);
  const CancelToken gone;
  gone.cancel();
  turn = flights.join(key, Deadline::never(), gone);
  EXPECT_TRUE(turn.lead == nullptr && turn.value == nullptr);
}

}  // namespace
}  // namespace knap::cache
