#include "target.hpp"

#include "knap/base/text.hpp"
#include "knap/http/message.hpp"

namespace knap::http {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

Error bad(std::string message) {
  return make_error(ErrorCode::kInvalidArgument, std::move(message));
}

Status parse_query(std::string_view text, std::vector<std::pair<std::string, std::string>>& out) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('&'), text.size());
    const std::string_view part = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (part.empty()) continue;
    if (out.size() == kMaxQueryParameters) return bad("the query has more than 100 parameters");
    const std::size_t equals = std::min(part.find('='), part.size());
    auto name = percent_decode(part.substr(0, equals), PlusSign::kIsSpace);
    auto value = percent_decode(part.substr(std::min(equals + 1, part.size())), PlusSign::kIsSpace);
    if (!name || !value) return bad("the query is not percent-encoded UTF-8");
    out.emplace_back(std::move(*name), std::move(*value));
  }
  return {};
}

/// Cuts "http://authority" off an absolute target.
std::string take_authority(std::string_view& target) {
  for (const std::string_view scheme :
       {std::string_view("http://"), std::string_view("https://")}) {
    if (target.size() < scheme.size() ||
        !equals_ignoring_case(target.substr(0, scheme.size()), scheme))
      continue;
    target.remove_prefix(scheme.size());
    const std::size_t end = std::min(target.find_first_of("/?"), target.size());
    std::string authority(target.substr(0, end));
    target.remove_prefix(end);
    return authority;
  }
  return {};
}

}  // namespace

std::optional<std::string> percent_decode(std::string_view text, PlusSign plus) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      if (i + 2 >= text.size()) return std::nullopt;
      const int high = hex_digit(text[i + 1]);
      const int low = hex_digit(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      c = static_cast<char>(high * 16 + low);
      i += 2;
    } else if (c == '+' && plus == PlusSign::kIsSpace) {
      c = ' ';
    }
    if (c == '\0') return std::nullopt;
    out.push_back(c);
  }
  if (!text::is_valid_utf8(out)) return std::nullopt;
  return out;
}

Result<Target> parse_target(std::string_view target) {
  Target out;
  if (target.find('#') != std::string_view::npos)
    return bad("the request target holds a fragment (#)");
  if (target == "*") {
    out.path = "*";
    return out;
  }
  out.authority = take_authority(target);
  if (!out.authority.empty() && (target.empty() || target.front() == '?')) {
    out.path = "/";
  } else if (target.empty() || target.front() != '/') {
    return bad("the request target does not begin with a slash");
  }
  const std::size_t question = std::min(target.find('?'), target.size());
  if (question > 0) {
    auto path = percent_decode(target.substr(0, question), PlusSign::kIsPlus);
    if (!path) return bad("the path is not percent-encoded UTF-8");
    out.path = std::move(*path);
  }
  KNAP_CHECK_OK(parse_query(target.substr(std::min(question + 1, target.size())), out.query));
  return out;
}

}  // namespace knap::http
