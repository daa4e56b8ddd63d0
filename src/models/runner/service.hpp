#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "knap/base/result.hpp"
#include "knap/http/server.hpp"
#include "runner/precision.hpp"

namespace knap::models::runner {

/// What `knap runner` was asked to serve.
struct RunnerOptions {
  std::string role, model, socket;
  std::filesystem::path model_dir, model_file;
  std::size_t threads = 1, max_tokens = 256;
  std::uint32_t context = 4'096;
  int parent = 0;  ///< Process id of who started it; 0: not checked.
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
};

/// Load the model, which takes up to seconds. Errors: those of the engines.
Result<std::unique_ptr<Service>> open_embed_service(const RunnerOptions& options);
Result<std::unique_ptr<Service>> open_answer_service(const RunnerOptions& options);

/// An error in OpenAI's shape, with Retry-After where trying again may help.
http::Response error_response(const Error& error);

}  // namespace knap::models::runner
