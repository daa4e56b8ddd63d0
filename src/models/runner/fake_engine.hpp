#pragma once

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "knap/base/assert.hpp"
#include "runner/answer_engine.hpp"

namespace knap::models::runner {

/// Time that passes only when a test or a fake engine says so.
struct FakeClock {
  SteadyClock::time_point now{std::chrono::hours(1)};
};

/// A model whose tokens are bytes and whose next token depends on all before it: an answer that was
/// given a wrong or stale state differs. It checks that each step begins where its slot ends.
class FakeEngine final : public AnswerEngine {
 public:
  struct Traits {
    std::uint32_t context = 256, cells = 512, slots = 8;
    std::chrono::microseconds step_time{1'000}, token_time{1'000};
    bool can_cut = true;
    Token end = 0;           ///< Never written by next() unless a test asks for it.
    std::size_t memory = 0;  ///< Tokens that the next one depends on; 0: all.
  };
  struct StepSeen {
    std::size_t items = 0, tokens = 0, threads = 0, guessed = 0;
  };

  FakeEngine(Traits traits, std::shared_ptr<FakeClock> clock)
      : traits_(traits), clock_(std::move(clock)), slots_(traits.slots) {}

  static Token next(std::span<const Token> tokens, std::size_t memory = 0) {
    if (memory > 0 && tokens.size() > memory) tokens = tokens.last(memory);
    std::uint64_t mixed = 7;
    for (const Token token : tokens) mixed = mixed * 31 + static_cast<std::uint64_t>(token);
    return static_cast<Token>('a' + mixed % 26);
  }
  /// What an answer to `prompt` reads like when it is alone.
  static std::string alone(const std::string& prompt, std::size_t tokens, std::size_t memory = 0) {
    std::vector<Token> known(prompt.begin(), prompt.end());
    std::string text;
    for (std::size_t i = 0; i < tokens; ++i) {
      known.push_back(next(known, memory));
      text += static_cast<char>(known.back());
    }
    return text;
  }

  std::uint32_t context() const override { return traits_.context; }
  std::uint32_t cells() const override { return traits_.cells; }
  std::string description() const override { return "fake"; }
  bool can_cut() const override { return traits_.can_cut; }

  bool can_join() const override { return traits_.can_cut; }

  Result<Prompt> tokenize(const std::vector<ResolvedMessage>& messages) const override {
    Prompt prompt;
    for (const ResolvedMessage& message : messages) {
      for (const auto& piece : message.pieces) {
        const std::vector<Token> tokens =
            piece.state == nullptr ? tokenize_alone(piece.text) : piece.state->tokens;
        if (piece.state != nullptr) prompt.known.push_back({prompt.tokens.size(), piece.state});
        prompt.tokens.insert(prompt.tokens.end(), tokens.begin(), tokens.end());
      }
    }
    return prompt;
  }
  std::vector<Token> tokenize_alone(std::string_view text) const override {
    return {text.begin(), text.end()};
  }
  std::string piece(Token token) const override { return {static_cast<char>(token)}; }
  bool is_end(Token token) const override { return token == traits_.end; }
  Result<std::unique_ptr<TokenSampler>> make_sampler(
      const GenerationRequest& request) const override {
    if (request.grammar.rules == "wrong") return make_error(ErrorCode::kInvalidArgument, "grammar");
    return std::make_unique<TokenSampler>();
  }

  void drop(Slot slot) override { at(slot).clear(); }
  void cut(Slot slot, std::size_t length) override {
    KNAP_ASSERT(length <= at(slot).size());
    at(slot).resize(traits_.can_cut ? length : 0);
  }
  void fork(Slot from, Slot to, std::size_t length) override {
    KNAP_ASSERT(at(to).empty() && length <= at(from).size());
    KNAP_ASSERT(traits_.can_cut || length == at(from).size());
    at(to).assign(at(from).begin(), at(from).begin() + static_cast<std::ptrdiff_t>(length));
  }

  Result<std::string> save(Slot slot) override {
    return std::string(at(slot).begin(), at(slot).end());
  }
  Status join(Slot slot, std::size_t at_token, const PassageState& state) override {
    auto& tokens = at(slot);
    KNAP_ASSERT(tokens.size() == at_token);
    if (fail_join) return make_error(ErrorCode::kCorruptData, "no state");
    ++joined;
    tokens.insert(tokens.end(), state.bytes.begin(), state.bytes.end());
    return {};
  }

  Result<std::vector<std::vector<Token>>> step(std::span<const Item> items, std::size_t threads,
                                               const std::function<bool()>& should_abort) override {
    std::size_t tokens = 0, guessed = 0;
    for (const Item& item : items) {
      tokens += item.tokens.size() + item.guess.size();
      guessed += item.guess.size();
    }
    KNAP_ASSERT(guessed == 0 || (traits_.can_cut && guessed <= kGuessMax));
    steps.push_back(
        {.items = items.size(), .tokens = tokens, .threads = threads, .guessed = guessed});
    if (before_step) before_step();
    if (should_abort()) {
      for (const Item& item : items) cut(item.slot, item.begin);
      return make_error(ErrorCode::kCancelled, "given up");
    }
    if (fail_next) {
      fail_next = false;
      for (const Item& item : items) cut(item.slot, item.begin);
      return make_error(ErrorCode::kInternal, "broken");
    }
    clock_->now += traits_.step_time + traits_.token_time * tokens;
    std::vector<std::vector<Token>> chosen;
    for (const Item& item : items) {
      auto& slot = at(item.slot);
      KNAP_ASSERT(slot.size() == item.begin);
      slot.insert(slot.end(), item.tokens.begin(), item.tokens.end());
      auto& own = chosen.emplace_back();
      if (item.sampler == nullptr) continue;
      own.push_back(next(slot, traits_.memory));
      for (const Token guess : item.guess) {
        if (guess != own.back() || is_end(guess)) break;
        slot.push_back(guess);
        own.push_back(next(slot, traits_.memory));
      }
    }
    return chosen;
  }

  std::vector<StepSeen> steps;
  bool fail_next = false, fail_join = false;
  std::size_t joined = 0;
  std::function<void()> before_step;

 private:
  std::vector<Token>& at(Slot slot) { return slots_.at(static_cast<std::size_t>(slot)); }

  const Traits traits_;
  const std::shared_ptr<FakeClock> clock_;
  std::vector<std::vector<Token>> slots_;
};

}  // namespace knap::models::runner
