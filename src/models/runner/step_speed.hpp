#pragma once

#include <chrono>
#include <cstddef>

namespace knap::models::runner {

/// How long this model's steps take on this machine, as measured while it works.
///
/// Two numbers, each a moving average: the time of one prompt token, and the time of a step that
/// only writes. Steps that do both are charged the writing part first. Threads: one at a time.
class StepSpeed {
 public:
  using Duration = std::chrono::nanoseconds;

  void record(std::size_t prompt_tokens, std::size_t written_tokens, Duration elapsed);

  bool measured() const { return prompt_token_.count() > 0; }
  Duration prompt_token() const { return prompt_token_; }
  Duration writing_step() const { return writing_step_; }

  /// Time to read `tokens`, `chunk` a step, while other answers are being written or not.
  enum class Beside { kNothing, kWriting };
  Duration reading(std::size_t tokens, std::size_t chunk, Beside beside) const;
  /// Prompt tokens that take about `time`, from `min` to `max`; `max` before anything is measured.
  std::size_t tokens_in(Duration time, std::size_t min, std::size_t max) const;

 private:
  Duration prompt_token_{}, writing_step_{};
};

}  // namespace knap::models::runner
