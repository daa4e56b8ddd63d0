#include "runner/state_ledger.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace knap::models::runner {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<Token> tokens(std::string_view text) { return {text.begin(), text.end()}; }

TEST(StateLedger, CountsSharedCellsOnce) {
  StateLedger ledger(10, 3);
  ledger.hold(0, 0);
  ledger.append(0, tokens("abcdef"));
  EXPECT_EQ(ledger.free_cells(), 4U);
  ledger.fork(0, 1, 4);
  ledger.append(1, tokens("xy"));
  EXPECT_EQ(ledger.free_cells(), 2U) << "a fork costs what it adds";
  ledger.drop(0);
  EXPECT_EQ(ledger.free_cells(), 4U) << "what the fork shares stays";
  ledger.drop(1);
  EXPECT_EQ(ledger.free_cells(), 10U);
}

TEST(StateLedger, FindsTheLongestBeginning) {
  StateLedger ledger(20, 3);
  ledger.hold(0, 0);
  ledger.append(0, tokens("abcd"));
  ledger.hold(1, 0);
  ledger.append(1, tokens("abcxyz"));
  const auto match = ledger.longest(tokens("abcxq"), StateLedger::Take::kAnyPart);
  EXPECT_EQ(match.slot, 1);
  EXPECT_EQ(match.length, 4U);
  EXPECT_EQ(ledger.longest(tokens("abcxq"), StateLedger::Take::kWholeSlotsOnly).length, 0U);
  EXPECT_EQ(ledger.longest(tokens("abcde"), StateLedger::Take::kWholeSlotsOnly).slot, 0);
  EXPECT_EQ(ledger.longest(tokens("q"), StateLedger::Take::kAnyPart).slot, -1);
}

TEST(StateLedger, KeepsTheLatestAndDropsWhatItContains) {
  StateLedger ledger(30, 4);
  std::vector<StateLedger::Slot> dropped;
  for (const auto& [slot, text] : {std::pair{0, "abc"}, {1, "xyz"}, {2, "abcd"}}) {
    ledger.hold(slot, 0);
    ledger.append(slot, tokens(text));
    ledger.keep(slot, dropped);
  }
  EXPECT_THAT(dropped, ElementsAre(0)) << "abcd says all that abc does";
  EXPECT_EQ(ledger.oldest_kept(), 1);
  EXPECT_EQ(ledger.oldest_kept(1), 2);
  ledger.fork(1, 0, 2);
  EXPECT_EQ(ledger.oldest_kept(), 2) << "a fork is a use";
  EXPECT_EQ(ledger.kept(), 2U);
  EXPECT_EQ(ledger.kept_cells(), 7U);
}

TEST(StateLedger, HandsOutFreeSlotsOnly) {
  StateLedger ledger(4, 2);
  ledger.hold(*ledger.free_slot(), 0);
  ledger.hold(*ledger.free_slot(), 0);
  EXPECT_FALSE(ledger.free_slot());
  EXPECT_FALSE(ledger.oldest_kept());
  std::vector<StateLedger::Slot> dropped;
  ledger.append(0, tokens("ab"));
  ledger.keep(0, dropped);
  EXPECT_THAT(dropped, IsEmpty());
  ledger.hold(0, 1);
  EXPECT_EQ(ledger.length(0), 1U);
  EXPECT_EQ(ledger.free_cells(), 3U);
}

}  // namespace
}  // namespace knap::models::runner
