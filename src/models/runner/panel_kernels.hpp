#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "runner/weight_rows.hpp"

/// Products of many tokens with one panel of weights, in 8-bit integers.
///
/// A panel is 32 outputs' weights, requantised to bytes with one scale for each group of inputs;
/// activations are quantised as they come, with one scale for each group too ("dynamic
/// quantisation", Jacob et al. 2018, arXiv:1712.05877). A panel is made once and serves every token
/// of the step: that is what pays for making it.
namespace knap::models::runner {

inline constexpr std::size_t kPanelRows = 32;  ///< Outputs of a panel.
inline constexpr std::size_t kPanelFours = 4;  ///< Inputs that one instruction adds up.
inline constexpr std::size_t kGroupMax = 128;
inline constexpr std::size_t kPanelColumnsMax = 1U << 17;

/// Inputs that share a scale: the largest multiple of 32 up to kGroupMax that divides `columns`; 0
/// when there is none.
std::size_t group_of(std::size_t columns);

/// Activations. Row r, column c: scale[r * groups + c / group] * value[r * columns + c].
/// start[r * groups + g] is -128 times the sum of the group's values: weights are kept with 128
/// added to them, and sums that begin there come out right.
struct TokenRows {
  std::size_t columns = 0, group = 0;
  std::int8_t* value = nullptr;
  float* scale = nullptr;
  std::int32_t* start = nullptr;
};

/// Weights: byte[(c / 4) * 128 + output * 4 + c % 4], each plus 128; scale[(c / group) * 32 +
/// output]. All aligned to 64 bytes. While it is made row[output * columns + c] has the bytes.
struct Panel {
  std::size_t columns = 0, group = 0;
  std::uint8_t* row = nullptr;
  std::uint8_t* byte = nullptr;
  float* scale = nullptr;
};

/// Bits behind the point when levels become bytes: byte = (level * a + b) >> kPackBits, where a and
/// b are the run's scale and offset over the group's, rounded, and b half a unit more.
inline constexpr int kPackBits = 8;

/// Threads: all are safe; buffers are the caller's.
struct PanelKernels {
  std::string_view name;
  /// Quantises row `row` of `rows` from columns floats.
  void (*quantise)(const float* values, const TokenRows& rows, std::size_t row);
  /// Writes the row and the scales of output number `output`.
  void (*pack_levels)(const RowLevels& levels, const Panel& panel, std::size_t output);
  void (*pack_values)(const RowValues& values, const Panel& panel, std::size_t output);
  /// Puts all rows where multiply() wants them.
  void (*weave)(const Panel& panel);
  /// out[t * stride + o] = the product of token first + t with output o, for `count` tokens and 32
  /// outputs.
  void (*multiply)(const Panel& panel, const TokenRows& rows, std::size_t first, std::size_t count,
                   float* out, std::size_t stride);
};

/// Plain C++; the others must give what it gives, but for the order of sums.
const PanelKernels& scalar_panel_kernels();
/// With AVX-512 VNNI, and with AVX-VNNI on 256 bits (Intel since Alder Lake, AMD since Zen 5); null
/// where this processor has no such instructions.
const PanelKernels* avx512_panel_kernels();
const PanelKernels* avx_vnni_panel_kernels();
/// Those of the two that this processor runs, best first. On others llama.cpp's own are used.
std::span<const PanelKernels* const> fast_panel_kernels();

}  // namespace knap::models::runner
