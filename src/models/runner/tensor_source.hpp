#pragma once

#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "knap/base/result.hpp"

namespace knap::models::runner {

/// A file of weights, read by the names that BERT models have in safetensors files. Threads: const
/// and safe.
class TensorSource {
 public:
  virtual ~TensorSource() = default;

  /// The tensor as floats, widened when it is stored narrower. Errors: kCorruptData when it is
  /// absent or has another shape than `shape`; kUnsupported when it holds no floats.
  virtual Result<std::vector<float>> read(std::string_view name,
                                          std::span<const std::size_t> shape) const = 0;

  /// Copies one row of a tensor of two dimensions. Threads: safe.
  using Rows = std::function<void(std::size_t row, std::span<float> out)>;
  /// Access to the rows of a tensor too large to hold twice, where the file keeps them. Valid while
  /// this lives. Errors: as read().
  virtual Result<Rows> rows(std::string_view name, std::span<const std::size_t> shape) const = 0;
};

}  // namespace knap::models::runner
