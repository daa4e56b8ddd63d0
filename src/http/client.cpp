#include "knap/http/client.hpp"

#include <deque>

#include "knap/base/mutex.hpp"
#include "response_parser.hpp"
#include "stream_socket.hpp"

namespace knap::http {
namespace {

constexpr std::size_t kReadBytes = 32U << 10;
/// What a response's head or a chunk's head may hold unparsed.
constexpr std::size_t kMaxUnparsedBytes = 256U << 10;
/// Servers close idle connections; younger ones are worth trying.
constexpr std::chrono::seconds kMaxIdle{30};

struct Pooled {
  std::unique_ptr<StreamSocket> socket;
  SteadyClock::time_point idle_since;
};

bool is_token(std::string_view text) {
  if (text.empty()) return false;
  for (const char c : text) {
    if (c <= ' ' || c >= 0x7f ||
        std::string_view("()<>@,;:\\\"/[]?={}").find(c) != std::string_view::npos) {
      return false;
    }
  }
  return true;
}

bool is_target(std::string_view text) {
  if (text.empty() || text.front() != '/') return false;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) <= ' ' || c == 0x7f) return false;
  }
  return true;
}

std::string host_field(const Endpoint& endpoint) {
  if (!endpoint.unix_socket.empty()) return "localhost";
  std::string host =
      endpoint.host.find(':') == std::string::npos ? endpoint.host : "[" + endpoint.host + "]";
  const std::uint16_t usual = endpoint.tls ? 443 : 80;
  if (endpoint.port != usual) host += ":" + std::to_string(endpoint.port);
  return host;
}

/// The connections of all clients to other machines.
class OutgoingPlaces {
 public:
  Status take(const Patience& patience) KNAP_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    if (in_use_ >= kOutgoingMax) {
      const auto begin = SteadyClock::now();
      Status wanted;
      while (wanted && in_use_ >= kOutgoingMax) {
        freed_.wait_until(mutex_,
                          patience.deadline.earlier(Deadline::after(Patience::kCancelPoll)));
        wanted = still_wanted(patience.cancel, patience.deadline);
      }
      if (record_) record_(SteadyClock::now() - begin);
      KNAP_CHECK_OK(wanted);
    }
    ++in_use_;
    return {};
  }
  void give_back() KNAP_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    --in_use_;
    freed_.notify_one();
  }
  void measure(std::function<void(SteadyClock::duration)> record) KNAP_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    record_ = std::move(record);
  }

 private:
  Mutex mutex_;
  CondVar freed_;
  std::size_t in_use_ KNAP_GUARDED_BY(mutex_) = 0;
  std::function<void(SteadyClock::duration)> record_ KNAP_GUARDED_BY(mutex_);
};

OutgoingPlaces& outgoing() {
  static OutgoingPlaces places;
  return places;
}

class PooledClient final : public Client {
 public:
  PooledClient(Endpoint endpoint, Options options)
      : endpoint_(std::move(endpoint)), options_(options), host_(host_field(endpoint_)) {}

  Result<Response> call(const ClientRequest& request, Deadline deadline,
                        const CancelToken& cancel) override {
    ResponseParser::Options parsing;
    parsing.max_body_bytes = options_.max_body_bytes;
    return exchange(request, std::move(parsing), Patience{deadline, cancel});
  }

  Result<Response> stream(const ClientRequest& request, Deadline deadline,
                          const CancelToken& cancel,
                          const std::function<bool(std::string_view)>& on_chunk) override {
    ResponseParser::Options parsing;
    parsing.on_chunk = on_chunk;
    return exchange(request, std::move(parsing), Patience{deadline, cancel});
  }

 private:
  /// A place among max_connections and kOutgoingMax, given back on destruction.
  class Slot {
   public:
    explicit Slot(PooledClient& owner) : owner_(owner) {}
    ~Slot() { owner_.release(); }
    Slot(const Slot&) = delete;
    Slot& operator=(const Slot&) = delete;

   private:
    PooledClient& owner_;
  };

  enum class Begun { kNo, kYes };

  Result<Response> exchange(const ClientRequest& request, ResponseParser::Options parsing,
                            const Patience& patience) {
    KNAP_TRY(const std::string head, head_of(request));
    parsing.to_head_request = request.method == "HEAD";
    KNAP_CHECK_OK(reserve(patience));
    const Slot slot(*this);
    if (auto kept = take_idle()) {
      Begun begun = Begun::kNo;
      auto response = talk(std::move(kept), head, request.body, parsing, patience, begun);
      const bool stale =
          !response && begun == Begun::kNo && response.error().code == ErrorCode::kUnavailable;
      if (!stale) return response;
    }
    KNAP_TRY(auto socket, connect(endpoint_, options_.connect_timeout, patience));
    Begun begun = Begun::kNo;
    return talk(std::move(socket), head, request.body, parsing, patience, begun);
  }

  Result<std::string> head_of(const ClientRequest& request) const {
    const std::string target = endpoint_.base_path + request.path;
    if (!is_token(request.method)) return make_error(ErrorCode::kInvalidArgument, "not a method");
    if (!is_target(target))
      return make_error(ErrorCode::kInvalidArgument, "the path is not percent-encoded");
    std::string head = request.method + " " + target + " HTTP/1.1\r\n";
    if (!request.fields.get("Host")) head += "Host: " + host_ + "\r\n";
    for (const auto& [name, value] : request.fields.all()) {
      if (!is_token(name)) return make_error(ErrorCode::kInvalidArgument, "not a field name");
      if (equals_ignoring_case(name, "Content-Length") ||
          equals_ignoring_case(name, "Transfer-Encoding"))
        continue;
      head.append(name).append(": ").append(value).append("\r\n");
    }
    const bool has_body =
        !request.body.empty() || request.method == "POST" || request.method == "PUT";
    if (has_body) head += "Content-Length: " + std::to_string(request.body.size()) + "\r\n";
    head += "\r\n";
    return head;
  }

