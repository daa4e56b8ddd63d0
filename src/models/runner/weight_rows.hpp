#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace knap::models::runner {

/// The weights of a matrix product as llama.cpp holds them in memory: `rows` outputs of `columns`
/// inputs each, in blocks of one of ggml's quantised types.
struct WeightMatrix {
  int type = 0;  ///< ggml_type
  std::size_t columns = 0, rows = 0;
  const std::byte* data = nullptr;
  /// Q4_K only: the blocks of eight rows are woven together, as ggml's CPU backend does when it
  /// loads a model ("CPU_REPACK", block_q4_Kx8).
  bool woven = false;
};

/// Whether rows of that type can be read.
bool can_read_rows(const WeightMatrix& weights);

/// A row in its own small integers: value i is scale[i / run] * level[i] + offset[i / run].
struct RowLevels {
  std::vector<std::int8_t> level;
  std::vector<float> scale, offset;
  std::size_t run = 32;      ///< 16 or 32
  float low = 0, high = 0;   ///< The least and the greatest level that the type has.
  bool has_offsets = false;  ///< Else all are zero.
};

/// A row of a type that has no such form here, as numbers.
struct RowValues {
  std::vector<float> value;
};

/// Which of the two is for that type: read_levels() or read_values().
enum class RowForm { kLevels, kValues };
RowForm row_form(const WeightMatrix& weights);

/// Reads row `row`; only what can_read_rows(). The buffers are resized.
void read_levels(const WeightMatrix& weights, std::size_t row, RowLevels& out);
void read_values(const WeightMatrix& weights, std::size_t row, RowValues& out);

}  // namespace knap::models::runner
