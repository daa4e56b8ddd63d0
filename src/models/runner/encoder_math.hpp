#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "runner/int8_linear.hpp"

/// The parts of a BERT layer that are no products with weights, in float, for the best instruction
/// set that the machine has, chosen at run time (Highway).
namespace knap::models::runner {

/// Quantises `count` rows of rows.columns values into the first rows of `rows`, as
/// Int8Linear::Input::kSigned says. Values must be finite.
void quantise_rows(const float* values, std::size_t count, ByteRows& rows);

/// The same of gelu(values), as Input::kGelu says. x * P(N(0,1) <= x), the probability by a
/// polynomial of degree 13 fitted for this purpose (least maximum error on [-4, 4], weighted by x):
/// wrong by less than 2e-4, a fortieth of what a byte tells apart.
void quantise_gelu_rows(const float* values, std::size_t count, ByteRows& rows);

/// (x - mean) / sqrt(variance + epsilon) * gain + bias, in place.
void layer_norm(std::span<float> row, std::span<const float> gain, std::span<const float> bias,
                float epsilon);

/// What one thread needs beside input and output; grows to the longest text.
struct AttentionSpace {
  std::vector<float> keys, scores;
};

/// Scaled dot-product attention of one text. @param joined  tokens x 3 * heads * head_size values:
/// query, key and value of each token. @param head_size  a multiple of 16
/// @param out  tokens x heads * head_size
void attend(const float* joined, std::size_t tokens, std::size_t heads, std::size_t head_size,
            float* out, AttentionSpace& space);

/// For tests: the instruction sets compiled in and present, and a way to run all on one of them.
std::vector<std::int64_t> math_targets();
std::string math_target_name(std::int64_t target);
void use_math_target(std::int64_t target);  ///< 0: the best again. Not while others compute.

}  // namespace knap::models::runner
