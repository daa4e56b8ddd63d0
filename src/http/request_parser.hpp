#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "knap/http/message.hpp"

namespace knap::http {

/// Turns bytes of a connection into one Request; made anew for each. Keeps Beast out of all other
/// files. Threads: one at a time.
class RequestParser {
 public:
  struct Limits {
    std::uint32_t header_bytes = 32U << 10;
    std::uint64_t body_bytes = 32U << 20;
  };
  enum class State {
    kNeedMore,
    kHeader,  ///< The header is complete, a body follows: seen once per request.
    kDone,
    kFailed,  ///< See status() and detail(); the connection cannot go on.
  };

  explicit RequestParser(Limits limits);
  ~RequestParser();

  /// Reads as much as it can; `consumed` bytes must not be given again, the rest must.
  State feed(std::string_view bytes, std::size_t& consumed);

  /// @pre feed() said kHeader or kDone.
  bool expects_continue() const;
  bool keep_alive() const;
  bool is_http_10() const;
  std::uint64_t body_bytes() const;  ///< Held so far.

  /// The request, without peer and times. @pre feed() said kDone.
  Request take();

  int status() const { return status_; }
  const std::string& detail() const { return detail_; }

 private:
  State fail(int status, std::string detail);
  State check_header();

  struct Impl;
  std::unique_ptr<Impl> impl_;
  Request request_;
  int status_ = 0;
  std::string detail_;
};

}  // namespace knap::http
