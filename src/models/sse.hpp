#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "knap/base/result.hpp"

namespace knap::models {

/// Reads a stream of Server-Sent Events piece by piece and hands over each event's data.
class SseReader {
 public:
  using OnData = std::function<bool(std::string_view data)>;  ///< False stops.

  /// Errors: kResourceExhausted (an event over 4 MB), kCancelled (on_data said stop).
  Status feed(std::string_view bytes, const OnData& on_data);

 private:
  Status line(std::string_view text, const OnData& on_data);

  std::string rest_;  ///< The unfinished line.
  std::string data_;
  bool has_data_ = false;
};

}  // namespace knap::models
