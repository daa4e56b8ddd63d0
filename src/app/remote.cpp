#include "remote.hpp"

#include <fmt/format.h>

#include "knap/base/hash.hpp"
#include "knap/base/json_text.hpp"

namespace knap::app {
namespace {

constexpr auto kCallTimeout = std::chrono::seconds(120);
constexpr std::size_t kProblemBytesMax = 64U << 10;
constexpr std::size_t kEventBytesMax = 8U << 20;

http::ClientRequest post_request(const std::string& path, const boost::json::value& body) {
  http::ClientRequest request;
  request.method = "POST";
  request.path = path;
  request.fields.set("Content-Type", "application/json");
  request.body = json_text(body);
  return request;
}

ErrorCode code_of_status(int status) {
  switch (status) {
    case 400:
    case 422: return ErrorCode::kInvalidArgument;
    case 404: return ErrorCode::kNotFound;
    case 429:
    case 503: return ErrorCode::kUnavailable;
    case 504: return ErrorCode::kDeadlineExceeded;
    default: return ErrorCode::kInternal;
  }
}

Error problem(int status, const std::string& body) {
  boost::json::error_code failed;
  const auto json = boost::json::parse(body, failed);
  std::string detail = failed ? std::string() : text_of(json, "detail");
  if (detail.empty() && !failed) detail = text_of(json, "title");
  return make_error(code_of_status(status),
                    detail.empty() ? fmt::format("the server answered {}", status) : detail);
}

/// Cuts a byte stream into events: "event: NAME\ndata: JSON\n\n"; lines that begin with ':' are
/// comments.
class EventReader {
 public:
  using OnEvent = std::function<bool(std::string_view, const boost::json::value&)>;
  explicit EventReader(const OnEvent& on_event) : on_event_(on_event) {}

  bool feed(std::string_view chunk) {
    buffer_ += chunk;
    if (buffer_.size() > kEventBytesMax) return false;
    std::size_t begin = 0;
    while (true) {
      const auto end = buffer_.find('\n', begin);
      if (end == std::string::npos) break;
      std::string_view line(buffer_.data() + begin, end - begin);
      if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
      if (!take_line(line)) return false;
      begin = end + 1;
    }
    buffer_.erase(0, begin);
    return true;
  }

 private:
  bool take_line(std::string_view line) {
    const auto value = [&](std::size_t prefix) {
      auto rest = line.substr(prefix);
      if (!rest.empty() && rest.front() == ' ') rest.remove_prefix(1);
      return rest;
    };
    if (line.starts_with("event:")) name_ = value(6);
    if (line.starts_with("data:")) data_ += value(5);
    if (!line.empty() || data_.empty()) return true;
    boost::json::error_code failed;
    const auto json = boost::json::parse(data_, failed);
    const bool go_on = failed ? true : on_event_(name_, json);
    name_.clear();
    data_.clear();
    return go_on;
  }

