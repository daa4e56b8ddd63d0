#include "runner/answer_loop.hpp"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <utility>

#include "knap/base/assert.hpp"

namespace knap::models::runner {
namespace {

using std::chrono::duration_cast;
using std::chrono::microseconds;

/// Enough for a first figure, little enough to start soon with a slow model.
constexpr std::size_t kWarmUpTokens = 64;
/// A step that takes longer, and many times longer than predicted, will never end.
constexpr std::chrono::seconds kStepTimeMax{60};
constexpr int kStepPredictionsMax = 20;

Scheduler::Options schedule_for(const AnswerEngine& engine, Scheduler::Options options) {
  options.cells = engine.cells();
  options.take =
      engine.can_cut() ? StateLedger::Take::kAnyPart : StateLedger::Take::kWholeSlotsOnly;
  return options;
}

}  // namespace

AnswerLoop::AnswerLoop(std::unique_ptr<AnswerEngine> engine, Options options)
    : options_(std::move(options)),
      engine_(std::move(engine)),
      passages_(options_.passages),
      scheduler_(schedule_for(*engine_, options_.schedule)) {
  if (options_.drive == Options::Drive::kOwnThread) thread_ = std::thread([this] { run(); });
}

AnswerLoop::~AnswerLoop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    for (auto& [key, running] : running_) running.cancel.cancel();
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
  MutexLock lock(mutex_);
  for (auto& [key, running] : running_)
    running.listener->on_end(make_error(ErrorCode::kUnavailable, "the model is being unloaded"));
}

Status AnswerLoop::warm_up() {
  std::string words;
  for (std::size_t i = 0; i < kWarmUpTokens; ++i) words += "a ";
  KNAP_TRY(Prompt prompt, engine_->tokenize({{"user", {{words, nullptr}}}}));
  std::vector<Token>& tokens = prompt.tokens;
  KNAP_TRY(const auto sampler, engine_->make_sampler({}));
  tokens.resize(std::min({tokens.size(), kWarmUpTokens, std::size_t{engine_->context()} - 2}));
  const std::span all(tokens);
  const auto timed = [&](std::size_t begin, std::span<const Token> part) -> Status {
    const AnswerEngine::Item item{
        .slot = 0, .begin = begin, .tokens = part, .sampler = sampler.get()};
    const Time start = options_.clock();
    KNAP_CHECK_OK(engine_->step({&item, 1}, options_.threads, [] { return false; }));
    MutexLock lock(mutex_);
    const bool reads = part.size() > 1;
    scheduler_.speed().record(reads ? part.size() : 0, reads ? 0 : 1, options_.clock() - start);
    return {};
  };
  // The first step brings the weights into memory: it is not measured.
  const AnswerEngine::Item first{.slot = 0, .begin = 0, .tokens = all.first(1), .sampler = nullptr};
  KNAP_CHECK_OK(engine_->step({&first, 1}, options_.threads, [] { return false; }));
  // Few tokens and many: they may cost differently.
  Status status;
  const std::size_t few = 1 + kFewTokens * 2 / 3;
  const bool both = tokens.size() > few + kFewTokens;
  if (both) status = timed(1, all.subspan(1, few - 1));
  if (status) status = timed(both ? few : 1, all.subspan(both ? few : 1));
  if (status) status = timed(tokens.size(), all.first(1));
  engine_->drop(0);
  return status;
}

void AnswerLoop::run() {
  ::pthread_setname_np(::pthread_self(), "answers");
  for (;;) {
    {
      MutexLock lock(mutex_);
      while (!stopping_ && running_.empty()) wake_.wait(mutex_);
      if (stopping_) return;
    }
    step();
  }
}

bool AnswerLoop::step() {
  Scheduler::Plan plan;
  std::vector<PassageStore::State> joined;
  {
    MutexLock lock(mutex_);
    const Time now = options_.clock();
    sweep(now);
    plan = scheduler_.plan(now);
    KNAP_ASSERT(running_.empty() || !plan.items.empty());
    joined = states_to_join(plan.changes);
  }
  const bool whole = prepare(plan, joined);
  if (plan.items.empty()) return false;
  if (whole) compute(plan);
  return true;
}

std::vector<PassageStore::State> AnswerLoop::states_to_join(
    const std::vector<Scheduler::SlotChange>& changes) const {
  std::vector<PassageStore::State> states;
  for (const Scheduler::SlotChange& change : changes) {
    if (change.kind == Scheduler::SlotChange::Kind::kJoin)
      states.push_back(running_.at(change.key).known[change.known].state);
  }
  return states;
}

