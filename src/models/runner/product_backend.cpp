#include "runner/product_backend.hpp"

#include <ggml-backend-impl.h>
#include <ggml.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <string_view>

#include "runner/batch_product.hpp"

// The interfaces of a backend are tables of functions in C. An entry that is null means that the
// backend cannot do that, and ggml does without.
namespace knap::models::runner {
namespace {

constexpr const char* kName = "Knap";
constexpr const char* kDescription = "products of many tokens with quantised weights";
constexpr std::string_view kWovenBuffer = "CPU_REPACK";

const PanelKernels* used_kernels = nullptr;  // set before the first context is made

/// What one llama.cpp context computes with.
struct State {
  BatchProduct product{*used_kernels};
  std::size_t threads = 1;
};

bool is_woven(const ggml_tensor& weights) {
  const ggml_backend_buffer_t buffer = weights.buffer;
  return buffer != nullptr &&
         ggml_backend_buft_name(ggml_backend_buffer_get_type(buffer)) == kWovenBuffer;
}

WeightMatrix matrix_of(const ggml_tensor& weights) {
  return {.type = weights.type,
          .columns = static_cast<std::size_t>(weights.ne[0]),
          .rows = static_cast<std::size_t>(weights.ne[1]),
          .data = static_cast<const std::byte*>(weights.data),
          .woven = is_woven(weights)};
}

bool takes_product(const ggml_tensor& product) {
  const ggml_tensor* weights = product.src[0];
  const ggml_tensor* values = product.src[1];
  return ggml_is_matrix(weights) && ggml_is_matrix(values) && ggml_is_contiguous(weights) &&
         ggml_is_contiguous(values) && ggml_is_contiguous(&product) &&
         values->type == GGML_TYPE_F32 && product.type == GGML_TYPE_F32 &&
         values->ne[1] >= kProductTokensMin && weights->view_src == nullptr &&
         BatchProduct::takes(matrix_of(*weights));
}

bool supports_op(ggml_backend_dev_t, const ggml_tensor* op) {
  switch (op->op) {
    case GGML_OP_NONE:
    case GGML_OP_RESHAPE:
    case GGML_OP_VIEW:
    case GGML_OP_PERMUTE:
    case GGML_OP_TRANSPOSE: return true;  // nothing to compute
    case GGML_OP_MUL_MAT: return takes_product(*op);
    default: return false;
  }
}

bool supports_buffer(ggml_backend_dev_t, ggml_backend_buffer_type_t type) {
  return ggml_backend_buft_is_host(type) || ggml_backend_buft_name(type) == kWovenBuffer;
}

ggml_status compute(ggml_backend_t backend, ggml_cgraph* graph) {
  auto& state = *static_cast<State*>(backend->context);
  const int count = ggml_graph_n_nodes(graph);
  for (int i = 0; i < count; ++i) {
    ggml_tensor* node = ggml_graph_node(graph, i);
    if (node->op != GGML_OP_MUL_MAT) continue;
    try {
      state.product.multiply(matrix_of(*node->src[0]),
                             static_cast<const float*>(node->src[1]->data),
                             static_cast<std::size_t>(node->src[1]->ne[1]), state.threads,
                             static_cast<float*>(node->data));
    } catch (const std::bad_alloc&) {
      return GGML_STATUS_ALLOC_FAILED;
    }
  }
  return GGML_STATUS_SUCCESS;
}

void set_threads(ggml_backend_t backend, int threads) {
  static_cast<State*>(backend->context)->threads = static_cast<std::size_t>(std::max(threads, 1));
}

ggml_guid_t guid() {
  static ggml_guid value = {0x6b, 0x6e, 0x61, 0x70, 0x2d, 0x70, 0x72, 0x6f,
                            0x64, 0x75, 0x63, 0x74, 0x2d, 0x30, 0x30, 0x31};
  return &value;
}

const char* backend_name(ggml_backend_t) { return kName; }

void free_backend(ggml_backend_t backend) {
  const std::unique_ptr<State> state(static_cast<State*>(backend->context));
  const std::unique_ptr<ggml_backend> owned(backend);
}

ggml_backend_t make_backend(ggml_backend_dev_t device, const char*) {
  auto state = std::make_unique<State>();
  auto backend = std::make_unique<ggml_backend>();
  backend->guid = guid();
  backend->iface.get_name = backend_name;
  backend->iface.free = free_backend;
  backend->iface.graph_compute = compute;
  backend->device = device;
  backend->context = state.release();
  return backend.release();
}

void describe(ggml_backend_dev_t, ggml_backend_dev_props* properties) {
  *properties = {};
  properties->name = kName;
  properties->description = kDescription;
  properties->type = GGML_BACKEND_DEVICE_TYPE_ACCEL;
  properties->caps.buffer_from_host_ptr = true;
  properties->caps.mmap_support = true;
}

ggml_backend_device make_device(ggml_backend_reg_t registry) {
  ggml_backend_device out{};
  out.reg = registry;
  out.iface.get_name = [](ggml_backend_dev_t) { return kName; };
  out.iface.get_description = [](ggml_backend_dev_t) { return kDescription; };
  out.iface.get_memory = [](ggml_backend_dev_t, std::size_t* free, std::size_t* total) {
    *free = *total = 0;  // none of its own
  };
  out.iface.get_type = [](ggml_backend_dev_t) { return GGML_BACKEND_DEVICE_TYPE_ACCEL; };
  out.iface.get_props = describe;
  out.iface.init_backend = make_backend;
  out.iface.get_buffer_type = [](ggml_backend_dev_t) { return ggml_backend_cpu_buffer_type(); };
  out.iface.buffer_from_host_ptr = [](ggml_backend_dev_t, void* data, std::size_t size,
                                      std::size_t) {
    return ggml_backend_cpu_buffer_from_ptr(data, size);
  };
  out.iface.supports_op = supports_op;
  out.iface.supports_buft = supports_buffer;
  return out;
}

ggml_backend_dev_t device_of(ggml_backend_reg_t registry, std::size_t) {
  static ggml_backend_device device = make_device(registry);
  return &device;
}

void* function_named(ggml_backend_reg_t, const char* name) {
  if (std::string_view(name) == "ggml_backend_set_n_threads")
    return reinterpret_cast<void*>(set_threads);
  return nullptr;
}

ggml_backend_reg_t registry() {
  static ggml_backend_reg out{
      GGML_BACKEND_API_VERSION,
      {[](ggml_backend_reg_t) { return kName; },
       [](ggml_backend_reg_t) -> std::size_t { return 1; }, device_of, function_named},
      nullptr};
  return &out;
}

}  // namespace

void register_product_backend() {
  if (!fast_panel_kernels().empty()) register_product_backend(*fast_panel_kernels().front());
}

void register_product_backend(const PanelKernels& kernels) {
  static std::once_flag once;
  std::call_once(once, [&] {
    used_kernels = &kernels;
    ggml_backend_register(registry());
  });
}

ggml_backend_dev_t product_device() { return ggml_backend_dev_by_name(kName); }

}  // namespace knap::models::runner
