#include "runner/step_speed.hpp"

#include <algorithm>

namespace knap::models::runner {
namespace {

/// Fewer prompt tokens than this say more about the step's own cost than about theirs.
constexpr std::size_t kPromptTokensMin = 16;
/// Weight of the newest step: a change of load shows after about five.
constexpr double kNewest = 0.2;

/// Of what guessing should cost in what it did, for each step that guesses otherwise: one that was
/// slow once, on a busy machine, is tried again after some fifty.
constexpr double kForgetting = 0.02;

/// Kernels of quantised weights take so many tokens at a time; those left over cost a step each.
constexpr std::size_t kTokensAtOnce = 4;
/// Chances and times are means: what gains less than this may as well lose.
constexpr double kGainMin = 1.1;

StepSpeed::Duration mix(StepSpeed::Duration old, StepSpeed::Duration now, double newest = kNewest) {
  if (old.count() == 0) return now;
  const double mean =
      static_cast<double>(old.count()) * (1 - newest) + static_cast<double>(now.count()) * newest;
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
  const Duration token = (elapsed - writing) / static_cast<long long>(prompt_tokens);
  const bool few = prompt_tokens + written_tokens < kFewTokens;
  if (few) few_token_ = mix(few_token_, token);
  if (!few || prompt_token_.count() == 0) prompt_token_ = mix(prompt_token_, token);
}

void StepSpeed::record_guessed(std::size_t guessed, Duration elapsed) {
  if (elapsed.count() <= 0 || guessed > kGuessMax) return;
  for (std::size_t i = 0; i <= kGuessMax; ++i) {
    if (guessing_[i].count() > 0 && i != guessed)
      guessing_[i] = mix(guessing_[i], expected(i), kForgetting);
  }
  guessing_[guessed] = mix(guessing_[guessed], elapsed);
}

StepSpeed::Duration StepSpeed::expected(std::size_t guessed) const {
  const Duration token = few_token_.count() > 0 ? few_token_ : prompt_token_;
  return writing_step_ + token * static_cast<long long>(guessed);
}

StepSpeed::Duration StepSpeed::guessing(std::size_t guessed) const {
  const bool seen = guessed <= kGuessMax && guessing_[guessed].count() > 0;
  return seen ? guessing_[guessed] : expected(guessed);
}

std::size_t StepSpeed::worth_guessing(std::span<const double> chances, Duration most) const {
  if (!measured() || writing_step_.count() == 0) return 0;
  const auto rate = [&](double tokens, std::size_t guessed) {
    return tokens / static_cast<double>(guessing(guessed).count());
  };
  std::size_t best = 0;
  double best_rate = rate(1, 0) * kGainMin;
  double tokens = 1;
  for (std::size_t i = 0; i < std::min(chances.size(), kGuessMax); ++i) {
    tokens += chances[i];
    if ((i + 2) % kTokensAtOnce != 0) continue;
    if (guessing(i + 1) > most) break;
    if (const double now = rate(tokens, i + 1); now > best_rate) best = i + 1, best_rate = now;
  }
  return best;
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
