#include "guard.hpp"

#include <algorithm>

namespace knap::api {
namespace {

constexpr std::string_view kMethods = "GET, HEAD, POST, DELETE, OPTIONS";
constexpr std::string_view kHeaders =
    "Authorization, Content-Type, X-Request-Id, X-Knap-Deadline-Ms, X-Knap-Priority, X-Knap-Tenant";
constexpr std::string_view kExposed = "X-Request-Id, Retry-After, Location";

/// "name:80" -> "name", "[::1]:80" -> "[::1]"; lower case, without a closing dot.
std::string name_of(std::string_view host) {
  const std::size_t end = host.starts_with('[') ? std::min(host.find(']'), host.size() - 1) + 1
                                                : std::min(host.find(':'), host.size());
  const std::string_view port = host.substr(end);
  if (!port.empty() &&
      (port.front() != ':' || port.find_first_not_of("0123456789", 1) != std::string_view::npos)) {
    return {};
  }
  std::string name(host.substr(0, end));
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (name.ends_with('.')) name.pop_back();
  return name;
}

}  // namespace

bool is_loopback(std::string_view host) {
  if (host == "localhost" || host == "::1" || host == "[::1]") return true;
  return host.starts_with("127.") &&
         host.find_first_not_of("0123456789.") == std::string_view::npos;
}

Guard::Guard(std::string_view bound_host, const std::vector<std::string>& hosts,
             const std::vector<std::string>& origins)
    : hosts_{"localhost", "127.0.0.1", "[::1]"},
      origins_{"app://obsidian.md", "capacitor://localhost", "http://localhost"} {
  hosts_.push_back(bound_host.find(':') == std::string_view::npos
                       ? std::string(bound_host)
                       : "[" + std::string(bound_host) + "]");
  for (const std::string& host : hosts) hosts_.push_back(name_of(host));
  origins_.insert(origins_.end(), origins.begin(), origins.end());
}

bool Guard::host_allowed(std::string_view host) const {
  const std::string name = name_of(host);
  return !name.empty() && std::find(hosts_.begin(), hosts_.end(), name) != hosts_.end();
}

Checked<http::Fields> Guard::check(const http::Request& request) const {
  http::Fields fields;
  const std::string_view host = request.fields.get("Host").value_or("");
  if (!host_allowed(host)) {
    return refuse(
        {403,
         "host_not_allowed",
         "this server does not answer under that name: ask for localhost, or add the name to "
         "server.allowed_hosts",
         {}});
  }
  fields.set("Vary", "Origin");
  const auto origin = request.fields.get("Origin");
  if (!origin) return fields;
  const bool same = *origin == "http://" + std::string(host);
  if (!same && std::find(origins_.begin(), origins_.end(), *origin) == origins_.end()) {
    return refuse(
        {403,
         "origin_not_allowed",
         "pages of this origin may not ask: add it to server.allowed_origins if you trust it",
         {}});
  }
  fields.set("Access-Control-Allow-Origin", *origin);
  fields.set("Access-Control-Expose-Headers", kExposed);
  return fields;
}

void add_preflight_fields(const http::Request& request, http::Fields& fields) {
  fields.set("Access-Control-Allow-Methods", kMethods);
  fields.set("Access-Control-Allow-Headers", kHeaders);
  fields.set("Access-Control-Max-Age", "600");
  if (request.fields.get("Access-Control-Request-Private-Network")) {
    fields.set("Access-Control-Allow-Private-Network", "true");
  }
}

bool is_request_id(std::string_view text) {
  constexpr std::size_t kMaxBytes = 128;
  if (text.empty() || text.size() > kMaxBytes) return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
}

}  // namespace knap::api
