#include <charconv>

#include "knap/http/client.hpp"

namespace knap::http {
namespace {

Error bad_url(std::string_view why) {
  return make_error(ErrorCode::kInvalidArgument,
                    "the server's address " + std::string(why) +
                        ": write http://HOST:PORT, https://HOST or unix:/PATH");
}

/// Text that may stand in a request line: no spaces, no control characters.
bool is_plain(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7f) return false;
  }
  return true;
}

}  // namespace

Result<Endpoint> Endpoint::parse(std::string_view url) {
  Endpoint endpoint;
  if (url.starts_with("unix:")) {
    url.remove_prefix(5);
    if (url.starts_with("//")) url.remove_prefix(2);
    if (url.empty() || url.front() != '/') return bad_url("names no absolute socket path");
    endpoint.unix_socket = std::string(url);
    return endpoint;
  }
  if (!is_plain(url)) return bad_url("holds spaces or control characters");
  if (url.starts_with("https://")) {
    endpoint.tls = true;
    endpoint.port = 443;
    url.remove_prefix(8);
  } else if (url.starts_with("http://")) {
    url.remove_prefix(7);
  } else {
    return bad_url("begins with none of http://, https:// and unix:");
  }
  const std::size_t end = std::min(url.find_first_of("/?#"), url.size());
  std::string_view authority = url.substr(0, end);
  std::string_view path = url.substr(end);
  if (path.find_first_of("?#") != std::string_view::npos) return bad_url("has a query or fragment");
  while (path.ends_with('/')) path.remove_suffix(1);
  endpoint.base_path = std::string(path);
  if (authority.find('@') != std::string_view::npos)
    return bad_url("holds a user name or password");
  std::string_view port;
  if (authority.starts_with('[')) {
    const std::size_t bracket = authority.find(']');
    if (bracket == std::string_view::npos) return bad_url("has an unclosed bracket");
    endpoint.host = std::string(authority.substr(1, bracket - 1));
    port = authority.substr(bracket + 1);
  } else {
    const std::size_t colon = std::min(authority.find(':'), authority.size());
    endpoint.host = std::string(authority.substr(0, colon));
    port = authority.substr(colon);
  }
  if (endpoint.host.empty()) return bad_url("has no host");
  if (port.empty()) return endpoint;
  const char* const first = port.data() + 1;
  const char* const last = port.data() + port.size();
  const auto read = std::from_chars(first, last, endpoint.port);
  if (port.front() != ':' || read.ec != std::errc{} || read.ptr != last || endpoint.port == 0) {
    return bad_url("has a port that is not 1-65535");
  }
  return endpoint;
}

}  // namespace knap::http
