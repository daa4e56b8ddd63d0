#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "knap/base/deadline.hpp"
#include "knap/base/mutex.hpp"
#include "knap/base/result.hpp"
#include "runner/answer_engine.hpp"
#include "runner/passage_store.hpp"
#include "runner/prompt_lookup.hpp"
#include "runner/scheduler.hpp"
#include "runner/text_stream.hpp"

namespace knap::models::runner {

/// Who hears an answer. Called by the loop, in order; must not block: every other answer waits
/// meanwhile.
class AnswerListener {
 public:
  virtual ~AnswerListener() = default;
  /// Valid UTF-8, and what the answer has cost so far.
  /// @param chances  of the tokens since the last call, when they are wanted
  virtual void on_text(std::string text, const Outcome& so_far,
                       std::vector<TokenChance> chances) = 0;
  /// The last call. Errors: kCancelled, kDeadlineExceeded (nothing was written in time; later the
  /// outcome is "length"), kUnavailable (the loop ends), kInternal (the engine failed).
  virtual void on_end(const Result<Outcome>& outcome) = 0;
};

/// Runs a language model: takes answers in, lets the Scheduler choose each step, the AnswerEngine
/// compute it, and tells the listeners.
///
/// Threads: safe. One thread of its own computes; an answer that is cancelled or late leaves at the
/// end of the step under way, or in the middle of it when nobody else is in that step.
class AnswerLoop {
 public:
  using Time = SteadyClock::time_point;
  struct Options {
    std::size_t threads = 1;      ///< What an answer without a number of its own computes with.
    Scheduler::Options schedule;  ///< `cells` and `take` are the engine's.
    PassageStore::Options passages;
    bool guesses = true;  ///< Checks several tokens in a step where PromptLookup guesses them.
    std::function<Time()> clock = SteadyClock::now;
    enum class Drive { kOwnThread, kByHand } drive = Drive::kOwnThread;  ///< kByHand: step().
  };
  struct Stats {
    Scheduler::Counts counts;
    std::chrono::nanoseconds prompt_token{}, writing_step{};
    std::uint64_t answers = 0, refused = 0, steps = 0, prompt_tokens = 0, reused_tokens = 0,
                  completion_tokens = 0;
    std::chrono::microseconds queue_time{}, prompt_time{}, generation_time{};
    std::uint64_t known_tokens = 0;  ///< Of parts that were put in instead of being read.
    std::uint64_t guessed_tokens = 0, guessed_right = 0;  ///< Checked beside those written.
    PassageStore::Stats passages;
  };
  struct Refusal {
    Error error;
    std::optional<std::chrono::milliseconds> retry_after;
  };

  AnswerLoop(std::unique_ptr<AnswerEngine> engine, Options options);
  ~AnswerLoop();  ///< Ends all answers with kUnavailable.
  AnswerLoop(const AnswerLoop&) = delete;
  AnswerLoop& operator=(const AnswerLoop&) = delete;

  /// Takes an answer in, or says why not: at once but for tokenizing. The listener is called only
  /// when it is taken in. Errors: kResourceExhausted (prompt over the context: both numbers),
  /// kUnavailable (queue full, or too late by measured speed), kUnsupported, kCancelled,
  /// kDeadlineExceeded.
  std::optional<Refusal> submit(const GenerationRequest& request, Deadline deadline,
                                const CancelToken& cancel, std::shared_ptr<AnswerListener> listener)
      KNAP_EXCLUDES(mutex_);

  /// Whether passages can be read ahead: by the engine, and by the room there is for them.
  bool reads_ahead() const { return passages_.enabled() && engine_->can_join(); }
  /// Reads a passage by itself and keeps its state, so that prompts can take it as a part. The
  /// listener hears on_end() alone, at once when the state is held already: then prompt_tokens are
  /// 0. Errors: as submit(); kUnsupported (not reads_ahead()), kInvalidArgument (empty or over
  /// kPassageTokensMax tokens).
  std::optional<Refusal> read_ahead(std::string_view passage, Urgency urgency, std::size_t threads,
                                    Deadline deadline, const CancelToken& cancel,
                                    std::shared_ptr<AnswerListener> listener) KNAP_EXCLUDES(mutex_);

