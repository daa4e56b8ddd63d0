#include "runner/panel_kernels.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

namespace knap::models::runner {
namespace {

constexpr float kTiny = 1e-20F;  // the scale of a group of zeros

std::int32_t rounded(float value, std::int32_t low, std::int32_t high) {
  // What is no number, as a damaged file's scales may give, becomes `low`.
  return static_cast<std::int32_t>(std::fmin(
      std::fmax(std::nearbyint(value), static_cast<float>(low)), static_cast<float>(high)));
}

float scale_for(float largest) { return largest > kTiny ? largest / 127.0F : kTiny; }

void quantise(const float* values, const TokenRows& rows, std::size_t row) {
  const std::size_t groups = rows.columns / rows.group;
  for (std::size_t g = 0; g < groups; ++g) {
    const float* from = values + g * rows.group;
    float largest = 0;
    for (std::size_t i = 0; i < rows.group; ++i) largest = std::max(largest, std::abs(from[i]));
    const float scale = scale_for(largest);
    std::int32_t sum = 0;
    for (std::size_t i = 0; i < rows.group; ++i) {
      const std::int32_t value = rounded(from[i] * (1.0F / scale), -128, 127);
      rows.value[row * rows.columns + g * rows.group + i] = static_cast<std::int8_t>(value);
      sum += value;
    }
    rows.scale[row * groups + g] = scale;
    rows.start[row * groups + g] = -128 * sum;
  }
}

void pack_levels(const RowLevels& levels, const Panel& panel, std::size_t output) {
  for (std::size_t begin = 0; begin < panel.columns; begin += panel.group) {
    float largest = 0;
    for (std::size_t c = begin; c < begin + panel.group; c += levels.run) {
      const std::size_t r = c / levels.run;
      const float offset = levels.has_offsets ? levels.offset[r] : 0.0F;
      largest = std::max({largest, std::abs(levels.scale[r] * levels.low + offset),
                          std::abs(levels.scale[r] * levels.high + offset)});
    }
    const float scale = scale_for(largest), factor = (1 << kPackBits) / scale;
    for (std::size_t c = begin; c < begin + panel.group; ++c) {
      const std::size_t r = c / levels.run;
      const std::int32_t a = rounded(levels.scale[r] * factor, -32'768, 32'767);
      const std::int32_t b =
          levels.has_offsets ? rounded(levels.offset[r] * factor, -32'768, 32'767) : 0;
      const std::int32_t value = (levels.level[c] * a + b + (1 << (kPackBits - 1))) >> kPackBits;
      panel.row[output * panel.columns + c] = static_cast<std::uint8_t>(value + 128);
    }
    panel.scale[begin / panel.group * kPanelRows + output] = scale;
  }
}

void pack_values(const RowValues& values, const Panel& panel, std::size_t output) {
  for (std::size_t begin = 0; begin < panel.columns; begin += panel.group) {
    float largest = 0;
    for (std::size_t c = begin; c < begin + panel.group; ++c)
      largest = std::max(largest, std::abs(values.value[c]));
    const float scale = scale_for(largest);
    for (std::size_t c = begin; c < begin + panel.group; ++c) {
      panel.row[output * panel.columns + c] =
          static_cast<std::uint8_t>(rounded(values.value[c] * (1.0F / scale), -128, 127) + 128);
    }
    panel.scale[begin / panel.group * kPanelRows + output] = scale;
  }
}

void weave(const Panel& panel) {
  for (std::size_t c = 0; c < panel.columns; c += kPanelFours) {
    for (std::size_t o = 0; o < kPanelRows; ++o) {
      std::memcpy(panel.byte + c * kPanelRows + o * kPanelFours, panel.row + o * panel.columns + c,
                  kPanelFours);
    }
  }
}

void multiply(const Panel& panel, const TokenRows& rows, std::size_t first, std::size_t count,
              float* out, std::size_t stride) {
  const std::size_t groups = panel.columns / panel.group;
  for (std::size_t t = 0; t < count; ++t) {
    const std::int8_t* value = rows.value + (first + t) * rows.columns;
    for (std::size_t o = 0; o < kPanelRows; ++o) {
      float total = 0;
      for (std::size_t g = 0; g < groups; ++g) {
        std::int32_t sum = rows.start[(first + t) * groups + g];
        for (std::size_t c = g * panel.group; c < (g + 1) * panel.group; ++c) {
          sum += panel.byte[c / kPanelFours * kPanelRows * kPanelFours + o * kPanelFours +
                            c % kPanelFours] *
                 value[c];
        }
        total += static_cast<float>(sum) *
                 (panel.scale[g * kPanelRows + o] * rows.scale[(first + t) * groups + g]);
      }
      out[t * stride + o] = total;
    }
  }
}

}  // namespace

std::size_t group_of(std::size_t columns) {
  for (std::size_t group = kGroupMax; group >= 32; group -= 32)
    if (columns % group == 0) return group;
  return 0;
}

std::span<const PanelKernels* const> fast_panel_kernels() {
  static const auto found = [] {
    std::vector<const PanelKernels*> out;
    for (const PanelKernels* each : {avx512_panel_kernels(), avx_vnni_panel_kernels()})
      if (each != nullptr) out.push_back(each);
    return out;
  }();
  return found;
}

const PanelKernels& scalar_panel_kernels() {
  static constexpr PanelKernels kernels{"scalar",    quantise, pack_levels,
                                        pack_values, weave,    multiply};
  return kernels;
}

}  // namespace knap::models::runner
