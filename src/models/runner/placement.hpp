#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "knap/base/result.hpp"
#include "knap/models/gpu.hpp"

namespace knap::models::runner {

/// What of an answer model can lie on a GPU.
struct GpuNeed {
  std::uint64_t weight_bytes = 0;
  std::uint64_t state_bytes = 0;      ///< Keys and values of all contexts that are held.
  std::uint64_t computing_bytes = 0;  ///< On each GPU that takes part.
  std::uint32_t layers = 0;           ///< Without the outputs, which count as one more.
};

/// Which layers lie where.
struct Placement {
  struct Share {
    std::size_t device = 0;    ///< Index into the devices that were given.
    std::uint32_t layers = 0;  ///< The outputs count as one.
    std::uint64_t bytes = 0;   ///< That it is expected to take there.
  };
  std::vector<Share> shares;     ///< Empty: all is computed by the processor.
  std::uint32_t layers = 0;      ///< Of all shares together.
  std::uint32_t all_layers = 0;  ///< Of the model, with the outputs.
  bool whole() const { return all_layers > 0 && layers == all_layers; }
  std::string why;  ///< One line for people, with the arithmetic.
};

/// Puts a model on the GPU that has the most room, if one holds all of it; else over several, each
/// with layers in proportion to its room; else as many layers as fit, the first ones staying with
/// the processor. GPUs that share the processor's memory are used when there are no others. Of
/// every GPU (1 - memory_fraction) of its memory stays free, whoever uses the rest. With several
/// replicas each has the GPUs whose index modulo the count is its own, or shares one when there are
/// fewer GPUs.
/// Errors: kResourceExhausted (GpuUse::kAlways, and the model does not lie whole on GPUs: says the
/// numbers).
Result<Placement> place_model(const GpuNeed& need, std::span<const GpuDevice> devices,
                              const GpuWish& wish);

}  // namespace knap::models::runner
