#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "knap/base/result.hpp"

namespace knap::models {

/// A tensor of 16-bit floats inside the bytes of its file.
struct HalfTensor {
  std::vector<std::uint32_t> shape;  ///< 1 to 3 sizes, the slowest first.
  std::string_view bytes;            ///< 2 for each value, little-endian; not aligned.
};

/// The tensors of a CTranslate2 file (model.bin, version 6) that hold 16-bit floats, by name. The
/// views point into `file`. Errors: kCorruptData. Never reads outside of `file`.
Result<std::map<std::string, HalfTensor, std::less<>>> read_ctranslate2(std::string_view file);

}  // namespace knap::models
