#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "knap/base/deadline.hpp"
#include "knap/base/result.hpp"
#include "runner/generation.hpp"
#include "runner/state_ledger.hpp"
#include "runner/step_speed.hpp"

namespace knap::models::runner {

/// Decides which answers a language model works on next: continuous batching, step by step.
///
/// A step computes some tokens of several answers at once: the next token of each answer that is
/// being written, and a chunk of the prompts that are still being read. The rules:
///
/// 1. Order: by urgency; within one, a tenant that has used more than kTenantQuantum over the least
///    served one goes behind; then the earliest deadline; then who came first.
/// 2. While an answer waits for its first token, no less urgent work is in the step. A chunk takes
///    about Options::chunk_time, so that whatever runs delays a newcomer by at most one chunk.
///    While nothing is being written, chunks are long_chunk times as long, which reads faster, and
///    such a step should be abandoned for a newcomer of an earlier rank.
/// 3. While more urgent answers are merely being written, less urgent work gets
///    Options::lower_share of the time.
/// 4. A prompt starts from the longest beginning whose state is held by any other. It waits while
///    one ahead of it is about to compute a beginning that they share.
/// 5. When slots or cells run out, kept states go first, least recently used; then the least urgent
///    running answer gives up its state, and is read again when there is room.
/// 6. Parts of a prompt whose state is known are put into the slot instead of being read.
/// 7. What an answer is likely to write next is checked in the step of its next token, where it is
///    the only one in the step and that makes more tokens a second by what such steps took.
/// 8. At the door: refused when the queue is full, or when by measured speed its first token cannot
///    come by its deadline, or would make another's late that was let in before. While nothing runs
///    a speed that was measured long ago is not trusted: one that was measured on a busy machine
///    would refuse all for ever.
///
/// Pure: no clock, no engine, no thread; time comes in as a parameter. Threads: one at a time.
class Scheduler {
 public:
  using Time = SteadyClock::time_point;
  using Slot = StateLedger::Slot;
  enum class Key : std::uint64_t {};

  struct Options {
    std::size_t cells = 8'192;  ///< Tokens whose state the engine holds, all answers together.
    std::size_t slots = 32;
    /// Cells of kept states, but for the one that ended last. Every step's attention passes over
    /// all cells in use, whoever uses them, and shares them out between the threads: 500 old ones
    /// beside an answer of 500 cost a small model a fifth of its speed.
    std::size_t kept_cells_max = 256;
    std::size_t running_max = 16;       ///< Answers that have a slot at a time.
    std::size_t queue_max = 128;        ///< Answers that wait for one.
    std::size_t step_tokens = 512;      ///< Tokens of a step.
    std::size_t chunk_tokens_min = 32;  ///< A chunk is never shorter, however slow the model.
    std::chrono::milliseconds chunk_time{250};
    int long_chunk = 8;
    double lower_share = 0.2;
    StateLedger::Take take = StateLedger::Take::kAnyPart;
  };
  /// A part of a prompt whose state the engine is given.
  struct Known {
    std::size_t begin = 0, length = 0;
  };
  struct Job {
    std::vector<Token> prompt;  ///< 1 to Options::cells - 1 tokens.
    std::vector<Known> known;   ///< In order, apart or side by side, none at the prompt's end.
    bool read_only = false;     ///< Nothing is written: only the state is wanted.
    std::uint32_t max_tokens = 0;
    Urgency urgency = Urgency::kInteractive;
    Deadline deadline = Deadline::never();
    std::string tenant;
    std::size_t threads = 1;
  };
  struct Refusal {
    Error error;  ///< kUnavailable
    std::chrono::milliseconds retry_after;
  };
  /// What the engine does to its slots before a step, in this order.
  struct SlotChange {
    enum class Kind : std::uint8_t { kDrop, kCut, kFork, kJoin } kind;
    Slot slot;
    Slot from = -1;  ///< kFork
    std::size_t length =
        0;                  ///< kCut, kFork: cells that stay or are shared; kJoin: those before it.
    Key key{};              ///< kJoin: whose
    std::size_t known = 0;  ///< kJoin: which of Job::known.
  };
  struct Item {
    Key key;
    Slot slot;
    std::size_t begin;                  ///< Position of the first token.
    std::span<const Token> tokens;      ///< Valid until the next call that changes the scheduler.
    bool output;                        ///< The last token's successor is wanted.
    std::span<const Token> guess = {};  ///< What may follow; of a step's only item. As tokens.
  };
  struct Rank {
    Urgency urgency = Urgency::kBackground;
    Deadline deadline = Deadline::never();

    bool before(const Rank& other) const {
      if (urgency != other.urgency) return urgency < other.urgency;
      return deadline.point() < other.deadline.point();
    }
  };
  struct Plan {
    std::vector<SlotChange> changes;
    std::vector<Item> items;  ///< Empty: nothing to do.
    std::size_t threads = 1;
    std::size_t prompt_tokens = 0, written_tokens = 0, guessed_tokens = 0;
    Urgency top = Urgency::kBackground;  ///< The most urgent work there is.
    std::size_t lower_tokens = 0;        ///< Of this plan, less urgent than that.
    bool is_long = false;                ///< Longer than Options::chunk_time.
    Rank first{};                        ///< Of the first item.
  };
  struct Progress {
    std::size_t prompt_tokens = 0, reused_tokens = 0, completion_tokens = 0;
    std::optional<Time> started;  ///< Its first step.
  };
  struct Counts {
    std::size_t waiting = 0, running = 0, kept = 0, free_cells = 0;
    std::uint64_t preempted = 0;
  };