  Result<Response> talk(std::unique_ptr<StreamSocket> socket, const std::string& head,
                        const std::string& body, const ResponseParser::Options& parsing,
                        const Patience& patience, Begun& begun) {
    // Small requests leave in one segment.
    const bool joined = body.size() <= kReadBytes;
    Status written = socket->write(joined ? head + body : head, patience);
    if (written && !joined) written = socket->write(body, patience);
    // A server may refuse before it has read all: its answer is worth more than the broken pipe.
    if (!written && written.error().code != ErrorCode::kUnavailable)
      return std::move(written).error();
    ResponseParser parser(parsing);
    std::string input;
    for (;;) {
      const std::size_t before = input.size();
      input.resize(before + kReadBytes);
      auto count = socket->read(input.data() + before, kReadBytes, patience);
      if (!count) return std::move(count).error();
      input.resize(before + *count);
      ResponseParser::State state = ResponseParser::State::kNeedMore;
      if (*count == 0) {
        if (begun == Begun::kNo) {
          return make_error(ErrorCode::kUnavailable,
                            "the server closed the connection without an answer");
        }
        state = parser.end_of_input();
        if (state == ResponseParser::State::kMalformed) {
          return make_error(ErrorCode::kUnavailable,
                            "the server closed the connection within its answer");
        }
      } else {
        begun = Begun::kYes;
        std::size_t consumed = 0;
        state = parser.feed(input, consumed);
        input.erase(0, consumed);
      }
      if (state == ResponseParser::State::kNeedMore) {
        if (input.size() < kMaxUnparsedBytes) continue;
        state = ResponseParser::State::kMalformed;
      }
      return conclude(state, parser, std::move(socket), *count > 0 && input.empty());
    }
  }

  Result<Response> conclude(ResponseParser::State state, ResponseParser& parser,
                            std::unique_ptr<StreamSocket> socket, bool reusable) {
    switch (state) {
      case ResponseParser::State::kDone:
        if (reusable && parser.keep_alive()) give_idle(std::move(socket));
        return parser.take();
      case ResponseParser::State::kStopped:
        return make_error(ErrorCode::kCancelled, "the receiver wanted no more");
      case ResponseParser::State::kTooLarge:
        return make_error(
            ErrorCode::kResourceExhausted,
            "the answer is larger than " + std::to_string(options_.max_body_bytes) + " bytes");
      case ResponseParser::State::kNeedMore:
      case ResponseParser::State::kMalformed: break;
    }
    return make_error(ErrorCode::kCorruptData, "the server's answer is not HTTP");
  }

  Status reserve(const Patience& patience) KNAP_EXCLUDES(mutex_) {
    KNAP_CHECK_OK(enter(patience));
    if (!endpoint_.unix_socket.empty()) return {};
    // Without the lock: who holds one of those places may need it to give the place back.
    Status placed = outgoing().take(patience);
    if (!placed) leave();
    return placed;
  }

  Status enter(const Patience& patience) KNAP_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    while (in_use_ >= options_.max_connections) {
      KNAP_CHECK_OK(still_wanted(patience.cancel, patience.deadline));
      freed_.wait_until(mutex_, patience.deadline.earlier(Deadline::after(Patience::kCancelPoll)));
    }
    KNAP_CHECK_OK(still_wanted(patience.cancel, patience.deadline));
    ++in_use_;
    return {};
  }

  void release() KNAP_EXCLUDES(mutex_) {
    if (endpoint_.unix_socket.empty()) outgoing().give_back();
    leave();
  }

  void leave() KNAP_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    --in_use_;
    freed_.notify_one();
  }

  std::unique_ptr<StreamSocket> take_idle() KNAP_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    const auto oldest = SteadyClock::now() - kMaxIdle;
    while (!idle_.empty()) {
      Pooled pooled = std::move(idle_.back());
      idle_.pop_back();
      if (pooled.idle_since >= oldest && pooled.socket->is_quiet()) return std::move(pooled.socket);
    }
    return nullptr;
  }

  void give_idle(std::unique_ptr<StreamSocket> socket) KNAP_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    const auto oldest = SteadyClock::now() - kMaxIdle;
    while (!idle_.empty() &&
           (idle_.front().idle_since < oldest || idle_.size() >= options_.max_connections)) {
      idle_.pop_front();
    }
    idle_.push_back({std::move(socket), SteadyClock::now()});
  }

  const Endpoint endpoint_;
  const Options options_;
  const std::string host_;
  Mutex mutex_;
  CondVar freed_;
  std::size_t in_use_ KNAP_GUARDED_BY(mutex_) = 0;
  std::deque<Pooled> idle_ KNAP_GUARDED_BY(mutex_);
};

}  // namespace

void measure_outgoing_waits(std::function<void(SteadyClock::duration)> record) {
  outgoing().measure(std::move(record));
}

std::unique_ptr<Client> Client::create(Endpoint endpoint, Options options) {
  return std::make_unique<PooledClient>(std::move(endpoint), options);
}

}  // namespace knap::http
