#include "route.hpp"

#include <algorithm>

namespace knap::api {
namespace {

/// The part of `path` that the pattern's {...} takes; nothing when they differ.
std::optional<std::string> match_pattern(std::string_view pattern, std::string_view path) {
  const std::size_t open = pattern.find('{');
  if (open == std::string_view::npos)
    return pattern == path ? std::optional<std::string>("") : std::nullopt;
  const std::string_view before = pattern.substr(0, open);
  const std::string_view after = pattern.substr(pattern.find('}') + 1);
  if (path.size() <= before.size() + after.size()) return std::nullopt;
  if (!path.starts_with(before) || !path.ends_with(after)) return std::nullopt;
  return std::string(path.substr(before.size(), path.size() - before.size() - after.size()));
}

}  // namespace

Deadline Call::deadline(std::chrono::milliseconds limit,
                        std::optional<std::chrono::milliseconds> wish) const {
  if (header_deadline) limit = std::min(limit, *header_deadline);
  if (wish) limit = std::min(limit, *wish);
  return Deadline::at(request->received + limit);
}

http::Response Call::with_common(http::Response response) const {
  for (const auto& [name, value] : common.all()) response.fields.set(name, value);
  return response;
}

Router::Router(std::vector<Route> routes) : routes_(std::move(routes)) {
  std::stable_sort(routes_.begin(), routes_.end(), [](const Route& a, const Route& b) {
    const bool a_plain = a.pattern.find('{') == std::string_view::npos;
    const bool b_plain = b.pattern.find('{') == std::string_view::npos;
    if (a_plain != b_plain) return a_plain;
    return a.pattern.size() > b.pattern.size();
  });
}

Router::Match Router::find(std::string_view method, std::string_view path) const {
  const std::string_view wanted = method == "HEAD" ? "GET" : method;
  Match match;
  std::string_view matched_pattern;
  for (const Route& route : routes_) {
    if (!matched_pattern.empty() && route.pattern != matched_pattern) continue;
    auto argument = match_pattern(route.pattern, path);
    if (!argument) continue;
    matched_pattern = route.pattern;
    if (route.method == wanted) {
      match.route = &route;
      match.argument = std::move(*argument);
      return match;
    }
    match.allow.emplace_back(route.method);
    if (route.method == "GET") match.allow.emplace_back("HEAD");
  }
  return match;
}

bool is_openai_path(std::string_view path) { return path.starts_with("/v1/"); }

}  // namespace knap::api
