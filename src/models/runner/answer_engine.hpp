#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "knap/base/deadline.hpp"
#include "knap/base/result.hpp"

namespace knap::models::runner {

/// A language model run by llama.cpp: chat template, prompt, tokens out.
///
/// Threads: one call at a time. The state of the last prompt is kept: what the next one shares with
/// it from the start is not read again.
class AnswerEngine {
 public:
  struct Options {
    std::filesystem::path model_file;
    std::uint32_t context = 4'096;
    std::size_t threads = 1;
  };
  struct Message {
    std::string role, content;
  };
  struct Request {
    std::vector<Message> messages;
    std::uint32_t max_tokens = 256;
    float temperature = 0;
    float top_p = 1;
    std::uint32_t seed = 0;
    std::vector<std::string> stop;
    std::size_t threads = 0;  ///< 0: Options::threads
  };
  struct Outcome {
    std::string finish_reason;  ///< "stop", "length"
    std::uint64_t prompt_tokens = 0, reused_tokens = 0, completion_tokens = 0;
    std::chrono::microseconds prompt_time{}, generation_time{};
  };

  /// Errors: kCorruptData (llama.cpp cannot load the file), kResourceExhausted (no memory for the
  /// context).
  static Result<std::unique_ptr<AnswerEngine>> open(const Options& options);
  virtual ~AnswerEngine() = default;

  virtual std::uint32_t context() const = 0;
  virtual std::string description() const = 0;

  /// on_text gets valid UTF-8 and the outcome so far; false stops with kCancelled.
  /// Errors: kResourceExhausted (prompt over the context: both numbers), kCancelled,
  /// kDeadlineExceeded (nothing written yet; later the outcome is "length"), kInternal.
  using OnText = std::function<bool(std::string_view, const Outcome&)>;
  virtual Result<Outcome> generate(const Request& request, Deadline deadline,
                                   const CancelToken& cancel, const OnText& on_text) = 0;
};

}  // namespace knap::models::runner
