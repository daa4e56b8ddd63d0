#include "runner/weight_rows.hpp"

#include <ggml.h>

#include <array>
#include <cstring>

#define GGML_COMMON_DECL_C
#include <ggml-common.h>

#include "knap/base/assert.hpp"
#include "runner/half.hpp"

namespace knap::models::runner {
namespace {

constexpr std::size_t kWovenRows = 8;
constexpr std::size_t kWovenBytes = 8;  // of one row, before the next one's

/// ggml's block_q4_Kx8: the file that declares it is no header of its own.
struct WovenQ4K {
  ggml_half d[kWovenRows], dmin[kWovenRows];
  std::uint8_t scales[K_SCALE_SIZE * kWovenRows];
  std::uint8_t qs[kWovenRows * QK_K / 2];
};
static_assert(sizeof(WovenQ4K) == kWovenRows * sizeof(block_q4_K));

float to_float(ggml_half half) { return half_to_float(half); }

/// Six bits each of the scale and the offset with number `j`, as Q4_K and Q5_K pack eight of both.
struct ScalePair {
  std::uint8_t scale, offset;
};
ScalePair scale_pair(std::size_t j, const std::uint8_t* packed) {
  if (j < 4) {
    return {static_cast<std::uint8_t>(packed[j] & 63),
            static_cast<std::uint8_t>(packed[j + 4] & 63)};
  }
  return {static_cast<std::uint8_t>((packed[j + 4] & 15) | ((packed[j - 4] >> 6) << 4)),
          static_cast<std::uint8_t>((packed[j + 4] >> 4) | ((packed[j] >> 6) << 4))};
}

/// Of the eight runs of a block of Q4_K or Q5_K.
template <typename Block>
void read_pairs(const Block& block, float* scale, float* offset) {
  const float d = to_float(block.d), dmin = to_float(block.dmin);
  for (std::size_t j = 0; j < 8; ++j) {
    const auto pair = scale_pair(j, block.scales);
    scale[j] = d * pair.scale;
    offset[j] = -dmin * pair.offset;
  }
}

/// Four bits each: of every 32 bytes the low halves, then the high ones.
void split_nibbles(const std::uint8_t* bytes, std::int8_t* out) {
  for (std::size_t i = 0; i < 32; ++i) {
    out[i] = static_cast<std::int8_t>(bytes[i] & 15);
    out[i + 32] = static_cast<std::int8_t>(bytes[i] >> 4);
  }
}

void read_q4_k(const block_q4_K& block, std::int8_t* level, float* scale, float* offset) {
  read_pairs(block, scale, offset);
  for (std::size_t j = 0; j < 4; ++j) split_nibbles(block.qs + j * 32, level + j * 64);
}

// The scales and offsets of the eight rows' run j stand together, packed as those of one row's
// eight runs are elsewhere.
void read_woven(const WovenQ4K& block, std::size_t row, std::int8_t* level, float* scale,
                float* offset) {
  const float d = to_float(block.d[row]), dmin = to_float(block.dmin[row]);
  for (std::size_t j = 0; j < 8; ++j) {
    const auto pair = scale_pair(row, block.scales + j * K_SCALE_SIZE);
    scale[j] = d * pair.scale;
    offset[j] = -dmin * pair.offset;
  }
  std::uint8_t bytes[QK_K / 2];
  for (std::size_t i = 0; i < sizeof bytes; i += kWovenBytes)
    std::memcpy(bytes + i, block.qs + i * kWovenRows + row * kWovenBytes, kWovenBytes);
  for (std::size_t j = 0; j < 4; ++j) split_nibbles(bytes + j * 32, level + j * 64);
}

void read_q5_k(const block_q5_K& block, std::int8_t* level, float* scale, float* offset) {
  read_pairs(block, scale, offset);
  for (std::size_t j = 0; j < 4; ++j) {
    const std::uint8_t* bytes = block.qs + j * 32;
    for (std::size_t i = 0; i < 32; ++i) {
      const unsigned high = static_cast<unsigned>(block.qh[i]) >> (2 * j);
      level[j * 64 + i] = static_cast<std::int8_t>((bytes[i] & 15) | ((high & 1) << 4));
      level[j * 64 + i + 32] = static_cast<std::int8_t>((bytes[i] >> 4) | ((high & 2) << 3));
    }
  }
}

void read_q6_k(const block_q6_K& block, std::int8_t* level, float* scale) {
  const float d = to_float(block.d);
  for (std::size_t j = 0; j < QK_K / 16; ++j) scale[j] = d * block.scales[j];
  for (std::size_t half = 0; half < 2; ++half) {
    const std::uint8_t* low = block.ql + half * 64;
    const std::uint8_t* high = block.qh + half * 32;
    std::int8_t* out = level + half * 128;
    for (std::size_t i = 0; i < 32; ++i) {
      out[i] = static_cast<std::int8_t>(((low[i] & 15) | ((high[i] & 3) << 4)) - 32);
      out[i + 32] = static_cast<std::int8_t>(((low[i + 32] & 15) | ((high[i] & 12) << 2)) - 32);
      out[i + 64] = static_cast<std::int8_t>(((low[i] >> 4) | (high[i] & 48)) - 32);
      out[i + 96] = static_cast<std::int8_t>(((low[i + 32] >> 4) | ((high[i] & 192) >> 2)) - 32);
    }
  }
}

/// For each byte eight bytes, 16 where its bit is set and 0 where not, the lowest bit first.
constexpr auto kFifthBits = [] {
  std::array<std::array<std::uint8_t, 8>, 256> out{};
  for (std::size_t byte = 0; byte < 256; ++byte)
    for (std::size_t bit = 0; bit < 8; ++bit)
      out[byte][bit] = static_cast<std::uint8_t>((byte >> bit & 1) << 4);
  return out;
}();

void read_q5_0(const block_q5_0& block, std::int8_t* level, float* scale) {
  *scale = to_float(block.d);
  std::array<std::array<std::uint8_t, 8>, 4> fifth;
  for (std::size_t i = 0; i < 4; ++i) fifth[i] = kFifthBits[block.qh[i]];
  const std::uint8_t* high = fifth[0].data();
  for (std::size_t i = 0; i < 16; ++i) {
    level[i] = static_cast<std::int8_t>(((block.qs[i] & 15) | high[i]) - 16);
    level[i + 16] = static_cast<std::int8_t>(((block.qs[i] >> 4) | high[i + 16]) - 16);
  }
}

void read_q4_1(const block_q4_1& block, std::int8_t* level, float* scale, float* offset) {
  *scale = to_float(block.d);
  *offset = to_float(block.m);
  for (std::size_t i = 0; i < 16; ++i) {
    level[i] = static_cast<std::int8_t>(block.qs[i] & 15);
    level[i + 16] = static_cast<std::int8_t>(block.qs[i] >> 4);
  }
}

/// What read_levels() needs to know of a type.
struct Form {
  std::size_t block = 0, run = 0;  ///< values
  float low = 0, high = 0;
  bool has_offsets = false;
};
Form form_of(int type) {
  switch (type) {
    case GGML_TYPE_Q4_K: return {QK_K, 32, 0, 15, true};
    case GGML_TYPE_Q5_K: return {QK_K, 32, 0, 31, true};
    case GGML_TYPE_Q6_K: return {QK_K, 16, -32, 31, false};
    case GGML_TYPE_Q8_0: return {QK8_0, 32, -128, 127, false};
    case GGML_TYPE_Q5_0: return {QK5_0, 32, -16, 15, false};
    case GGML_TYPE_Q4_1: return {QK4_1, 32, 0, 15, true};
    default: return {};
  }
}

template <typename Block>
const Block* blocks_of(const WeightMatrix& weights, std::size_t row, std::size_t values) {
  return reinterpret_cast<const Block*>(weights.data) + row * (weights.columns / values);
}

}  // namespace

bool can_read_rows(const WeightMatrix& weights) {
  const auto type = static_cast<ggml_type>(weights.type);
  if (weights.woven)
    return type == GGML_TYPE_Q4_K && weights.columns % QK_K == 0 && weights.rows % kWovenRows == 0;
  const auto block = static_cast<std::size_t>(ggml_blck_size(type));
  return ggml_is_quantized(type) && block > 0 && weights.columns % block == 0 &&
         ggml_get_type_traits(type)->to_float != nullptr;
}

RowForm row_form(const WeightMatrix& weights) {
  return form_of(weights.type).block > 0 ? RowForm::kLevels : RowForm::kValues;
}

void read_levels(const WeightMatrix& weights, std::size_t row, RowLevels& out) {
  const Form form = form_of(weights.type);
  KNAP_ASSERT(form.block > 0);
  out.level.resize(weights.columns);
  out.run = form.run;
  out.low = form.low;
  out.high = form.high;
  out.has_offsets = form.has_offsets;
  out.scale.resize(weights.columns / form.run);
  out.offset.resize(form.has_offsets ? weights.columns / form.run : 0);
  std::int8_t* level = out.level.data();
  float* scale = out.scale.data();
  float* offset = out.offset.data();
  const std::size_t count = weights.columns / form.block, runs = form.block / form.run;
  if (weights.woven) {
    const auto* from = reinterpret_cast<const WovenQ4K*>(weights.data) + row / kWovenRows * count;
    for (std::size_t b = 0; b < count; ++b, level += QK_K, scale += runs, offset += runs)
      read_woven(from[b], row % kWovenRows, level, scale, offset);
    return;
  }
  const auto each = [&](const auto* from, const auto& read) {
    for (std::size_t b = 0; b < count; ++b, level += form.block, scale += runs) {
      read(from[b]);
      if (form.has_offsets) offset += runs;
    }
  };
  switch (weights.type) {
    case GGML_TYPE_Q4_K:
      each(blocks_of<block_q4_K>(weights, row, QK_K),
           [&](const block_q4_K& block) { read_q4_k(block, level, scale, offset); });
      break;
    case GGML_TYPE_Q5_K:
      each(blocks_of<block_q5_K>(weights, row, QK_K),
           [&](const block_q5_K& block) { read_q5_k(block, level, scale, offset); });
      break;
    case GGML_TYPE_Q6_K:
      each(blocks_of<block_q6_K>(weights, row, QK_K),
           [&](const block_q6_K& block) { read_q6_k(block, level, scale); });
      break;
    case GGML_TYPE_Q8_0:
      each(blocks_of<block_q8_0>(weights, row, QK8_0), [&](const block_q8_0& block) {
        *scale = to_float(block.d);
        std::memcpy(level, block.qs, QK8_0);
      });
      break;
    case GGML_TYPE_Q5_0:
      each(blocks_of<block_q5_0>(weights, row, QK5_0),
           [&](const block_q5_0& block) { read_q5_0(block, level, scale); });
      break;
    case GGML_TYPE_Q4_1:
      each(blocks_of<block_q4_1>(weights, row, QK4_1),
           [&](const block_q4_1& block) { read_q4_1(block, level, scale, offset); });
      break;
    default: KNAP_ASSERT(false);
  }
}

void read_values(const WeightMatrix& weights, std::size_t row, RowValues& out) {
  const auto type = static_cast<ggml_type>(weights.type);
  out.value.resize(weights.columns);
  const std::size_t bytes = ggml_row_size(type, static_cast<std::int64_t>(weights.columns));
  ggml_get_type_traits(type)->to_float(weights.data + row * bytes, out.value.data(),
                                       static_cast<std::int64_t>(weights.columns));
}

}  // namespace knap::models::runner
