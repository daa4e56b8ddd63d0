#include <gtest/gtest.h>

#include "vault_state.hpp"

namespace knap::index {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

TEST(NotePrints, AFilesPrintFollowsPathBytesAndSecond) {
  const Hash128 print = print_of("a.md", hash128("x"), 5 * kSecond, 1);
  EXPECT_EQ(print, print_of("a.md", hash128("x"), 5 * kSecond + 1, 1));
  EXPECT_NE(print, print_of("b.md", hash128("x"), 5 * kSecond, 1));
  EXPECT_NE(print, print_of("a.md", hash128("y"), 5 * kSecond, 1));
  EXPECT_NE(print, print_of("a.md", std::nullopt, 5 * kSecond, 1));
  EXPECT_NE(print, print_of("a.md", hash128("x"), 6 * kSecond, 1));
  EXPECT_NE(print, print_of("a.md", hash128("x"), 5 * kSecond, 0));
}

TEST(NotePrints, SumIsThatOfTheNotesWhateverTheirHistory) {
  const auto id = [](int number) { return static_cast<store::FileId>(number); };
  const auto file = [](const char* path) { return print_of(path, hash128(path), 0, 1); };
  NotePrints one, other;
  const std::string empty = one.sum();
  one.set(id(1), file("a"), 7);
  one.set(id(2), file("b"), 0);
  other.set(id(9), file("b"), 0);
  other.set(id(4), file("c"), 1);
  other.set(id(8), file("x"), 7);
  other.set_file(id(8), file("a"));
  other.remove(id(4));
  EXPECT_EQ(one.sum(), other.sum());
  one.set(id(1), file("a"), 8);  // another link
  EXPECT_NE(one.sum(), other.sum());
  one.set(id(1), file("a"), 7);
  EXPECT_EQ(one.sum(), other.sum());
  one.remove(id(1));
  one.remove(id(2));
  one.remove(id(3));
  one.set_file(id(3), file("unknown"));
  EXPECT_EQ(one.sum(), empty);
}

TEST(LiveIndex, HasNoMomentWhileAChangeIsUnderWay) {
  LiveIndex index(2, {});
  const auto before = index.moment();
  ASSERT_TRUE(before.has_value());
  {
    const LiveIndex::Change change(index);
    EXPECT_FALSE(index.moment().has_value());
    index.apply({});
    EXPECT_FALSE(index.moment().has_value());
  }
  EXPECT_GT(index.moment(), before);
}

}  // namespace
}  // namespace knap::index
