#pragma once

#include <ggml-backend.h>

#include "runner/panel_kernels.hpp"
#include "runner/step_speed.hpp"

namespace knap::models::runner {

/// Tokens from which on a step's products are computed by BatchProduct: making panels of weights
/// costs the same for any number, and below that llama.cpp's own kernels are quicker
/// (product_bench; equal at 24 tokens for Qwen2.5 1.5B in Q4_K_M, below 16 for SmolLM2 135M).
inline constexpr int kProductTokensMin = kFewTokens;

/// Gives llama.cpp the products of BatchProduct, as a backend of the kind "accelerator" beside its
/// CPU backend (as its BLAS backend is one): contexts made afterwards send it the products of
/// quantised weights in main memory with at least kProductTokensMin tokens, and nothing else.
/// Weights stay where llama.cpp keeps them.
///
/// Once for the process; later calls do nothing. Nothing happens on a processor without fast
/// kernels for it (fast_panel_kernels()), the first of which it takes.
/// Threads: safe. Contexts that use it compute one at a time each; each has threads of its own.
void register_product_backend();
/// The same with these kernels, of static lifetime. To compare them.
void register_product_backend(const PanelKernels& kernels);

/// The backend's device, or null where it was not registered. For tests.
ggml_backend_dev_t product_device();

}  // namespace knap::models::runner
