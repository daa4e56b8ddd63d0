#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "knap/base/result.hpp"

namespace knap::models {

/// A graphics card as the engine of answer models sees it.
struct GpuDevice {
  std::string name;         ///< The engine's, e.g. "CUDA0", "Vulkan1".
  std::string description;  ///< Its makers' name.
  std::uint64_t free_bytes = 0, total_bytes = 0;
  bool shares_memory = false;  ///< With the processor, of which it is a part.
};

enum class GpuUse {
  kNever,
  kAuto,   ///< As far as it fits, and the processor takes the rest. A card that fails is given up.
  kAlways  ///< Whole, or the model is not loaded.
};

/// "never", "auto" or "always". Errors: kInvalidArgument (another word).
Result<GpuUse> parse_gpu_use(std::string_view word);
std::string_view to_string(GpuUse use);

/// How answer models use graphics cards.
struct GpuWish {
  GpuUse use = GpuUse::kAuto;
  double memory_fraction = 0.9;           ///< Of each card's memory, above 0 and at most 1.
  std::size_t replica = 0, replicas = 1;  ///< Which of several runners of one model asks.
};

/// The cards that the engine could use now, with what is free of their memory. Loads their drivers
/// into this process. Empty where there are none, or no backend for them.
std::vector<GpuDevice> list_gpus();

}  // namespace knap::models
