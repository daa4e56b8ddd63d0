#include <algorithm>

#include "knap/http/message.hpp"

namespace knap::http {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

}  // namespace

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(),
                                            [](char x, char y) { return lower(x) == lower(y); });
}

void Fields::set(std::string_view name, std::string_view value) {
  std::string clean;
  clean.reserve(value.size());
  for (const char c : value) {
    if (c != '\r' && c != '\n' && c != '\0') clean.push_back(c);
  }
  for (auto& [known, text] : fields_) {
    if (equals_ignoring_case(known, name)) {
      text = std::move(clean);
      return;
    }
  }
  fields_.emplace_back(std::string(name), std::move(clean));
}

std::optional<std::string_view> Fields::get(std::string_view name) const {
  for (const auto& [known, text] : fields_) {
    if (equals_ignoring_case(known, name)) return std::string_view(text);
  }
  return std::nullopt;
}

std::optional<std::string_view> Request::parameter(std::string_view name) const {
  for (const auto& [known, value] : query) {
    if (known == name) return std::string_view(value);
  }
  return std::nullopt;
}

Response Response::json(int status, std::string body) {
  return text(status, std::move(body), "application/json");
}

Response Response::text(int status, std::string body, std::string_view content_type) {
  Response response;
  response.status = status;
  response.fields.set("Content-Type", content_type);
  response.body = std::move(body);
  return response;
}

}  // namespace knap::http
