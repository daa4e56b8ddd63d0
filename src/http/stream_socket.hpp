#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string_view>

#include "knap/base/deadline.hpp"
#include "knap/base/result.hpp"
#include "knap/http/client.hpp"

namespace knap::http {

/// When to stop waiting. The token is looked at at least every kCancelPoll.
struct Patience {
  static constexpr std::chrono::milliseconds kCancelPoll{20};
  Deadline deadline;
  const CancelToken& cancel;
};

/// A connected socket with blocking calls that end by deadline or cancellation. Threads: one at a
/// time.
class StreamSocket {
 public:
  virtual ~StreamSocket() = default;
  /// Errors: kUnavailable (the other side closed or broke off), kDeadlineExceeded, kCancelled.
  virtual Status write(std::string_view bytes, const Patience& patience) = 0;
  /// Some bytes; 0 at the end of the stream. Errors as write.
  virtual Result<std::size_t> read(char* into, std::size_t most, const Patience& patience) = 0;
  /// False when the other side has closed or sent something unasked.
  virtual bool is_quiet() = 0;
};

/// Errors: kUnavailable (no such host, nobody listens, TLS failed: says which), kDeadlineExceeded,
/// kCancelled.
Result<std::unique_ptr<StreamSocket>> connect(const Endpoint& endpoint,
                                              std::chrono::milliseconds connect_timeout,
                                              const Patience& patience);

}  // namespace knap::http
