#include "runner/engine_threads.hpp"

#include <ggml-cpu.h>

#include "runner/product_backend.hpp"

namespace knap::models::runner {

EngineThreads::EngineThreads(std::size_t count)
    : few_(make(count, Between::kLook)), many_(nullptr, [](ggml_threadpool*) {}) {
  if (product_device() != nullptr) many_ = make(count, Between::kSleep);
}

EngineThreads::Pool EngineThreads::make(std::size_t count, Between between) {
  Pool none(nullptr, [](ggml_threadpool*) {});
  ggml_backend_dev_t device = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
  if (device == nullptr) return none;
  ggml_backend_reg_t backend = ggml_backend_dev_backend_reg(device);
  const auto create = reinterpret_cast<decltype(&ggml_threadpool_new)>(
      ggml_backend_reg_get_proc_address(backend, "ggml_threadpool_new"));
  const auto destroy = reinterpret_cast<decltype(&ggml_threadpool_free)>(
      ggml_backend_reg_get_proc_address(backend, "ggml_threadpool_free"));
  if (create == nullptr || destroy == nullptr) return none;
  ggml_threadpool_params parameters = ggml_threadpool_params_default(static_cast<int>(count));
  if (between == Between::kSleep) parameters.poll = 0;
  return {create(&parameters), destroy};
}

void EngineThreads::attach(llama_context* context, std::size_t tokens) const {
  const bool with_products = many_ && tokens >= static_cast<std::size_t>(kProductTokensMin);
  ggml_threadpool* pool = (with_products ? many_ : few_).get();
  if (pool != nullptr) llama_attach_threadpool(context, pool, pool);
}

}  // namespace knap::models::runner
