#pragma once

#include <cstddef>
#include <vector>

#include "runner/panel_kernels.hpp"
#include "runner/thread_team.hpp"
#include "runner/weight_rows.hpp"

namespace knap::models::runner {

/// Multiplies the activations of many tokens with quantised weights.
///
/// Each thread makes one panel of weights after the other, from the form they have in memory, and
/// multiplies all tokens with it: no second copy of the weights is kept, and making a panel costs
/// little beside some dozens of tokens. Sums are exact within a group; what is rounded are the
/// activations, as llama.cpp rounds them, and the weights to 8 bits, a sixteenth of the step that
/// 4-bit weights have.
///
/// Threads: one call at a time.
class BatchProduct {
 public:
  explicit BatchProduct(const PanelKernels& kernels) : kernels_(kernels) {}

  /// Whether these weights can be multiplied: rows in panels, columns in groups, within bounds.
  static bool takes(const WeightMatrix& weights);

  /// out[t * weights.rows + o] = the product of token t with output o.
  /// Throws std::bad_alloc without memory for it; `out` is then anything.
  /// @param values  count x weights.columns
  void multiply(const WeightMatrix& weights, const float* values, std::size_t count,
                std::size_t threads, float* out);

 private:
  const PanelKernels& kernels_;
  ThreadTeam team_;
  std::vector<std::int8_t> bytes_;
  std::vector<float> scales_;
  std::vector<std::int32_t> starts_;
};

}  // namespace knap::models::runner
