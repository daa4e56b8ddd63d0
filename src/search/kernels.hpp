#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

/// Dot products over int8 rows, for the best instruction set that the machine has, chosen at run
/// time.
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

/// For tests: the instruction sets compiled in and present on this machine, and dot_rows on one of
/// them.
std::vector<std::int64_t> kernel_targets();
std::string kernel_target_name(std::int64_t target);
void dot_rows_on(std::int64_t target, std::span<const std::int8_t> query, const std::int8_t* rows,
                 std::span<std::int32_t> out);

}  // namespace knap::search
