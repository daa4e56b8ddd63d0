// Whom the scheduler lets in: what an answer would wait, and what it would cost the others.
#include <fmt/format.h>

#include <algorithm>

#include "knap/base/assert.hpp"
#include "runner/known_tokens.hpp"
#include "runner/scheduler.hpp"

namespace knap::models::runner {
namespace {

using Nanoseconds = std::chrono::nanoseconds;
using Seconds = std::chrono::duration<double>;

/// Predictions are means; an answer that is let in should come in time in all but rare cases.
constexpr double kPredictionMargin = 1.2;

/// A speed that is older is measured anew by letting somebody in.
constexpr std::chrono::seconds kSpeedTrusted{10};

/// Tokens of known parts bear another name than those that are read: their state was computed by
/// itself, and must not be shared with a prompt in which the same words were read after others.
Token known_name(Token token) { return ~token; }

std::string busy_message(const Scheduler::Job& job, Nanoseconds wait, Scheduler::Time now,
                         bool late) {
  const auto first = std::chrono::ceil<std::chrono::milliseconds>(wait).count();
  if (!late) {
    return fmt::format(
        "the model is busy: an answer whose first word comes in about {} ms would "
        "make others late; try again",
        first);
  }
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::max(job.deadline.point() - now, SteadyClock::duration::zero()));
  return fmt::format(
      "the model is busy: the first word would come in about {} ms, the deadline is "
      "in {} ms; try again or allow more time",
      first, left.count());
}

}  // namespace

std::optional<Scheduler::Refusal> Scheduler::admit(Job job, Time now, Key& key) {
  KNAP_ASSERT(!job.prompt.empty() && job.prompt.size() < options_.cells);
  for (const Known& part : job.known) {
    KNAP_ASSERT(part.begin + part.length < job.prompt.size());
    for (std::size_t i = part.begin; i < part.begin + part.length; ++i)
      job.prompt[i] = known_name(job.prompt[i]);
  }
  const Nanoseconds wait = predict(job);
  const auto retry_after = std::max(std::chrono::ceil<std::chrono::milliseconds>(wait),
                                    std::chrono::milliseconds(1'000));
  if (work_.size() - running() >= options_.queue_max) {
    return Refusal{
        make_error(ErrorCode::kUnavailable,
                   fmt::format("{} answers wait already; try again", options_.queue_max)),
        retry_after};
  }
  if (!last_step_) last_step_ = now;
  const bool trusted = !work_.empty() || now - *last_step_ < kSpeedTrusted;
  const bool late = trusted && !job.deadline.is_never() && now + wait > job.deadline.point();
  if (late || makes_another_late(job, wait, now)) {
    return Refusal{make_error(ErrorCode::kUnavailable, busy_message(job, wait, now, late)),
                   retry_after};
  }
  join_tenant(job.tenant);
  key = Key{next_key_++};
  Work& work = work_[key];
  work.key = key;
  work.expected_reuse = expect_reuse(job.prompt);
  work.progress.prompt_tokens = job.prompt.size();
  work.tokens = std::move(job.prompt);
  work.job = std::move(job);
  return std::nullopt;
}

std::size_t Scheduler::expect_reuse(const std::vector<Token>& prompt) const {
  std::size_t reuse = ledger_.longest(prompt, options_.take).length;
  for (const auto& [key, other] : work_)
    reuse = std::max(reuse, common_length(prompt, other.tokens));
  return std::min(reuse, prompt.size() - 1);
}

std::size_t Scheduler::expect_reading(const Job& job) const {
  const std::size_t reuse = without_half_part(job, expect_reuse(job.prompt));
  return job.prompt.size() - reuse - known_beyond(job, reuse);
}

Nanoseconds Scheduler::predict(const Job& job) const {
  if (!speed_.measured()) return Nanoseconds{};
  std::size_t tokens = expect_reading(job);
  std::size_t ahead = 0;
  std::uint64_t to_write = 0;
  bool writing = false;
  for (const auto& [key, other] : work_) {
    if (other.job.urgency > job.urgency) continue;
    const bool overtaken = other.job.urgency == job.urgency && other.first_token_due() &&
                           other.job.deadline.point() > job.deadline.point();
    if (overtaken && other.slot < 0) continue;
    ++ahead;
    to_write += other.job.max_tokens -
                std::min<std::uint64_t>(other.job.max_tokens, other.progress.completion_tokens);
    writing = writing || other.writing();
    if (!overtaken) tokens += to_read(other);
  }
  Nanoseconds wait = speed_.reading(
      tokens, chunk_tokens(), writing ? StepSpeed::Beside::kWriting : StepSpeed::Beside::kNothing);
  if (running() > 0) wait += options_.chunk_time;  // the step under way
  if (ahead >= options_.running_max) {
    // All slots are taken by those ahead: they are written side by side, and end one by one.
    const auto mean = static_cast<long long>(to_write / ahead);
    const auto turns =
        static_cast<long long>(ahead) - static_cast<long long>(options_.running_max) + 1;
    wait += speed_.writing_step() * mean * turns / static_cast<long long>(options_.running_max);
  }
  return std::chrono::duration_cast<Nanoseconds>(Seconds(wait) * kPredictionMargin);
}

Nanoseconds Scheduler::predict(const Plan& plan) const {
  return speed_.prompt_token() * static_cast<long long>(plan.prompt_tokens) +
         (plan.written_tokens == 0   ? Nanoseconds{}
          : plan.guessed_tokens == 0 ? speed_.writing_step()
                                     : speed_.guessing(plan.guessed_tokens));
}

std::size_t Scheduler::to_read(const Work& work) {
  if (!work.first_token_due()) return 0;
  const std::size_t held =
      std::min(std::max(work.computed, work.expected_reuse), work.tokens.size());
  const std::size_t known = known_beyond(work.job, held);
  return work.tokens.size() - held - std::min(known, work.tokens.size() - held);
}

// Who was let in is not made late by one who overtakes it.
bool Scheduler::makes_another_late(const Job& job, Nanoseconds wait, Time now) const {
  const auto time_of = [&](std::size_t tokens) {
    return std::chrono::duration_cast<Nanoseconds>(
        Seconds(speed_.prompt_token() * static_cast<long long>(tokens)) * kPredictionMargin);
  };
  const Nanoseconds own = time_of(expect_reading(job));
  std::vector<const Work*> overtaken;
  for (const auto& [key, other] : work_) {
    if (other.job.urgency == job.urgency && other.first_token_due() &&
        !other.job.deadline.is_never() && other.job.deadline.point() > job.deadline.point())
      overtaken.push_back(&other);
  }
  std::ranges::stable_sort(overtaken, {},
                           [](const Work* work) { return work->job.deadline.point(); });
  Nanoseconds until = wait;
  for (const Work* each : overtaken) {
    until += time_of(to_read(*each));
    const Time deadline = each->job.deadline.point();
    if (now + until > deadline && now + until - own <= deadline) return true;
  }
  return false;
}

}  // namespace knap::models::runner
