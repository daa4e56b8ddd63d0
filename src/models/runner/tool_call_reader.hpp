#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace knap::models::runner {

/// A function that the model asks for.
struct ToolCall {
  std::string name;
  std::string arguments;  ///< JSON.
};

/// Tells calls of tools from text while an answer comes. A call stands between <tool_call> and
/// </tool_call>; one that is the whole answer may stand by itself or in a Markdown fence, as small
/// models write it. What looks like a call and is none is text. Threads: one at a time.
class ToolCallReader {
 public:
  /// @param names  of the tools that may be called
  explicit ToolCallReader(std::vector<std::string> names) : names_(std::move(names)) {}

  struct Read {
    std::string text;             ///< That is no part of a call.
    std::vector<ToolCall> calls;  ///< Whole ones.
  };
  Read push(std::string_view piece);
  Read finish();  ///< The rest, at the end of the answer.

 private:
  void read_marked(Read& out);
  bool read_call(std::string_view text, Read& out) const;
  bool holds_back() const;

  const std::vector<std::string> names_;
  std::string held_;
  bool begun_ = false;  ///< Text that is no white space, or a call, has been told.
};

}  // namespace knap::models::runner
