#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <span>

#include "runner/generation.hpp"

namespace knap::models::runner {

/// Tokens from which on a step may be computed with kernels that smaller ones do not have
/// (BatchProduct), so that a token costs less.
inline constexpr std::size_t kFewTokens = 24;

/// How long this model's steps take on this machine, as measured while it works.
///
/// Moving averages: the time of one prompt token, in steps of few tokens and in others, the time of
/// a step that only writes, and of one that writes a single answer with so many guessed tokens.
/// Steps that read and write are charged the writing part first. Threads: one at a time.
class StepSpeed {
 public:
  using Duration = std::chrono::nanoseconds;

  void record(std::size_t prompt_tokens, std::size_t written_tokens, Duration elapsed);
  /// A step that wrote one answer, with `guessed` tokens checked beside it.
  void record_guessed(std::size_t guessed, Duration elapsed);

  bool measured() const { return prompt_token_.count() > 0; }
  Duration prompt_token() const { return prompt_token_; }
  Duration writing_step() const { return writing_step_; }

  /// Time to read `tokens`, `chunk` a step, while other answers are being written or not.
  enum class Beside { kNothing, kWriting };
  Duration reading(std::size_t tokens, std::size_t chunk, Beside beside) const;
  /// Time of a step that writes one answer and checks `guessed` tokens. One that was not seen yet
  /// is taken to read these like so few tokens of a prompt beside what it writes.
  Duration guessing(std::size_t guessed) const;
  /// How many guessed tokens make the most tokens a second of one answer, within steps of `most`:
  /// 0, 3, 7, 11 or 15, so that with the token that is written anyway they fill the kernels.
  /// @param chances  for each, that it and all before it are right
  std::size_t worth_guessing(std::span<const double> chances, Duration most) const;
  /// Prompt tokens that take about `time`, from `min` to `max`; `max` before anything is measured.
  std::size_t tokens_in(Duration time, std::size_t min, std::size_t max) const;

 private:
  Duration expected(std::size_t guessed) const;

  Duration prompt_token_{}, few_token_{}, writing_step_{};
  std::array<Duration, kGuessMax + 1> guessing_{};  ///< By guessed tokens; zero: not seen yet.
};

}  // namespace knap::models::runner
