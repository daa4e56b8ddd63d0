#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "knap/http/message.hpp"
#include "problem.hpp"

namespace knap::api {

/// Who may ask, while no key is asked for: only names of this machine (a page that rebinds its DNS
/// name to us comes with its own name) and only pages of known origins. Immutable; safe from any
/// thread.
class Guard {
 public:
  Guard(std::string_view bound_host, const std::vector<std::string>& hosts,
        const std::vector<std::string>& origins);

  /// 403 for foreign hosts and origins; else the CORS fields of the response.
  Checked<http::Fields> check(const http::Request& request) const;

 private:
  bool host_allowed(std::string_view host) const;
  std::vector<std::string> hosts_;
  std::vector<std::string> origins_;
};

/// Fields that answer a browser's preflight, beside those of check().
void add_preflight_fields(const http::Request& request, http::Fields& fields);

bool is_loopback(std::string_view host);

/// A request id from outside is taken over when it is 1-128 of [A-Za-z0-9._-].
bool is_request_id(std::string_view text);

}  // namespace knap::api
