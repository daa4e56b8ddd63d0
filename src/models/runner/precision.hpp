#pragma once

#include <string_view>

#include "knap/base/result.hpp"

namespace knap::models::runner {

/// How the encoder computes. kInt8: weights of 8 bits with a scale per output channel, activations
/// quantised as they come; kBf16: the rest in bfloat16 instead of float; kInt8Plain: Knap's own
/// kernels, 7 bits of weights, for processors without an instruction for products of bytes.
enum class Precision { kF32, kBf16, kInt8, kInt8Bf16, kInt8Plain };

std::string_view to_string(Precision precision);
/// "f32", "bf16", "int8", "int8-bf16", "int8-plain". Errors: kInvalidArgument.
Result<Precision> parse_precision(std::string_view name);

/// The fastest precision that this machine's CPU has instructions for.
Precision best_precision();

}  // namespace knap::models::runner