  explicit Scheduler(Options options);

  /// Takes an answer in. `key` comes back in plans.
  std::optional<Refusal> admit(Job job, Time now, Key& key);
  /// About how long a step takes, by measured speed. Zero before anything has been measured.
  std::chrono::nanoseconds predict(const Plan& plan) const;
  /// How long a prompt that begins so would wait for its first token. Zero before anything has been
  /// measured.
  std::chrono::nanoseconds predict(const Job& job) const;

  /// The next step. It must be followed by complete() or abandon() before the next plan().
  Plan plan(Time now);
  /// The step was computed in `elapsed`. @param right  of its guess, the tokens that were
  void complete(const Plan& plan, std::chrono::nanoseconds elapsed, std::size_t right = 0);
  /// The step was not computed: the engine holds what it held before it.
  void abandon(const Plan& plan);
  /// The successors of the last token of an item with output: after a guess one more than were
  /// right of it.
  void append(Key key, Token token);
  /// What the answer may write next, until the next token or guess.
  /// @param chances  for each token, that it and all before it are right
  void guess(Key key, std::vector<Token> tokens, std::vector<double> chances);
  enum class State { kKept, kLost };
  /// The answer has ended, for whatever reason. Its state is kept for others as long as there is
  /// room, unless the engine has lost it. @return what the engine must do before the next step
  std::vector<SlotChange> end(Key key, State state = State::kKept);

  Progress progress(Key key) const;
  Counts counts() const;
  const StepSpeed& speed() const { return speed_; }
  StepSpeed& speed() { return speed_; }

 private:
  struct Work {
    Key key{};
    Job job;
    std::vector<Token> tokens;       ///< The prompt and what was written.
    std::size_t computed = 0;        ///< Tokens whose state the slot holds.
    std::size_t expected_reuse = 0;  ///< As guessed at the door.
    std::size_t next_known = 0;      ///< Of job.known, the first that stands beyond `computed`.
    Slot slot = -1;                  ///< -1: it waits.
    bool in_plan = false;
    std::vector<Token> guess;
    std::vector<double> chances;  ///< Of the guess.
    Progress progress;

    std::size_t pending() const { return tokens.size() - computed; }
    bool first_token_due() const { return progress.completion_tokens == 0; }
    /// How far it may be read before a known part comes.
    std::size_t readable() const {
      return next_known < job.known.size() ? job.known[next_known].begin - computed : pending();
    }
    bool writing() const { return slot >= 0 && !first_token_due() && pending() == 1; }
  };
  using Order = std::vector<Work*>;

  std::size_t running() const;
  std::size_t chunk_tokens() const;
  std::size_t expect_reuse(const std::vector<Token>& prompt) const;
  std::size_t expect_reading(const Job& job) const;
  static std::size_t to_read(const Work& work);
  bool makes_another_late(const Job& job, std::chrono::nanoseconds wait, Time now) const;
  bool is_over_share(const Work& work) const;
  Order ordered();
  void join_tenant(const std::string& tenant);
  void forget_tenants();

  bool may_run(const Work& work, const Plan& plan, Urgency due) const;
  void add_writing(const Order& order, Urgency due, Plan& plan);
  std::size_t reading_budget(const Order& order, const Plan& plan) const;
  void add_reading(const Order& order, Urgency due, Time now, Plan& plan);
  bool join_known(Work& work, const Order& order, Plan& plan);
  bool activate(Work& work, const Order& order, Plan& plan);
  bool take_slot(Work& work, StateLedger::Match match, Plan& plan);
  bool waits_for_leader(const Work& work, std::size_t match, const Order& order) const;
  bool make_cells(std::size_t wanted, const Work& work, const Order& order, Plan& plan);
  bool preempt_for(const Work& work, const Order& order, Plan& plan);
  void release(Work& work, std::vector<SlotChange>& changes);
  void drop(Slot slot, std::vector<SlotChange>& changes);
  void trim_kept(std::size_t spared, std::vector<SlotChange>& changes);
  void add_item(Work& work, std::size_t count, Plan& plan);
  void add_guess(Plan& plan);

  const Options options_;
  StateLedger ledger_;
  StepSpeed speed_;
  std::map<Key, Work> work_;
  std::map<std::string, double> served_;  ///< Seconds of compute by tenant.
  double lower_credit_ = 0;               ///< Seconds that less urgent work may take.
  std::optional<Time> last_step_;         ///< Or the first admission: the speed's age.
  std::size_t reserved_ = 0;              ///< Cells of the plan under way.
  std::uint64_t next_key_ = 1, preempted_ = 0;
};

}  // namespace knap::models::runner
