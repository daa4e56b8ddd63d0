#pragma once

#include <span>
#include <string>
#include <vector>

#include "knap/base/deadline.hpp"
#include "knap/base/result.hpp"

namespace knap::models {

enum class Priority;

/// How well texts answer a question, told by a cross-encoder, which reads both together: surer than
/// the cosine of two vectors, and so slow that it is asked about the best few only.
/// Threads: safe. Long texts are cut at the model's window, which is no error.
class Reranker {
 public:
  static constexpr std::size_t kTextsMax = 512;

  virtual ~Reranker() = default;
  virtual std::string id() const = 0;  ///< Name, revision and precision.
  /// Languages the model was trained for, ISO 639-1; "*": any.
  virtual std::vector<std::string> languages() const = 0;
  struct Scores {
    std::vector<float> values;  ///< One a text, 0-1: the logistic function of the model's logit.
    std::uint64_t tokens = 0;   ///< Read for all of them.
  };
  /// Loads the model, which takes up to seconds. Call it before compute is leased: who leases and
  /// then loads keeps others from models that are loaded. Errors: as score() until it is ready.
  virtual Status load(Deadline /*deadline*/, const CancelToken& /*cancel*/) { return {}; }
  /// @param threads  compute threads leased for the call; 0: all of the model's
  /// Errors: kUnavailable (starting, crashed: try later), kFailedPrecondition (cannot be loaded),
  /// kDeadlineExceeded, kCancelled, kInvalidArgument (no texts, more than kTextsMax).
  virtual Result<Scores> score(const std::string& question, std::span<const std::string> texts,
                               Priority priority, std::size_t threads, Deadline deadline,
                               const CancelToken& cancel) = 0;
};

}  // namespace knap::models
