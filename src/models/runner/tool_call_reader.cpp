#include "runner/tool_call_reader.hpp"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <utility>

#include "knap/base/json_text.hpp"
#include "knap/base/text.hpp"
#include "runner/chat_tools.hpp"

namespace knap::models::runner {
namespace {

namespace json = boost::json;

// How a whole answer may begin that turns out to be a call.
constexpr std::array<std::string_view, 3> kBareBegins{"```json", "```\n", "{"};

constexpr std::string_view kSpaces = " \t\r\n";

std::string_view without_fence(std::string_view text) {
  if (!text.starts_with("```")) return text;
  const std::size_t line = text.find('\n');
  const std::size_t end = text.rfind("```");
  if (line == std::string_view::npos || end <= line) return text;
  return text::trim(text.substr(line + 1, end - line - 1));
}

std::size_t mark_begun_at_end(std::string_view text) {
  for (std::size_t length = std::min(text.size(), kToolCallBegin.size() - 1); length > 0; --length)
    if (text.ends_with(kToolCallBegin.substr(0, length))) return length;
  return 0;
}

}  // namespace

ToolCallReader::Read ToolCallReader::push(std::string_view piece) {
  held_ += piece;
  Read out;
  read_marked(out);
  if (holds_back()) return out;
  // Text up to a mark, or to what may become one, without the white space before it.
  const std::size_t mark = held_.find(kToolCallBegin);
  std::size_t length = mark != std::string::npos ? mark : held_.size() - mark_begun_at_end(held_);
  const bool all = length == held_.size();
  while (!all && length > 0 && kSpaces.find(held_[length - 1]) != std::string_view::npos) --length;
  out.text += held_.substr(0, length);
  held_.erase(0, length);
  begun_ = begun_ || !text::trim(out.text).empty();
  return out;
}

// Whole calls at the beginning of what is held, with the white space around them.
void ToolCallReader::read_marked(Read& out) {
  for (;;) {
    const std::string_view rest = text::trim(held_);
    if (!rest.starts_with(kToolCallBegin)) return;
    const std::size_t end = rest.find(kToolCallEnd);
    if (end == std::string_view::npos) return;
    const auto inner = rest.substr(kToolCallBegin.size(), end - kToolCallBegin.size());
    if (!read_call(inner, out)) out.text += rest.substr(0, end + kToolCallEnd.size());
    begun_ = true;
    held_ = std::string(text::trim(rest.substr(end + kToolCallEnd.size())));
  }
}

bool ToolCallReader::holds_back() const {
  const std::string_view rest = text::trim(held_);
  if (rest.empty() || rest.starts_with(kToolCallBegin)) return true;
  if (begun_) return false;
  return std::ranges::any_of(kBareBegins, [&](std::string_view begin) {
    return rest.starts_with(begin) || begin.starts_with(rest);
  });
}

ToolCallReader::Read ToolCallReader::finish() {
  Read out;
  read_marked(out);
  std::string_view rest = text::trim(held_);
  // The mark that ends a call is often left out at the very end.
  const bool marked = rest.starts_with(kToolCallBegin);
  const std::string_view inner = marked ? rest.substr(kToolCallBegin.size()) : without_fence(rest);
  if ((marked || !begun_) && read_call(inner, out)) rest = {};
  if (!rest.empty()) out.text += held_;
  held_.clear();
  return out;
}

bool ToolCallReader::read_call(std::string_view text, Read& out) const {
  boost::system::error_code error;
  const json::value root = json::parse(text::trim(text), error);
  const auto* object = error ? nullptr : root.if_object();
  const auto* name = object == nullptr ? nullptr : object->if_contains("name");
  if (name == nullptr || !name->is_string()) return false;
  const std::string_view wanted = name->get_string();
  if (std::ranges::find(names_, wanted) == names_.end()) return false;
  const auto* arguments = object->if_contains("arguments");
  if (arguments == nullptr) arguments = object->if_contains("parameters");
  if (arguments == nullptr || !arguments->is_object()) return false;
  out.calls.push_back({std::string(wanted), json_text(*arguments)});
  return true;
}

}  // namespace knap::models::runner
