#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "knap/base/result.hpp"
#include "knap/models/gpu.hpp"
#include "runner/generation.hpp"
#include "runner/passage_state.hpp"

namespace knap::models::runner {

/// How one answer's tokens are chosen from the model's output, with the state of that choice.
class TokenSampler {
 public:
  struct Chances {
    Token token;
    float logprob;
    std::vector<std::pair<Token, float>> top;  ///< The likeliest, best first.
  };
  virtual ~TokenSampler() = default;
  /// Of the token chosen last; null when they are not wanted.
  virtual const Chances* chances() const { return nullptr; }
};

/// A language model that computes steps: some tokens of several sequences at once. Which ones is
/// the Scheduler's to decide.
///
/// Each slot holds the state of one sequence; slots share cells after fork(). Threads: tokenize(),
/// piece(), is_end() and the sizes from any thread; everything else from one at a time.
class AnswerEngine {
 public:
  using Slot = std::int32_t;
  struct Options {
    std::filesystem::path model_file;
    std::uint32_t context = 4'096;  ///< Tokens of one answer with its prompt.
    std::uint32_t cells = 8'192;    ///< Tokens whose state is held, all slots together.
    std::uint32_t slots = 32;
    std::uint32_t step_tokens = 512;
    std::size_t threads = 1;  ///< At most so many compute.
    GpuWish gpu = {.use = GpuUse::kNever};
  };
  struct Item {
    Slot slot;
    std::size_t begin;              ///< Tokens that the slot holds already.
    std::span<const Token> tokens;  ///< At least one.
    TokenSampler* sampler;          ///< Chooses the next token; null: none is wanted.
    /// What may follow the tokens, checked in the same step. Only with a sampler, where can_cut(),
    /// and at most kGuessMax in all items together.
    std::span<const Token> guess = {};
  };
  static constexpr Token kNoToken = -1;

  /// Puts layers on graphics cards as place_model() says. With GpuUse::kAuto a card that fails is
  /// given up with a warning, and the processor computes.
  /// Errors: kCorruptData (llama.cpp cannot load the file), kResourceExhausted (no memory for the
  /// context; GpuUse::kAlways and too little room on graphics cards).
  static Result<std::unique_ptr<AnswerEngine>> open(const Options& options);
  virtual ~AnswerEngine() = default;

  virtual std::uint32_t context() const = 0;  ///< Options::context, or less when trained for less.
  virtual std::uint32_t cells() const = 0;
  virtual std::string description() const = 0;
  /// Where the layers lie, for people; empty: with the processor.
  virtual std::string placement() const { return {}; }
  /// Whether any beginning of a slot can be kept or shared. If not, only whole slots can.
  virtual bool can_cut() const = 0;

  /// Whether states that were computed elsewhere can be put behind each other: join().
  virtual bool can_join() const = 0;

  /// The model's chat template with the messages in it. Text in messages never becomes special
  /// tokens. Errors: kUnsupported (the template drops a role or cannot be applied),
  /// kResourceExhausted (plainly too long for the context: says the numbers).
  virtual Result<Prompt> tokenize(const std::vector<ResolvedMessage>& messages) const = 0;
  /// Tokens of a text by itself.
  virtual std::vector<Token> tokenize_alone(std::string_view text) const = 0;
  virtual std::string piece(Token token) const = 0;  ///< Bytes, maybe half a character.
  virtual bool is_end(Token token) const = 0;
  /// Errors: kInvalidArgument (the request's grammar).
  virtual Result<std::unique_ptr<TokenSampler>> make_sampler(
      const GenerationRequest& request) const = 0;

  virtual void drop(Slot slot) = 0;
  virtual void cut(Slot slot, std::size_t length) = 0;
  virtual void fork(Slot from, Slot to, std::size_t length) = 0;  ///< `to` is empty.

  /// What a slot holds, as bytes for join(). Errors: kInternal.
  virtual Result<std::string> save(Slot slot) = 0;
  /// Puts a saved state behind the `at` tokens that the slot holds, shifted to its place: the next
  /// token of the slot stands after it. Errors: kCorruptData (not such a state, or no room); the
  /// slot holds what it held.
  virtual Status join(Slot slot, std::size_t at, const PassageState& state) = 0;

  /// Computes one step. @return for each item the tokens chosen, none where none was wanted: those
  /// of its guess that are right and the one after them, so that the slot holds all but the last;
  /// the last is kNoToken where a grammar lets none follow. Each is chosen as if by itself: a guess
  /// changes when it comes, not what it is, but for what larger steps round differently.
  /// Errors: kCancelled (should_abort said so), kInternal. Then all slots hold what they held
  /// before, where the model's state can be cut; where not, the items' slots are empty.
  /// @param should_abort  asked often while it computes, by the computing threads
  virtual Result<std::vector<std::vector<Token>>> step(
      std::span<const Item> items, std::size_t threads,
      const std::function<bool()>& should_abort) = 0;
};

}  // namespace knap::models::runner
