#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "knap/http/message.hpp"

namespace knap::http {

/// Turns bytes of a server into one Response. Interim answers (100-199) are skipped. Threads: one
/// at a time.
class ResponseParser {
 public:
  struct Options {
    bool to_head_request = false;      ///< Then no body follows, whatever the header says.
    std::uint64_t max_body_bytes = 0;  ///< 0: no limit.
    /// Gets the body as it arrives; empty: it is collected. False stops: State::kStopped.
    std::function<bool(std::string_view)> on_chunk;
  };
  enum class State { kNeedMore, kDone, kStopped, kTooLarge, kMalformed };

  explicit ResponseParser(Options options);
  ~ResponseParser();

  /// Reads as much as it can; `consumed` bytes must not be given again, the rest must.
  State feed(std::string_view bytes, std::size_t& consumed);
  /// The server closed: kDone where that ends the body, else kMalformed.
  State end_of_input();

  bool keep_alive() const;
  Response take();  ///< @pre kDone or kStopped

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace knap::http
