#pragma once

#include <cstdint>
#include <string>

#include "knap/base/file.hpp"
#include "knap/base/result.hpp"

namespace knap::http {

struct Listener {
  FileDescriptor socket;
  std::uint16_t port = 0;  ///< 0 for Unix sockets.
};

/// Errors: kAlreadyExists (address in use), kPermissionDenied, kInvalidArgument (no such address),
/// kIo.
Result<Listener> listen_tcp(const std::string& host, std::uint16_t port);

/// The socket has mode 0600. A socket file that nobody serves is replaced; any other file is kept:
/// kAlreadyExists.
Result<Listener> listen_unix(const std::string& path);

/// The other side's address without port, or "unix".
std::string peer_name(int socket);

}  // namespace knap::http
