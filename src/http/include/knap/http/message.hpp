#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "knap/base/deadline.hpp"
#include "knap/base/result.hpp"

namespace knap::http {

bool equals_ignoring_case(std::string_view a, std::string_view b);  ///< ASCII only.

/// Header fields in order. Names compare without case.
class Fields {
 public:
  void set(std::string_view name,
           std::string_view value);  ///< Replaces. CR and LF in values are dropped.
  std::optional<std::string_view> get(std::string_view name) const;
  const std::vector<std::pair<std::string, std::string>>& all() const { return fields_; }

 private:
  std::vector<std::pair<std::string, std::string>> fields_;
};

struct Request {
  std::string method;  ///< Upper case.
  std::string target;  ///< As sent: path and query.
  std::string path;    ///< Percent-decoded, UTF-8 checked, without query.
  std::vector<std::pair<std::string, std::string>> query;  ///< Percent-decoded parameters in order.
  Fields fields;
  std::string body;
  std::string peer;  ///< Address, or "unix".
  SteadyClock::time_point received{};
  CancelToken cancel;  ///< Set when the client goes or the server stops.

  std::optional<std::string_view> parameter(std::string_view name) const;
};

struct Response {
  int status = 200;
  Fields fields;
  std::string body;

  static Response json(int status, std::string body);
  static Response text(int status, std::string body,
                       std::string_view content_type = "text/plain; charset=utf-8");
};

}  // namespace knap::http
