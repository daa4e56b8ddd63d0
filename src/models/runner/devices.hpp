#pragma once

#include <ggml-backend.h>
#include <llama.h>

#include <string_view>
#include <vector>

#include "knap/models/gpu.hpp"

namespace knap::models::runner {

/// Loads ggml's backend for this processor, once. Threads: safe.
void load_backends();

/// What llama.cpp says is passed on while one of these lives on the same thread: why a file is
/// broken. Otherwise it reports each aborted step as an error, which is how answers are cancelled;
/// real failures come back as codes.
class EngineMessages {
 public:
  EngineMessages();
  ~EngineMessages();
  EngineMessages(const EngineMessages&) = delete;
  EngineMessages& operator=(const EngineMessages&) = delete;
};

/// A graphics card, and what the engine calls it.
struct GpuHandle {
  GpuDevice device;
  ggml_backend_dev_t handle = nullptr;
};
/// Loads the backends that script/bootstrap --gpu fetched, and with them the cards' drivers. A card
/// that two of them can use is there once. At most 64.
std::vector<GpuHandle> find_gpus();

/// llama.cpp's usual parameters, for the processor alone.
llama_model_params processor_only();

}  // namespace knap::models::runner
