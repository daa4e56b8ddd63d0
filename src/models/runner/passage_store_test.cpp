#include "runner/passage_store.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <thread>

#include "test_folder.hpp"

namespace knap::models::runner {
namespace {

PassageStore::State state_of(const std::string& text, std::size_t bytes = 1'000) {
  auto state = std::make_shared<PassageState>();
  state->text = hash128(text);
  state->tokens = {1};
  state->bytes.assign(bytes, 'k');
  return state;
}

PassageStore::Options room(std::uint64_t memory, const std::filesystem::path& folder = {},
                           std::uint64_t disk = 1U << 20) {
  return {.memory_bytes = memory, .folder = folder, .disk_bytes = disk, .model = {1, 2}};
}

TEST(PassageStore, KeepsNothingWithoutRoom) {
  PassageStore store(room(0));
  store.put(state_of("a"));
  EXPECT_FALSE(store.enabled());
  EXPECT_EQ(store.find(hash128("a")), nullptr);
}

TEST(PassageStore, LetsGoWhatIsUsedLeast) {
  PassageStore store(room(3'500));
  for (const char* text : {"a", "b", "c"}) store.put(state_of(text));
  EXPECT_NE(store.find(hash128("a")), nullptr);
  EXPECT_NE(store.find(hash128("c")), nullptr);
  store.put(state_of("d"));
  EXPECT_EQ(store.find(hash128("b")), nullptr);
  EXPECT_NE(store.find(hash128("a")), nullptr);
  EXPECT_NE(store.find(hash128("d")), nullptr);
  EXPECT_LE(store.stats().memory_bytes, 3'500U);
  EXPECT_EQ(store.stats().evicted, 1U);
}

TEST(PassageStore, WhatWasUsedMuchLongAgoGoesInTime) {
  PassageStore store(room(2'500));
  store.put(state_of("old"));
  for (int i = 0; i < 3; ++i) store.find(hash128("old"));
  for (int i = 0; i < 20; ++i) store.put(state_of("new" + std::to_string(i)));
  EXPECT_EQ(store.find(hash128("old")), nullptr);
}

TEST(PassageStore, RefusesOneThatIsLargerThanAllRoom) {
  PassageStore store(room(500));
  store.put(state_of("a"));
  EXPECT_EQ(store.find(hash128("a")), nullptr);
  EXPECT_EQ(store.stats().memory_bytes, 0U);
}

TEST(PassageStore, ReadsBackAfterARestart) {
  const TestFolder folder;
  const auto path = folder.path() / "states";
  { PassageStore(room(10'000, path)).put(state_of("a")); }  // its end waits for the writer
  PassageStore again(room(10'000, path));
  EXPECT_TRUE(again.contains(hash128("a")));
  const auto state = again.find(hash128("a"));
  ASSERT_NE(state, nullptr);
  EXPECT_EQ(state->bytes, std::string(1'000, 'k'));
}

TEST(PassageStore, RemovesWhatIsDamaged) {
  const TestFolder folder;
  const auto path = folder.path() / "states";
  { PassageStore(room(10'000, path)).put(state_of("a")); }
  const auto file = path / (hash128("a").hex() + ".kv");
  { std::fstream(file, std::ios::in | std::ios::out | std::ios::binary).seekp(80) << "XX"; }
  PassageStore again(room(10'000, path));
  EXPECT_EQ(again.find(hash128("a")), nullptr);
  EXPECT_EQ(again.stats().damaged, 1U);
  EXPECT_FALSE(std::filesystem::exists(file));
  EXPECT_FALSE(again.contains(hash128("a")));
}

TEST(PassageStore, KeepsTheDiskWithinItsRoomAcrossStarts) {
  const TestFolder folder;
  const auto path = folder.path() / "states";
  {
    PassageStore store(room(100'000, path, 5'000));
    for (int i = 0; i < 10; ++i) store.put(state_of("t" + std::to_string(i)));
  }
  PassageStore again(room(100'000, path, 2'500));
  EXPECT_LE(again.stats().disk_bytes, 2'500U);
  EXPECT_GE(again.stats().on_disk, 1U);
  EXPECT_TRUE(again.contains(hash128("t9")));
}

TEST(PassageStore, AFolderThatCannotBeUsedIsNoError) {
  const TestFolder folder;
  std::ofstream(folder.path() / "file") << "x";
  PassageStore store(room(10'000, folder.path() / "file"));
  store.put(state_of("a"));
  EXPECT_NE(store.find(hash128("a")), nullptr);
}

}  // namespace
}  // namespace knap::models::runner
