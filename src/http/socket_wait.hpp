#pragma once

#include "knap/base/file.hpp"
#include "stream_socket.hpp"

namespace knap::http {

enum class WaitFor { kRead, kWrite };

/// Waits until the descriptor is ready (or broken). Errors: kDeadlineExceeded, kCancelled.
Status wait_ready(int fd, WaitFor what, const Patience& patience);

/// Puts TLS over a connected socket and checks the server's certificate against the system's.
Result<std::unique_ptr<StreamSocket>> start_tls(FileDescriptor socket, const std::string& host,
                                                const Patience& patience);

}  // namespace knap::http
