#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

/// Dot products over int8 rows and rows of signs, for the best instruction set that the machine
/// has, chosen at run time.
namespace knap::search {

/// out[i] = dot(query, rows[i * dimensions ..]), exact in int32: |values| <= 127 and dimensions <=
/// 65,536.
/// @param rows  out.size() rows of query.size() values each
/// Cost: reads rows once; memory bound.
void dot_rows(std::span<const std::int8_t> query, const std::int8_t* rows,
              std::span<std::int32_t> out);

/// sum of query[i] * row[i] in float: the rescoring of the best rows.
float dot_float(std::span<const float> query, const std::int8_t* row);

/// The plain version that the compiled ones are compared with.
void dot_rows_scalar(std::span<const std::int8_t> query, const std::int8_t* rows,
                     std::span<std::int32_t> out);

/// Rows of sign bits stand so many side by side: word w of row r of a block is its element
/// [w * kSignBlock + r].
constexpr std::size_t kSignBlock = 8;
/// The values that they are compared with have so many bits.
constexpr std::size_t kSignPlanes = 4;

/// out[r] = sum of 2 * q_i - 15 over the bits i that row r has set, exact.
/// @param planes  kSignPlanes times as many words as a row has: bit i of plane p is bit p of q_i
/// @param codes  out.size() / kSignBlock blocks, which is a whole number
/// Cost: reads codes once, one bit a value.
void sign_sums(std::span<const std::uint64_t> planes, const std::uint64_t* codes,
               std::span<std::int32_t> out);

/// The plain version that the compiled ones are compared with.
void sign_sums_scalar(std::span<const std::uint64_t> planes, const std::uint64_t* codes,
                      std::span<std::int32_t> out);

/// For tests: the instruction sets compiled in and present on this machine, and dot_rows on one of
/// them.
std::vector<std::int64_t> kernel_targets();
std::string kernel_target_name(std::int64_t target);
void dot_rows_on(std::int64_t target, std::span<const std::int8_t> query, const std::int8_t* rows,
                 std::span<std::int32_t> out);
void sign_sums_on(std::int64_t target, std::span<const std::uint64_t> planes,
                  const std::uint64_t* codes, std::span<std::int32_t> out);

}  // namespace knap::search
