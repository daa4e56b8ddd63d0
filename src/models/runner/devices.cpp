#include "runner/devices.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <set>
#include <string>

#include "knap/observe/log.hpp"
#include "runner/memory_nodes.hpp"
#include "runner/product_backend.hpp"

namespace knap::models {
namespace runner {
namespace {

constexpr std::size_t kGpusMax = 64;

thread_local int listeners = 0;

void log_engine(ggml_log_level level, const char* text, void*) {
  if (level != GGML_LOG_LEVEL_ERROR || text == nullptr || listeners == 0) return;
  std::string_view line = text;
  while (line.ends_with('\n')) line.remove_suffix(1);
  observe::log_error("llama", line);
}

// Drivers take memory and time to find that there is no card: they are asked where the kernel shows
// one, or where somebody says which to use, which may be one in software.
bool may_have_cards() {
  for (const char* name : {"CUDA_VISIBLE_DEVICES", "GGML_VK_VISIBLE_DEVICES"})
    if (std::getenv(name) != nullptr) return true;
  for (const char* path : {"/dev/dri", "/dev/nvidiactl", "/dev/dxg"}) {
    std::error_code ignored;
    if (std::filesystem::exists(path, ignored)) return true;
  }
  return false;
}

// A backend whose driver is missing does not load: that is no error here.
void load_gpu_backends() {
  for (const char* kind : {"cuda", "vulkan"}) {
    const std::filesystem::path file = std::filesystem::path(KNAP_ENGINES_DIR) /
                                       fmt::format("gpu-{}-{}", kind, KNAP_LLAMA_VERSION) /
                                       fmt::format("libggml-{}.so", kind);
    std::error_code ignored;
    if (!std::filesystem::exists(file, ignored)) continue;
    ggml_backend_reg_t backend = ggml_backend_load(file.c_str());
    // Without a card it would only take memory.
    if (backend != nullptr && ggml_backend_reg_dev_count(backend) == 0) {
      ggml_backend_unload(backend);
    } else if (backend == nullptr) {
      observe::log_warning("gpu_backend_unusable",
                           "llama.cpp's backend for graphics cards does not load: is the driver "
                           "installed?",
                           {{"file", file.string()}});
    }
  }
}

}  // namespace

EngineMessages::EngineMessages() { ++listeners; }
EngineMessages::~EngineMessages() { --listeners; }

// One backend for each instruction set lies in that folder; ggml takes the best that this machine
// runs.
void load_backends() {
  static std::once_flag once;
  std::call_once(once, [] {
    llama_log_set(log_engine, nullptr);
    ggml_backend_load_all_from_path(KNAP_GGML_BACKEND_DIR);
    llama_backend_init();
    register_product_backend();
    // Threads are spread over the nodes, and each stays at one: weights are read from all of them.
    if (memory_nodes() > 1) llama_numa_init(GGML_NUMA_STRATEGY_DISTRIBUTE);
  });
}

std::vector<GpuHandle> find_gpus() {
  load_backends();
  if (!may_have_cards()) return {};
  static std::once_flag once;
  std::call_once(once, load_gpu_backends);
  std::vector<GpuHandle> out;
  std::set<std::string> seen;  // a card that two backends can use is one card
  const std::size_t count = ggml_backend_dev_count();
  for (std::size_t i = 0; i < count && out.size() < kGpusMax; ++i) {
    ggml_backend_dev_t handle = ggml_backend_dev_get(i);
    ggml_backend_dev_props properties{};
    ggml_backend_dev_get_props(handle, &properties);
    const bool shares = properties.type == GGML_BACKEND_DEVICE_TYPE_IGPU;
    if (!shares && properties.type != GGML_BACKEND_DEVICE_TYPE_GPU) continue;
    if (properties.device_id != nullptr && !seen.insert(properties.device_id).second) continue;
    const auto text = [](const char* value) { return std::string(value == nullptr ? "" : value); };
    out.push_back({.device = {.name = text(properties.name),
                              .description = text(properties.description),
                              .free_bytes = properties.memory_free,
                              .total_bytes = properties.memory_total,
                              .shares_memory = shares},
                   .handle = handle});
  }
  return out;
}

llama_model_params processor_only() {
  static ggml_backend_dev_t none = nullptr;  // a list that only ends
  llama_model_params parameters = llama_model_default_params();
  parameters.devices = &none;
  parameters.n_gpu_layers = 0;
  return parameters;
}

}  // namespace runner

std::vector<GpuDevice> list_gpus() {
  std::vector<GpuDevice> out;
  for (auto& each : runner::find_gpus()) out.push_back(std::move(each.device));
  return out;
}

}  // namespace knap::models
