#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace knap::answer {

/// One sentence of a model's wording: its text without marks, and the numbers it was marked with.
struct Statement {
  std::string text;
  std::vector<std::uint32_t> marks;  ///< In range, ascending, no number twice.
};

/// Takes [1], [1, 2], [1][2], [Note 1] out of a sentence. Numbers outside 1..citations are dropped.
Statement read_statement(std::string_view sentence, std::uint32_t citations);

/// Gathers a model's tokens and hands out each sentence as soon as it is whole, its marks included.
class StatementGate {
 public:
  static constexpr std::size_t kMaxBytes = 16'384;  ///< More wording than this is not an answer.

  explicit StatementGate(std::string language) : language_(std::move(language)) {}
  /// @return the sentences that became whole
  std::vector<std::string> add(std::string_view piece);
  /// What is left at the end; a sentence without its full stop only when `finished`.
  std::vector<std::string> finish(bool finished);

 private:
  std::string language_, pending_;
  std::size_t taken_ = 0;
};

/// True when a model says that it cannot answer from the notes.
bool says_unknown(std::string_view statement);

}  // namespace knap::answer
