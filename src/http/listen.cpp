#include "listen.hpp"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

namespace knap::http {
namespace {

constexpr int kBacklog = 1024;

Error listen_error(int error_number, const std::string& where) {
  switch (error_number) {
    case EADDRINUSE:
      return make_error(
          ErrorCode::kAlreadyExists,
          where +
              " is already in use: stop the program that listens there, or choose another port");
    case EACCES:
    case EPERM:
      return make_error(ErrorCode::kPermissionDenied,
                        "not allowed to listen on " + where + ": choose a port above 1023");
    case EADDRNOTAVAIL:
      return make_error(ErrorCode::kInvalidArgument, where + " is no address of this machine");
    default:
      return make_error(ErrorCode::kIo,
                        "cannot listen on " + where + ": " + std::strerror(error_number));
  }
}

std::uint16_t bound_port(int socket) {
  sockaddr_storage address{};
  socklen_t length = sizeof(address);
  if (getsockname(socket, reinterpret_cast<sockaddr*>(&address), &length) != 0) return 0;
  if (address.ss_family == AF_INET)
    return ntohs(reinterpret_cast<sockaddr_in*>(&address)->sin_port);
  if (address.ss_family == AF_INET6)
    return ntohs(reinterpret_cast<sockaddr_in6*>(&address)->sin6_port);
  return 0;
}

/// True when a process answers on the Unix socket.
bool is_served(const sockaddr_un& address) {
  const FileDescriptor probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe.valid()) return true;
  if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0)
    return true;
  return errno != ECONNREFUSED;
}

}  // namespace

Result<Listener> listen_tcp(const std::string& host, std::uint16_t port) {
  const std::string where = host + " port " + std::to_string(port);
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (const int failed = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
      failed != 0) {
    return make_error(ErrorCode::kInvalidArgument,
                      "unknown address '" + host + "': " + gai_strerror(failed));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> guard(found, freeaddrinfo);
  FileDescriptor socket(::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid()) return listen_error(errno, where);
  const int on = 1;
  // A restart must not wait for the old connections' TIME_WAIT.
  setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (::bind(socket.get(), found->ai_addr, found->ai_addrlen) != 0 ||
      ::listen(socket.get(), kBacklog) != 0) {
    return listen_error(errno, where);
  }
  const std::uint16_t bound = bound_port(socket.get());
  return Listener{std::move(socket), bound};
}

Result<Listener> listen_unix(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return make_error(ErrorCode::kInvalidArgument,
                      "the socket path '" + path +
                          "' is empty or longer than 107 bytes: choose a shorter folder");
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  struct stat status {};
  if (::lstat(path.c_str(), &status) == 0) {
    if (!S_ISSOCK(status.st_mode)) {
      return make_error(ErrorCode::kAlreadyExists,
                        "'" + path + "' exists and is no socket: remove it");
    }
    if (is_served(address))
      return make_error(ErrorCode::kAlreadyExists, "'" + path + "' is already served");
    ::unlink(path.c_str());
  }
  FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid()) return listen_error(errno, path);
  // The mode of the file is taken from the socket: no moment in which others could connect.
  ::fchmod(socket.get(), S_IRUSR | S_IWUSR);
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      ::chmod(path.c_str(), S_IRUSR | S_IWUSR) != 0 || ::listen(socket.get(), kBacklog) != 0) {
    return listen_error(errno, path);
  }
  return Listener{std::move(socket), 0};
}

std::string peer_name(int socket) {
  sockaddr_storage address{};
  socklen_t length = sizeof(address);
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (getpeername(socket, reinterpret_cast<sockaddr*>(&address), &length) != 0) return "unknown";
  const void* bytes = nullptr;
  if (address.ss_family == AF_INET) {
    bytes = &reinterpret_cast<sockaddr_in*>(&address)->sin_addr;
  } else if (address.ss_family == AF_INET6) {
    bytes = &reinterpret_cast<sockaddr_in6*>(&address)->sin6_addr;
  } else {
    return "unix";
  }
  if (inet_ntop(address.ss_family, bytes, text.data(), text.size()) == nullptr) return "unknown";
  return text.data();
}

}  // namespace knap::http
