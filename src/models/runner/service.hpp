#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "knap/base/result.hpp"
#include "knap/http/server.hpp"
#include "knap/models/gpu.hpp"
#include "runner/precision.hpp"

namespace knap::models::runner {

/// What `knap runner` was asked to serve.
struct RunnerOptions {
  std::string role, model, socket;
  std::filesystem::path model_dir, model_file;
  std::size_t threads = 1, max_tokens = 256;
  bool first_token = false;       ///< An embedding is the first token's state, not the mean of all.
  std::uint32_t context = 4'096;  ///< Tokens of one answer with its prompt.
  std::uint32_t contexts = 2;  ///< State is held for so many full contexts, all answers together.
  std::filesystem::path
      passages_dir;  ///< Where passages that are read ahead are kept; may be empty.
  std::uint64_t passages_memory_bytes = 0;  ///< 0: no passages are read ahead.
  std::uint64_t passages_disk_bytes = 0;
  std::chrono::milliseconds chunk_time{250};  ///< About what a step of an answer model may take.
  GpuWish gpu;                                ///< Answer models only.
  bool guesses = true;                        ///< An answer model guesses what it quotes.
  int parent = 0;                             ///< Process id of who started it; 0: not checked.
  Precision precision = Precision::kF32;
};

/// Serves one loaded model. Threads: handle() is called from I/O threads and does not block.
class Service {
 public:
  virtual ~Service() = default;
  /// @return false when the route is not its own
  virtual bool handle(const std::shared_ptr<const http::Request>& request,
                      const std::shared_ptr<http::Responder>& responder) = 0;
  virtual std::string stats() const = 0;  ///< JSON object.
  /// Where the model's layers lie, for people; empty: with the processor, by design.
  virtual std::string placement() const { return {}; }
  /// Whether its engine hangs, so that the runner is better replaced.
  virtual bool stuck() const { return false; }
};

/// Load the model, which takes up to seconds. Errors: those of the engines.
Result<std::unique_ptr<Service>> open_embed_service(const RunnerOptions& options);
Result<std::unique_ptr<Service>> open_answer_service(const RunnerOptions& options);
Result<std::unique_ptr<Service>> open_speech_service(const RunnerOptions& options);
Result<std::unique_ptr<Service>> open_rerank_service(const RunnerOptions& options);

/// An error in OpenAI's shape, with Retry-After where trying again may help: after 1 s unless told.
http::Response error_response(const Error& error,
                              std::optional<std::chrono::milliseconds> retry_after = std::nullopt);

}  // namespace knap::models::runner
