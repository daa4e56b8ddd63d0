#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "knap/base/deadline.hpp"
#include "knap/base/result.hpp"

namespace knap::web {

struct FetchOptions {
  bool enabled = false;        ///< The owner allows the network.
  bool allow_private = false;  ///< Addresses of this machine and its network too.
  std::vector<std::uint16_t> ports{80, 443};
  /// "HOST:PORT" that may be fetched whatever its address and port are; exactly as in the address.
  std::vector<std::string> allowed_hosts;
  std::string name_server;  ///< "ADDRESS:PORT" to ask for names; empty: as the system does.
  std::uint64_t bytes_max = 8U << 20;  ///< Of the page, unpacked.
  std::chrono::milliseconds timeout{8'000};
};

struct Fetched {
  std::string address;  ///< Where it came from in the end.
  std::string charset;  ///< As the server says; may be empty.
  std::string body;
  std::uint32_t redirects = 0;
};

inline constexpr std::uint32_t kRedirectsMax = 5;
inline constexpr std::size_t kAddressBytesMax = 2048;

/// Fetches a page from the web, for somebody who may have been talked into it.
///
/// Only http and https, without user name and password; only the ports allowed; only hosts all of
/// whose addresses are public. Names are asked for once for each step, and the connection goes to
/// the addresses that were checked, which is checked again when the socket is made. Redirects are
/// followed here, each with all checks, and never from https to http. No proxy, no cookies, no
/// credentials, nothing from the environment. Only HTML is taken; an unpacked body over bytes_max
/// ends the transfer.
///
/// Errors: kFailedPrecondition (not enabled); kInvalidArgument (no address);
/// kPermissionDenied (refused by the rules above); kNotFound (host, or the server says 404);
/// kUnsupported (not HTML); kResourceExhausted (too large, too many redirects); kUnavailable (no
/// connection, or what the server answers); kDeadlineExceeded; kCancelled.
/// Messages name the host, not its address. Threads: safe. Blocks.
Result<Fetched> fetch_page(const std::string& address, const FetchOptions& options,
                           Deadline deadline, const CancelToken& cancel);

}  // namespace knap::web
