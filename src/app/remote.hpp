#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/json.hpp>

#include "commands.hpp"
#include "knap/http/client.hpp"

namespace knap::app {

/// A running server, as the client commands see it.
class Remote {
 public:
  static Result<Remote> open(const Config& config, const ServerAddress& address);

  /// The JSON of a successful answer. Errors: kUnavailable (no server there), and what the server's
  /// problem says.
  Result<boost::json::value> get(const std::string& path);
  Result<boost::json::value> post(const std::string& path, const boost::json::value& body);
  /// Sends bytes as they are.
  Result<boost::json::value> upload(const std::string& path, std::string bytes);

  /// The body of a successful answer as it is, and its status. `request` may hold anything; it may
  /// take `patience`.
  struct Raw {
    int status = 0;
    std::string body;
  };
  Result<Raw> raw(const http::ClientRequest& request, std::chrono::milliseconds patience);

  /// Server-Sent Events of a POST. on_event returns false to stop.
  Status stream(
      const std::string& path, const boost::json::value& body,
      const std::function<bool(std::string_view event, const boost::json::value& data)>& on_event);
  /// The same with any request, e.g. a form.
  Status stream(
      const http::ClientRequest& request,
      const std::function<bool(std::string_view event, const boost::json::value& data)>& on_event);

 private:
  Remote(std::unique_ptr<http::Client> client, std::string url)
      : client_(std::move(client)), url_(std::move(url)) {}
  Result<boost::json::value> call(const http::ClientRequest& request);
  Error unreachable(const Error& error) const;

  std::unique_ptr<http::Client> client_;
  std::string url_;
};

/// A POST of a form with a file and text fields.
http::ClientRequest form_request(const std::string& path, std::string_view file_name,
                                 std::string_view bytes,
                                 const std::vector<std::pair<std::string, std::string>>& fields);

/// Percent-encodes a query parameter.
std::string encode_parameter(std::string_view text);

/// Member of an object, or null when absent: keeps readers of answers short and safe.
const boost::json::value& member(const boost::json::value& value, std::string_view name);
std::string text_of(const boost::json::value& value, std::string_view name);
double number_of(const boost::json::value& value, std::string_view name);

}  // namespace knap::app
