#pragma once

#include <ggml-backend.h>
#include <llama.h>

#include <cstddef>
#include <memory>

namespace knap::models::runner {

/// The threads on which llama.cpp computes a context's steps, kept between steps: a context that
/// has none of its own makes them anew for each. There are two sets. For steps of few tokens they
/// look for the next part of the step, which begins sooner so. For steps whose products other
/// threads compute (register_product_backend()) they sleep in between: those need the cores.
///
/// Must outlive the contexts it was attached to. Threads: one at a time.
class EngineThreads {
 public:
  /// @param count  of each set. Where ggml offers no sets, contexts keep to their own way.
  explicit EngineThreads(std::size_t count);

  /// The context's next step has that many tokens.
  void attach(llama_context* context, std::size_t tokens) const;

 private:
  using Pool = std::unique_ptr<ggml_threadpool, void (*)(ggml_threadpool*)>;
  enum class Between { kLook, kSleep };
  static Pool make(std::size_t count, Between between);

  Pool few_, many_;
};

}  // namespace knap::models::runner