// Brings the slots into the state that the plan begins with. @return false when the step cannot be
// computed: an answer whose known part the engine refuses ends, the others are planned again.
bool AnswerLoop::prepare(const Scheduler::Plan& plan,
                         const std::vector<PassageStore::State>& states) {
  std::vector<Key> broken;
  std::size_t next = 0;
  for (const Scheduler::SlotChange& change : plan.changes) {
    if (change.kind != Scheduler::SlotChange::Kind::kJoin) {
      apply(change);
      continue;
    }
    const PassageState& state = *states[next++];
    if (!broken.empty() && broken.back() == change.key) continue;
    if (engine_->join(change.slot, change.length, state)) continue;
    passages_.forget(state.text);
    broken.push_back(change.key);
  }
  if (broken.empty()) return true;
  MutexLock lock(mutex_);
  scheduler_.abandon(plan);
  for (const Key key : broken) {
    fail(key,
         make_error(ErrorCode::kInternal,
                    "a passage that was read ahead could not be put into the prompt; try again"),
         Scheduler::State::kLost);
  }
  return false;
}

// Who has gone or is late leaves before the next step.
void AnswerLoop::sweep(Time now) {
  std::vector<Key> gone;
  std::vector<Key> late;
  for (const auto& [key, running] : running_) {
    if (running.cancel.cancelled()) {
      gone.push_back(key);
    } else if (!running.deadline.is_never() && now >= running.deadline.point()) {
      late.push_back(key);
    }
  }
  for (const Key key : gone) fail(key, make_error(ErrorCode::kCancelled, "the caller has gone"));
  for (const Key key : late) {
    if (running_.at(key).first_token) {
      finish(key, "length", now);  // what is written is the answer
    } else {
      fail(key, make_error(ErrorCode::kDeadlineExceeded, "the deadline has passed"));
    }
  }
}

void AnswerLoop::compute(const Scheduler::Plan& plan) {
  struct Interest {
    CancelToken cancel;
    Deadline deadline;
  };
  std::vector<AnswerEngine::Item> items;
  std::vector<Interest> interests;
  {
    MutexLock lock(mutex_);
    for (const Scheduler::Item& item : plan.items) {
      const Running& running = running_.at(item.key);
      items.push_back({.slot = item.slot,
                       .begin = item.begin,
                       .tokens = item.tokens,
                       .sampler = item.output ? running.sampler.get() : nullptr,
                       .guess = item.guess});
      interests.push_back({running.cancel, running.deadline});
    }
    const Time now = options_.clock();
    const std::chrono::nanoseconds predicted = scheduler_.predict(plan);
    stuck_from_ =
        now + std::max<std::chrono::nanoseconds>(kStepTimeMax, predicted * kStepPredictionsMax);
    if (plan.is_long) long_step_ = {plan.first, now + predicted - options_.schedule.chunk_time};
  }
  const Time start = options_.clock();
  const auto chosen = engine_->step(items, plan.threads, [&] {
    if (give_way_.load(std::memory_order_relaxed)) return true;
    return std::ranges::all_of(interests, [&](const Interest& each) {
      return each.cancel.cancelled() ||
             (!each.deadline.is_never() && options_.clock() >= each.deadline.point());
    });
  });
  MutexLock lock(mutex_);
  stuck_from_.reset();
  long_step_.reset();
  give_way_ = false;
  settle(plan, chosen, options_.clock() - start);
}

void AnswerLoop::settle(const Scheduler::Plan& plan,
                        const Result<std::vector<std::vector<Token>>>& chosen,
                        std::chrono::nanoseconds elapsed) {
  if (!chosen) {
    scheduler_.abandon(plan);
    // Given up for a newcomer, or because nobody wanted it, which the next sweep tells each. A
    // failure is told to all who were in the step.
    if (chosen.error().code == ErrorCode::kCancelled && engine_->can_cut()) return;
    const auto state = engine_->can_cut() ? Scheduler::State::kKept : Scheduler::State::kLost;
    for (const Scheduler::Item& item : plan.items) fail(item.key, chosen.error(), state);
    return;
  }
  ++stats_.steps;
  const std::size_t right = plan.guessed_tokens > 0 ? chosen->front().size() - 1 : 0;
  stats_.guessed_tokens += plan.guessed_tokens;
  stats_.guessed_right += right;
  scheduler_.complete(plan, elapsed, right);
  const Time now = options_.clock();
  for (std::size_t i = 0; i < plan.items.size(); ++i) {
    const Scheduler::Item& item = plan.items[i];
    if (item.output) {
      take_tokens(item.key, (*chosen)[i], now);
    } else if (running_.at(item.key).passage != nullptr) {
      keep_passage(item, now);
    }
  }
}

// A passage that is read whole leaves its slot: it is kept as bytes, wherever a prompt wants it.
void AnswerLoop::keep_passage(const Scheduler::Item& item, Time now) {
  Running& running = running_.at(item.key);
  if (item.begin + item.tokens.size() < running.passage->tokens.size()) return;
  auto bytes = engine_->save(item.slot);
  if (!bytes) return fail(item.key, bytes.error(), Scheduler::State::kLost);
  running.passage->bytes = *std::move(bytes);
  passages_.put(running.passage);
  running.listener->on_end(outcome_of(item.key, running, now));
  remove(item.key, Scheduler::State::kLost);
}

