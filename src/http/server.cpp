#include "knap/http/server.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <thread>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "connection.hpp"
#include "listen.hpp"

namespace knap::http {
namespace {

namespace asio = boost::asio;
using AsioError = boost::system::error_code;

/// Beyond max_connections, this many at once are told 503; more are closed without a word.
constexpr std::size_t kMaxTurnedAway = 64;
constexpr int kAcceptsAtOnce = 64;
constexpr std::chrono::milliseconds kAcceptBackOff{100};
constexpr std::chrono::milliseconds kSweepMin{10};
constexpr std::chrono::milliseconds kSweepMax{500};

class AsioServer final : public Server {
 public:
  AsioServer(Options options, Handler handler, Listener listener)
      : state_(std::make_shared<ServerState>()),
        port_(listener.port),
        loops_(make_loops(options.io_threads)) {
    state_->options = std::move(options);
    state_->handler = std::move(handler);
    acceptor_ = std::make_unique<asio::posix::stream_descriptor>(loops_.front()->context,
                                                                 listener.socket.release());
    remember_socket_file();
  }

  ~AsioServer() override { stop(std::chrono::milliseconds(0)); }

  void run() {
    asio::co_spawn(loops_.front()->context, accept(), asio::detached);
    for (const auto& loop : loops_) {
      asio::co_spawn(loop->context, sweep(loop), asio::detached);
      threads_.emplace_back([loop] {
        pthread_setname_np(pthread_self(), "knap-http");
        loop->context.run();
      });
    }
  }

  std::uint16_t port() const override { return port_; }
  std::size_t connections() const override { return state_->connections.load(); }

  void stop(std::chrono::milliseconds grace) override {
    const MutexLock stop_lock(stop_mutex_);
    if (stopped_) return;
    stopped_ = true;
    state_->stopping.store(true);
    remove_socket_file();
    asio::post(loops_.front()->context, [this] {
      AsioError error;
      acceptor_->close(error);
      accept_pause_.cancel();
    });
    for_each_connection(&Connection::begin_stop);
    if (!wait_until_empty(Deadline::after(grace))) {
      for_each_connection(&Connection::abort);
      wait_until_empty(Deadline::never());
    }
    for (const auto& loop : loops_) {
      asio::post(loop->context, [loop] {
        loop->sweep.cancel();
        loop->work.reset();
      });
    }
    for (std::thread& thread : threads_) thread.join();
  }

 private:
  static std::vector<std::shared_ptr<Loop>> make_loops(std::size_t count) {
    std::vector<std::shared_ptr<Loop>> loops;
    for (std::size_t i = 0; i < std::max<std::size_t>(count, 1); ++i)
      loops.push_back(std::make_shared<Loop>());
    return loops;
  }

  template <typename Method>
  void for_each_connection(Method method) {
    for (const auto& loop : loops_) {
      asio::post(loop->context, [loop, method] {
        // Aborting may end a connection, which takes it out of the set.
        const std::vector<Connection*> all(loop->connections.begin(), loop->connections.end());
        for (Connection* connection : all) (connection->*method)();
      });
    }
  }

  /// False when the deadline passed first. Connections that were being set up meanwhile end by
  /// themselves.
  bool wait_until_empty(Deadline deadline) {
    const MutexLock lock(state_->mutex);
    while (state_->connections.load() > 0) {
      if (!state_->changed.wait_until(state_->mutex, deadline) && deadline.expired()) {
        return state_->connections.load() == 0;
      }
    }
    return true;
  }

