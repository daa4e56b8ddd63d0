#include "runner/step_speed.hpp"

#include <algorithm>

namespace knap::models::runner {
namespace {

/// Fewer prompt tokens than this say more about the step's own cost than about theirs.
constexpr std::size_t kPromptTokensMin = 16;
/// Weight of the newest step: a change of load shows after about five.
constexpr double kNewest = 0.2;

StepSpeed::Duration mix(StepSpeed::Duration old, StepSpeed::Duration now) {
  if (old.count() == 0) return now;
  const double mean =
      static_cast<double>(old.count()) * (1 - kNewest) + static_cast<double>(now.count()) * kNewest;
  return StepSpeed::Duration(std::max(1LL, static_cast<long long>(mean)));
}

}  // namespace

void StepSpeed::record(std::size_t prompt_tokens, std::size_t written_tokens, Duration elapsed) {
  if (elapsed.count() <= 0) return;
  if (prompt_tokens == 0) {
    if (written_tokens > 0) writing_step_ = mix(writing_step_, elapsed);
    return;
  }
  if (prompt_tokens < kPromptTokensMin) return;
  const Duration writing = written_tokens > 0 ? std::min(writing_step_, elapsed / 2) : Duration{};
  prompt_token_ = mix(prompt_token_, (elapsed - writing) / static_cast<long long>(prompt_tokens));
}

StepSpeed::Duration StepSpeed::reading(std::size_t tokens, std::size_t chunk, Beside beside) const {
  const auto steps = static_cast<long long>((tokens + chunk - 1) / std::max<std::size_t>(chunk, 1));
  const Duration reading = prompt_token_ * static_cast<long long>(tokens);
  return beside == Beside::kWriting ? Duration(reading + writing_step_ * steps) : reading;
}

std::size_t StepSpeed::tokens_in(Duration time, std::size_t min, std::size_t max) const {
  if (!measured()) return max;
  return std::clamp(static_cast<std::size_t>(time / prompt_token_), min, max);
}

}  // namespace knap::models::runner