TokenChance AnswerLoop::chance_of(const TokenSampler::Chances& chances) const {
  TokenChance chance{engine_->piece(chances.token), chances.logprob, {}};
  for (const auto& [token, logprob] : chances.top)
    chance.top.push_back({engine_->piece(token), logprob, {}});
  return chance;
}

void AnswerLoop::take_tokens(Key key, const std::vector<Token>& tokens, Time now) {
  for (const Token token : tokens) {
    if (!take_token(key, token, now)) return;
  }
  Running& running = running_.at(key);
  if (!running.lookup) return;
  const PromptLookup::Guess guess = running.lookup->guess();
  scheduler_.guess(key, {guess.tokens.begin(), guess.tokens.end()}, guess.chances);
}

bool AnswerLoop::take_token(Key key, Token token, Time now) {
  Running& running = running_.at(key);
  if (!running.first_token) running.first_token = now;
  // No token: a grammar's text is whole, and the model knows no end.
  if (token == AnswerEngine::kNoToken || engine_->is_end(token)) {
    finish(key, "stop", now);
    return false;
  }
  if (const auto* chances = running.sampler->chances())
    running.chances.push_back(chance_of(*chances));
  scheduler_.append(key, token);
  if (running.lookup) running.lookup->push(token);
  const std::string text = running.text.push(engine_->piece(token));
  const Outcome so_far = outcome_of(key, running, now);
  if (!text.empty()) running.listener->on_text(text, so_far, std::exchange(running.chances, {}));
  const bool stopped = running.text.stopped();
  if (!stopped && so_far.completion_tokens < running.tokens_max) return true;
  finish(key, stopped ? "stop" : "length", now);
  return false;
}

void AnswerLoop::finish(Key key, const char* reason, Time now) {
  Running& running = running_.at(key);
  for (const KnownPart& part : running.known) stats_.known_tokens += part.state->tokens.size();
  Outcome outcome = outcome_of(key, running, now);
  outcome.finish_reason = reason;
  if (const std::string rest = running.text.finish(); !rest.empty() || !running.chances.empty())
    running.listener->on_text(rest, outcome, std::exchange(running.chances, {}));
  ++stats_.answers;
  stats_.prompt_tokens += outcome.prompt_tokens;
  stats_.reused_tokens += outcome.reused_tokens;
  stats_.completion_tokens += outcome.completion_tokens;
  stats_.queue_time += outcome.queue_time;
  stats_.prompt_time += outcome.prompt_time;
  stats_.generation_time += outcome.generation_time;
  running.listener->on_end(outcome);
  remove(key);
}

void AnswerLoop::fail(Key key, const Error& error, Scheduler::State state) {
  running_.at(key).listener->on_end(error);
  remove(key, state);
}

void AnswerLoop::remove(Key key, Scheduler::State state) {
  for (const Scheduler::SlotChange& change : scheduler_.end(key, state)) apply(change);
  running_.erase(key);
}

void AnswerLoop::apply(const Scheduler::SlotChange& change) {
  switch (change.kind) {
    case Scheduler::SlotChange::Kind::kDrop: return engine_->drop(change.slot);
    case Scheduler::SlotChange::Kind::kCut: return engine_->cut(change.slot, change.length);
    case Scheduler::SlotChange::Kind::kFork:
      return engine_->fork(change.from, change.slot, change.length);
    case Scheduler::SlotChange::Kind::kJoin: KNAP_ASSERT(false && "has a state: prepare()");
  }
}

Outcome AnswerLoop::outcome_of(Key key, const Running& running, Time now) const {
  const Scheduler::Progress progress = scheduler_.progress(key);
  Outcome outcome;
  outcome.prompt_tokens = progress.prompt_tokens;
  outcome.reused_tokens = progress.reused_tokens;
  outcome.completion_tokens = progress.completion_tokens;
  const Time started = progress.started.value_or(now);
  const Time first = running.first_token.value_or(now);
  outcome.queue_time = duration_cast<microseconds>(started - running.arrived);
  outcome.prompt_time = duration_cast<microseconds>(first - started);
  outcome.generation_time = duration_cast<microseconds>(now - first);
  return outcome;
}

bool AnswerLoop::stuck() const {
  MutexLock lock(mutex_);
  return stuck_from_ && options_.clock() > *stuck_from_;
}

AnswerLoop::Stats AnswerLoop::stats() const {
  MutexLock lock(mutex_);
  Stats stats = stats_;
  stats.counts = scheduler_.counts();
  stats.passages = passages_.stats();
  stats.prompt_token = scheduler_.speed().prompt_token();
  stats.writing_step = scheduler_.speed().writing_step();
  return stats;
}

}  // namespace knap::models::runner
