#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace knap::models::runner {

/// A token of the model's vocabulary.
using Token = std::int32_t;

/// Tokens of an answer that are guessed and checked in one step, at most.
constexpr std::size_t kGuessMax = 15;

/// Who waits for an answer. Earlier ones go first, whatever their deadlines.
enum class Urgency : std::uint8_t { kInteractive, kSearch, kBackground };

struct PassageState;

/// A part of a message. Where the states of `lead` and `known` are held, these two stand in the
/// place of `text`, and need not be read.
struct MessagePart {
  std::string text;
  std::string lead;   ///< E.g. a number before the passage; may be empty.
  std::string known;  ///< Empty: `text` it is.
};

struct Message {
  std::string role, content;
  std::vector<MessagePart> parts = {};  ///< Not empty: instead of content.
};

/// Tokens that were read ahead by themselves, with where they stand in a prompt.
struct KnownPart {
  std::size_t begin = 0;
  std::shared_ptr<const PassageState> state;
};

/// A message whose parts are chosen: texts and, between them, what was read ahead.
struct ResolvedMessage {
  struct Piece {
    std::string text;                           ///< Where state is null.
    std::shared_ptr<const PassageState> state;  ///< Read ahead.
  };
  std::string role;
  std::vector<Piece> pieces;
};

struct Prompt {
  std::vector<Token> tokens;
  std::vector<KnownPart> known;  ///< In order, apart from each other or side by side.
};

/// A grammar that what is written must be a text of.
struct Grammar {
  std::string rules;    ///< llama.cpp's GBNF with the start rule "root"; empty: any text will do.
  std::string trigger;  ///< It holds for what follows this text; empty: from the beginning.
};

/// A token that was written, and how likely the model found it and its best alternatives.
struct TokenChance {
  std::string bytes;  ///< Maybe half a character.
  float logprob = 0;
  std::vector<TokenChance> top;  ///< The likeliest tokens in its place, best first.
};

/// One answer that is asked for.
struct GenerationRequest {
  std::vector<Message> messages;
  std::uint32_t max_tokens = 256;
  float temperature = 0;  ///< 0: always the likeliest token.
  float top_p = 1;
  std::optional<std::uint32_t> seed;  ///< Unset: another one each time.
  std::vector<std::string> stop;
  Grammar grammar;
  std::optional<std::uint32_t> top_logprobs;  ///< Set: TokenChance is wanted, with so many others.
  std::size_t threads = 0;  ///< Compute threads leased for it; 0: all of the runner's.
  Urgency urgency = Urgency::kInteractive;
  std::string tenant;  ///< Whose share of the runner it uses; empty: the default one.
};

/// What an answer has cost so far, or in all.
struct Outcome {
  std::string finish_reason;  ///< "stop", "length"; empty while it runs.
  /// reused_tokens: of the prompt, those whose state was held, the known parts' among them.
  std::uint64_t prompt_tokens = 0, reused_tokens = 0, completion_tokens = 0;
  std::chrono::microseconds queue_time{};       ///< From its coming to its first step.
  std::chrono::microseconds prompt_time{};      ///< From there to the first token.
  std::chrono::microseconds generation_time{};  ///< From there to the end.
};

}  // namespace knap::models::runner
