#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace knap::models::runner {

/// Turns a model's raw pieces into text that may be shown: whole UTF-8 characters only, and nothing
/// of a stop string, not even its beginning while it could still become one.
class TextStream {
 public:
  explicit TextStream(std::vector<std::string> stop) : stop_(std::move(stop)) {}

  /// Adds a piece; returns what may be shown now. After stopped() nothing more comes.
  std::string push(std::string_view piece);
  /// The rest, at the end of the answer. Ill-formed bytes become U+FFFD.
  std::string finish();
  bool stopped() const { return stopped_; }

 private:
  std::size_t showable() const;

  const std::vector<std::string> stop_;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace knap::models::runner