  /// Computes a few tokens, so that weights are in memory and the first prediction is no guess.
  /// Before the first submit(). Errors: the engine's.
  Status warm_up() KNAP_EXCLUDES(mutex_);
  /// One step, for Drive::kByHand. @return false when there was nothing to do
  bool step() KNAP_EXCLUDES(mutex_);

  Stats stats() const KNAP_EXCLUDES(mutex_);
  /// Whether a step takes far longer than its tokens should: the engine hangs, and the runner is
  /// better replaced.
  bool stuck() const KNAP_EXCLUDES(mutex_);
  const AnswerEngine& engine() const { return *engine_; }

 private:
  using Key = Scheduler::Key;
  struct Running {
    std::shared_ptr<AnswerListener> listener;
    std::unique_ptr<TokenSampler> sampler;  ///< Null: only the prompt's state is wanted.
    TextStream text;
    std::optional<PromptLookup> lookup;
    std::vector<TokenChance> chances;  ///< Of tokens whose text is held back.
    CancelToken cancel;
    Deadline deadline;
    std::uint64_t tokens_max;
    Time arrived;
    std::optional<Time> first_token;
    std::vector<KnownPart> known;  ///< Parts of the prompt, as the scheduler's job has them.
    std::shared_ptr<PassageState> passage;  ///< What is read ahead, without its bytes.
  };

  std::vector<ResolvedMessage> resolve(const std::vector<Message>& messages);
  PassageStore::State known_state(std::string_view text);
  std::optional<Refusal> take_in(Scheduler::Job job, Running running) KNAP_EXCLUDES(mutex_);
  void run();
  void sweep(Time now) KNAP_REQUIRES(mutex_);
  void compute(const Scheduler::Plan& plan) KNAP_EXCLUDES(mutex_);
  bool guesses(const GenerationRequest& request) const;
  void settle(const Scheduler::Plan& plan, const Result<std::vector<std::vector<Token>>>& chosen,
              std::chrono::nanoseconds elapsed) KNAP_REQUIRES(mutex_);
  TokenChance chance_of(const TokenSampler::Chances& chances) const;
  /// @return whether the answer goes on
  bool take_token(Key key, Token token, Time now) KNAP_REQUIRES(mutex_);
  void take_tokens(Key key, const std::vector<Token>& tokens, Time now) KNAP_REQUIRES(mutex_);
  void finish(Key key, const char* reason, Time now) KNAP_REQUIRES(mutex_);
  void fail(Key key, const Error& error, Scheduler::State state = Scheduler::State::kKept)
      KNAP_REQUIRES(mutex_);
  void remove(Key key, Scheduler::State state = Scheduler::State::kKept) KNAP_REQUIRES(mutex_);
  void apply(const Scheduler::SlotChange& change);
  std::vector<PassageStore::State> states_to_join(
      const std::vector<Scheduler::SlotChange>& changes) const KNAP_REQUIRES(mutex_);
  bool prepare(const Scheduler::Plan& plan, const std::vector<PassageStore::State>& states)
      KNAP_EXCLUDES(mutex_);
  void keep_passage(const Scheduler::Item& item, Time now) KNAP_REQUIRES(mutex_);
  Outcome outcome_of(Key key, const Running& running, Time now) const KNAP_REQUIRES(mutex_);

  const Options options_;
  const std::unique_ptr<AnswerEngine> engine_;
  PassageStore passages_;
  mutable Mutex mutex_;
  CondVar wake_;
  Scheduler scheduler_ KNAP_GUARDED_BY(mutex_);
  std::map<Key, Running> running_ KNAP_GUARDED_BY(mutex_);
  Stats stats_ KNAP_GUARDED_BY(mutex_);
  /// A long step under way, which gives way to newcomers of an earlier rank until it is nearly
  /// done.
  struct LongStep {
    Scheduler::Rank first;
    Time nearly_done;
  };
  std::optional<Time> stuck_from_ KNAP_GUARDED_BY(mutex_);  ///< Of the step under way.
  std::optional<LongStep> long_step_ KNAP_GUARDED_BY(mutex_);
  std::atomic<bool> give_way_ = false;
  bool stopping_ KNAP_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace knap::models::runner
