#include "stream_socket.hpp"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <thread>
#include <vector>

#include "knap/base/mutex.hpp"
#include "socket_wait.hpp"

namespace knap::http {
namespace {

/// Look-ups of names that hang are left behind; more at once are refused.
constexpr int kMaxLookups = 8;
constexpr std::size_t kMaxAddresses = 8;

class PlainSocket final : public StreamSocket {
 public:
  explicit PlainSocket(FileDescriptor fd) : fd_(std::move(fd)) {}

  Status write(std::string_view bytes, const Patience& patience) override {
    while (!bytes.empty()) {
      const ssize_t count =
          ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (count >= 0) {
        bytes.remove_prefix(static_cast<std::size_t>(count));
      } else if (errno == EAGAIN) {
        KNAP_CHECK_OK(wait_ready(fd_.get(), WaitFor::kWrite, patience));
      } else if (errno != EINTR) {
        return broken();
      }
    }
    return {};
  }

  Result<std::size_t> read(char* into, std::size_t most, const Patience& patience) override {
    for (;;) {
      const ssize_t count = ::recv(fd_.get(), into, most, MSG_DONTWAIT);
      if (count >= 0) return static_cast<std::size_t>(count);
      if (errno == EAGAIN) {
        KNAP_CHECK_OK(wait_ready(fd_.get(), WaitFor::kRead, patience));
      } else if (errno != EINTR) {
        return broken();
      }
    }
  }

  bool is_quiet() override {
    pollfd entry{fd_.get(), POLLIN, 0};
    return ::poll(&entry, 1, 0) == 0;
  }

 private:
  static Error broken() {
    return make_error(ErrorCode::kUnavailable,
                      std::string("the connection broke: ") + std::strerror(errno));
  }
  FileDescriptor fd_;
};

struct Address {
  sockaddr_storage bytes{};
  socklen_t length = 0;
};

/// State shared with a look-up that may outlive its caller.
struct Lookup {
  Mutex mutex;
  CondVar done_signal;
  bool done KNAP_GUARDED_BY(mutex) = false;
  int failure KNAP_GUARDED_BY(mutex) = 0;
  std::vector<Address> found KNAP_GUARDED_BY(mutex);
};

int look_up(const std::string& host, std::uint16_t port, int flags, std::vector<Address>& out) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV | flags;
  addrinfo* found = nullptr;
  const int failure = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (failure != 0) return failure;
  for (const addrinfo* entry = found; entry != nullptr && out.size() < kMaxAddresses;
       entry = entry->ai_next) {
    Address address;
    std::memcpy(&address.bytes, entry->ai_addr, entry->ai_addrlen);
    address.length = entry->ai_addrlen;
    out.push_back(address);
  }
  freeaddrinfo(found);
  return 0;
}

/// getaddrinfo knows no deadline: it runs on a thread of its own and is left behind when time is
/// up.
Result<std::vector<Address>> resolve(const std::string& host, std::uint16_t port,
                                     const Patience& patience) {
  std::vector<Address> addresses;
  if (look_up(host, port, AI_NUMERICHOST, addresses) == 0) return addresses;
  if (host == "localhost" && look_up("127.0.0.1", port, AI_NUMERICHOST, addresses) == 0) {
    look_up("::1", port, AI_NUMERICHOST, addresses);
    return addresses;
  }
  static std::atomic<int> lookups = 0;
  if (lookups.fetch_add(1) >= kMaxLookups) {
    lookups.fetch_sub(1);
    return make_error(ErrorCode::kUnavailable,
                      "too many look-ups of names are hanging: check the name server");
  }
  auto lookup = std::make_shared<Lookup>();
  std::thread([lookup, host, port] {
    std::vector<Address> found;
    const int failure = look_up(host, port, 0, found);
    lookups.fetch_sub(1);
    const MutexLock lock(lookup->mutex);
    lookup->done = true;
    lookup->failure = failure;
    lookup->found = std::move(found);
    lookup->done_signal.notify_all();
  }).detach();
  const MutexLock lock(lookup->mutex);
  while (!lookup->done) {
    KNAP_CHECK_OK(still_wanted(patience.cancel, patience.deadline));
    lookup->done_signal.wait_until(
        lookup->mutex, patience.deadline.earlier(Deadline::after(Patience::kCancelPoll)));
  }
  if (lookup->failure != 0) {
    return make_error(ErrorCode::kUnavailable,
                      "no address of '" + host + "': " + gai_strerror(lookup->failure));
  }
  return lookup->found;
}

Result<FileDescriptor> connect_to(const Address& address, const Patience& patience) {
  FileDescriptor fd(
      ::socket(address.bytes.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid())
    return make_error(ErrorCode::kUnavailable, std::string("no socket: ") + std::strerror(errno));
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address.bytes), address.length) != 0) {
    int failure = errno;
    if (failure == EINPROGRESS) {
      KNAP_CHECK_OK(wait_ready(fd.get(), WaitFor::kWrite, patience));
      socklen_t length = sizeof(failure);
      if (getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &failure, &length) != 0) failure = errno;
    }
    if (failure != 0) return make_error(ErrorCode::kUnavailable, std::strerror(failure));
  }
  const int on = 1;
  setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  return fd;
}