  asio::awaitable<void> accept() {
    while (!state_->stopping.load()) {
      AsioError error;
      co_await acceptor_->async_wait(asio::posix::stream_descriptor::wait_read,
                                     asio::redirect_error(asio::use_awaitable, error));
      if (error || state_->stopping.load()) continue;
      for (int i = 0; i < kAcceptsAtOnce; ++i) {
        const int socket =
            ::accept4(acceptor_->native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (socket >= 0) {
          take(FileDescriptor(socket));
          continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
          // The listening socket stays readable: without a pause this would spin until a descriptor
          // is free.
          accept_pause_.expires_after(kAcceptBackOff);
          co_await accept_pause_.async_wait(asio::redirect_error(asio::use_awaitable, error));
        }
        break;
      }
    }
  }

  void take(FileDescriptor fd) {
    const std::size_t count = state_->connections.fetch_add(1) + 1;
    const std::size_t most = state_->options.max_connections;
    if (count > most + kMaxTurnedAway) {
      release_connection(state_);
      return;
    }
    const int on = 1;
    setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on,
               sizeof(on));  // Fails on Unix sockets, which have no delay.
    const auto loop = loops_[next_loop_++ % loops_.size()];
    std::string peer = peer_name(fd.get());
    const int family = peer == "unix" ? AF_UNIX : AF_INET;
    AsioError error;
    Connection::Socket socket(loop->context);
    socket.assign(asio::generic::stream_protocol(family, 0), fd.get(), error);
    if (error) {
      release_connection(state_);
      return;
    }
    (void)fd.release();
    auto connection =
        std::make_shared<Connection>(loop, state_, std::move(socket), std::move(peer));
    asio::co_spawn(
        loop->context, count > most ? connection->turn_away() : connection->run(),
        [state = state_, connection](const std::exception_ptr&) { release_connection(state); });
  }

  static void release_connection(const std::shared_ptr<ServerState>& state) {
    const MutexLock lock(state->mutex);
    state->connections.fetch_sub(1);
    state->changed.notify_all();
  }

  asio::awaitable<void> sweep(std::shared_ptr<Loop> loop) {
    const Options& options = state_->options;
    const auto shortest = std::min({options.header_timeout, options.body_timeout,
                                    options.idle_timeout, options.write_timeout});
    const auto interval = std::clamp(shortest / 8, kSweepMin, kSweepMax);
    for (;;) {
      AsioError error;
      loop->sweep.expires_after(interval);
      co_await loop->sweep.async_wait(asio::redirect_error(asio::use_awaitable, error));
      if (error) co_return;
      const auto now = SteadyClock::now();
      for (Connection* connection : loop->connections) connection->check_deadlines(now);
    }
  }

  void remember_socket_file() {
    const std::string& path = state_->options.unix_socket;
    if (!path.empty() && ::lstat(path.c_str(), &socket_file_) != 0) socket_file_ = {};
  }

  /// Only the file we made: another server may have taken the path over.
  void remove_socket_file() const {
    const std::string& path = state_->options.unix_socket;
    struct stat now {};
    if (path.empty() || ::lstat(path.c_str(), &now) != 0) return;
    if (now.st_ino == socket_file_.st_ino && now.st_dev == socket_file_.st_dev)
      ::unlink(path.c_str());
  }

  const std::shared_ptr<ServerState> state_;
  const std::uint16_t port_;
  const std::vector<std::shared_ptr<Loop>> loops_;
  std::unique_ptr<asio::posix::stream_descriptor> acceptor_;
  asio::steady_timer accept_pause_{loops_.front()->context};
  struct stat socket_file_ {};
  std::size_t next_loop_ = 0;
  std::vector<std::thread> threads_;
  Mutex stop_mutex_;
  bool stopped_ KNAP_GUARDED_BY(stop_mutex_) = false;
};

}  // namespace

Result<std::unique_ptr<Server>> Server::start(Options options, Handler handler) {
  if (!handler) return make_error(ErrorCode::kInvalidArgument, "a server needs a handler");
  KNAP_TRY(auto listener, options.unix_socket.empty() ? listen_tcp(options.host, options.port)
                                                      : listen_unix(options.unix_socket));
  try {
    auto server =
        std::make_unique<AsioServer>(std::move(options), std::move(handler), std::move(listener));
    server->run();
    return std::unique_ptr<Server>(std::move(server));
  } catch (const std::exception& error) {
    return make_error(ErrorCode::kIo, std::string("cannot start the HTTP server: ") + error.what());
  }
}

}  // namespace knap::http
