#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "knap/base/deadline.hpp"
#include "knap/base/result.hpp"

namespace knap::models::runner {

/// Writes a Whisper model with its matrices at another level; convolutions stay in 16 bits (F32: in
/// 32), positions, norms and biases in 32.
///
/// whisper.cpp knows one type for all matrices of a file: Q5_K_M and Q4_K_M mean Q5_K and Q4_K in
/// all of them. Blocks of the levels with a K are 256 values long: where a row is no multiple of
/// that, Q5_0 and Q4_0 take their place.
///
/// @param from   a ggml file in 16 bits, as WhisperBits::kSixteen gives; hostile until parsed
/// @param level  F32, F16, Q8_0, Q6_K, Q5_K_M, Q4_K_M
/// @return what the level is in this file, such as "Q5_K"
/// Errors: kCorruptData (no such file), kUnsupported (Q6_K where rows do not fit), kIo, kCancelled.
Result<std::string> write_whisper_level(const std::filesystem::path& from, std::string_view level,
                                        const std::filesystem::path& to, const CancelToken& cancel);

}  // namespace knap::models::runner
