#include "runner/passage_state.hpp"

#include <gtest/gtest.h>

#include <optional>

namespace knap::models::runner {
namespace {

const Hash128 kModel{1, 2};

PassageState some_state() {
  return {.text = hash128("a passage"), .tokens = {5, 6, 7}, .bytes = "keys and values"};
}

std::optional<ErrorCode> reading(std::string_view file, const Hash128& model = kModel,
                                 const Hash128& text = some_state().text) {
  const auto read = read_passage_state(file, model, text);
  return read ? std::nullopt : std::optional(read.error().code);
}

TEST(PassageState, ReadsWhatWasWritten) {
  const PassageState state = some_state();
  const auto read = read_passage_state(write_passage_state(state, kModel), kModel, state.text);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->tokens, state.tokens);
  EXPECT_EQ(read->bytes, state.bytes);
  EXPECT_EQ(read->text, state.text);
}

TEST(PassageState, RefusesAnyChangedByteAndAnyLength) {
  const std::string file = write_passage_state(some_state(), kModel);
  for (std::size_t i = 0; i < file.size(); ++i) {
    std::string changed = file;
    changed[i] = static_cast<char>(changed[i] ^ 0x20);
    EXPECT_EQ(reading(changed), ErrorCode::kCorruptData) << "byte " << i;
    EXPECT_EQ(reading(file.substr(0, i)), ErrorCode::kCorruptData) << "cut at " << i;
  }
  EXPECT_EQ(reading(file + "more"), ErrorCode::kCorruptData);
}

TEST(PassageState, RefusesThatOfAnotherModelOrText) {
  const std::string file = write_passage_state(some_state(), kModel);
  EXPECT_EQ(reading(file, Hash128{1, 3}), ErrorCode::kCorruptData);
  EXPECT_EQ(reading(file, kModel, hash128("an edited passage")), ErrorCode::kCorruptData);
}

}  // namespace
}  // namespace knap::models::runner