  const OnEvent& on_event_;
  std::string buffer_, name_, data_;
};

}  // namespace

Result<Remote> Remote::open(const Config& config, const ServerAddress& address) {
  const std::string host = config.server.host == "0.0.0.0" ? "127.0.0.1" : config.server.host;
  const std::string url =
      address.url.empty() ? fmt::format("http://{}:{}", host, config.server.port) : address.url;
  KNAP_TRY(auto endpoint, http::Endpoint::parse(url));
  return Remote(http::Client::create(std::move(endpoint), {}), url);
}

Error Remote::unreachable(const Error& error) const {
  if (error.code != ErrorCode::kUnavailable) return error;
  return make_error(ErrorCode::kUnavailable,
                    fmt::format("no Knap server answers at {}: start one with `knap serve --vault "
                                "DIR`, or name another with --url",
                                url_));
}

Result<boost::json::value> Remote::call(const http::ClientRequest& request) {
  auto response = client_->call(request, Deadline::after(kCallTimeout), CancelToken());
  if (!response) return unreachable(response.error());
  if (response->status >= 400) return problem(response->status, response->body);
  boost::json::error_code failed;
  auto json = boost::json::parse(response->body, failed);
  if (failed)
    return make_error(
        ErrorCode::kCorruptData,
        fmt::format("what answers at {} is no Knap server: its answer is not JSON", url_));
  return json;
}

Result<boost::json::value> Remote::get(const std::string& path) {
  http::ClientRequest request;
  request.path = path;
  return call(request);
}

Result<boost::json::value> Remote::post(const std::string& path, const boost::json::value& body) {
  return call(post_request(path, body));
}

Result<boost::json::value> Remote::upload(const std::string& path, std::string bytes) {
  http::ClientRequest request;
  request.method = "POST";
  request.path = path;
  request.fields.set("Content-Type", "application/octet-stream");
  request.body = std::move(bytes);
  return call(request);
}

Result<Remote::Raw> Remote::raw(const http::ClientRequest& request,
                                std::chrono::milliseconds patience) {
  auto response = client_->call(request, Deadline::after(patience), CancelToken());
  if (!response) return unreachable(response.error());
  if (response->status >= 400) return problem(response->status, response->body);
  return Raw{response->status, std::move(response->body)};
}

Status Remote::stream(
    const std::string& path, const boost::json::value& body,
    const std::function<bool(std::string_view, const boost::json::value&)>& on_event) {
  return stream(post_request(path, body), on_event);
}

Status Remote::stream(
    const http::ClientRequest& request,
    const std::function<bool(std::string_view, const boost::json::value&)>& on_event) {
  EventReader reader(on_event);
  bool stopped = false;
  std::string begin_of_body;  // An error comes as one JSON problem instead of events.
  const auto response = client_->stream(request, Deadline::after(kCallTimeout), CancelToken(),
                                        [&](std::string_view chunk) {
                                          if (begin_of_body.size() < kProblemBytesMax)
                                            begin_of_body += chunk;
                                          stopped = !reader.feed(chunk);
                                          return !stopped;
                                        });
  if (stopped) return {};
  if (!response) return unreachable(response.error());
  if (response->status >= 400) return problem(response->status, begin_of_body);
  return {};
}

http::ClientRequest form_request(const std::string& path, std::string_view file_name,
                                 std::string_view bytes,
                                 const std::vector<std::pair<std::string, std::string>>& fields) {
  // Random: the file must not hold it.
  const std::string boundary = "knap-" + random_id() + random_id();
  http::ClientRequest request;
  request.method = "POST";
  request.path = path;
  request.fields.set("Content-Type", "multipart/form-data; boundary=" + boundary);
  std::string quoted;
  for (const char c : file_name)
    quoted += c == '"' || c == '\\' || c == '\r' || c == '\n' ? '_' : c;
  const auto head = [&](std::string_view name, std::string_view rest) {
    return fmt::format("--{}\r\nContent-Disposition: form-data; name=\"{}\"{}\r\n\r\n", boundary,
                       name, rest);
  };
  for (const auto& [name, value] : fields) request.body += head(name, "") + value + "\r\n";
  request.body += head("file", fmt::format("; filename=\"{}\"", quoted));
  request.body += bytes;
  request.body += "\r\n--" + boundary + "--\r\n";
  return request;
}

std::string encode_parameter(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
                       (byte >= 'A' && byte <= 'Z') || c == '-' || c == '_' || c == '.';
    out += plain ? std::string(1, c) : fmt::format("%{:02X}", byte);
  }
  return out;
}

const boost::json::value& member(const boost::json::value& value, std::string_view name) {
  static const boost::json::value kNull;
  if (!value.is_object()) return kNull;
  const auto* found = value.get_object().if_contains(name);
  return found == nullptr ? kNull : *found;
}

std::string text_of(const boost::json::value& value, std::string_view name) {
  const auto& found = member(value, name);
  return found.is_string() ? std::string(found.get_string()) : std::string();
}

double number_of(const boost::json::value& value, std::string_view name) {
  const auto& found = member(value, name);
  if (found.is_double()) return found.get_double();
  if (found.is_int64()) return static_cast<double>(found.get_int64());
  if (found.is_uint64()) return static_cast<double>(found.get_uint64());
  return 0;
}

}  // namespace knap::app