Result<Address> unix_address(const std::string& path) {
  Address address;
  auto* unix_part = reinterpret_cast<sockaddr_un*>(&address.bytes);
  if (path.size() >= sizeof(unix_part->sun_path)) {
    return make_error(ErrorCode::kInvalidArgument, "the socket path is longer than 107 bytes");
  }
  unix_part->sun_family = AF_UNIX;
  std::memcpy(unix_part->sun_path, path.c_str(), path.size() + 1);
  address.length = sizeof(sockaddr_un);
  return address;
}

}  // namespace

Status wait_ready(int fd, WaitFor what, const Patience& patience) {
  for (;;) {
    KNAP_CHECK_OK(still_wanted(patience.cancel, patience.deadline));
    const auto slice = std::min(patience.deadline.remaining_ms() + std::chrono::milliseconds(1),
                                Patience::kCancelPoll);
    pollfd entry{fd, static_cast<short>(what == WaitFor::kRead ? POLLIN : POLLOUT), 0};
    if (::poll(&entry, 1, static_cast<int>(slice.count())) > 0) return {};
  }
}

Result<std::unique_ptr<StreamSocket>> connect(const Endpoint& endpoint,
                                              std::chrono::milliseconds connect_timeout,
                                              const Patience& caller) {
  const Patience patience{caller.deadline.earlier(Deadline::after(connect_timeout)), caller.cancel};
  const std::string where = endpoint.unix_socket.empty()
                                ? endpoint.host + " port " + std::to_string(endpoint.port)
                                : endpoint.unix_socket;
  std::vector<Address> addresses;
  if (endpoint.unix_socket.empty()) {
    KNAP_TRY(addresses, resolve(endpoint.host, endpoint.port, patience));
  } else {
    KNAP_TRY(auto address, unix_address(endpoint.unix_socket));
    addresses.push_back(address);
  }
  Error last = make_error(ErrorCode::kUnavailable, "no address");
  for (const Address& address : addresses) {
    auto fd = connect_to(address, patience);
    if (fd && endpoint.tls) return start_tls(std::move(*fd), endpoint.host, patience);
    if (fd) return std::unique_ptr<StreamSocket>(std::make_unique<PlainSocket>(std::move(*fd)));
    last = std::move(fd).error();
    if (last.code == ErrorCode::kCancelled) return last;
  }
  // Only the connecting ran out of time, not the caller: the server is down or far.
  if (last.code == ErrorCode::kDeadlineExceeded && !caller.deadline.expired())
    last.code = ErrorCode::kUnavailable;
  return with_context(std::move(last), "cannot connect to " + where);
}

}  // namespace knap::http
