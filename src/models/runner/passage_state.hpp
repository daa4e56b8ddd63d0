#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "knap/base/hash.hpp"
#include "knap/base/result.hpp"
#include "runner/generation.hpp"

namespace knap::models::runner {

/// What a model holds of a passage that it has read by itself, at positions from 0: read ahead, it
/// is put into a prompt instead of being read there. The text's hash names it, so that a passage
/// that was edited is another one.
struct PassageState {
  Hash128 text;               ///< hash128() of the passage as it stands in prompts.
  std::vector<Token> tokens;  ///< At least one.
  std::string bytes;          ///< Key-value state, as the engine writes it.

  /// What keeping it in memory costs.
  std::uint64_t cost() const { return bytes.size() + tokens.size() * sizeof(Token); }
};

/// Raised when what is written, the engine's form of a state or its settings change.
inline constexpr std::uint32_t kPassageStateVersion = 1;
inline constexpr std::size_t kPassageTokensMax = 2'048;
inline constexpr std::uint64_t kPassageBytesMax = 1ULL << 30;

/// As a file, with the model that it belongs to and a checksum of all: see docs/formats.
std::string write_passage_state(const PassageState& state, const Hash128& model);

/// Reads such a file, which may be damaged or made by others. Pure.
/// Errors: kCorruptData (torn, changed, of another version, model or text: says which).
Result<PassageState> read_passage_state(std::string_view file, const Hash128& model,
                                        const Hash128& text);

}  // namespace knap::models::runner
