#include <array>
#include <charconv>

#include "connection.hpp"
#include "wire.hpp"

namespace knap::http {
namespace {

/// "1a2b\r\n" for a chunk of that many bytes.
std::string chunk_head(std::size_t bytes) {
  std::array<char, 20> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), bytes, 16).ptr;
  return std::string(digits.data(), end) + "\r\n";
}

class ConnectionResponder final : public Responder {
 public:
  ConnectionResponder(std::shared_ptr<Connection> connection, bool head_only, bool http_10,
                      bool keep_alive)
      : connection_(std::move(connection)),
        head_only_(head_only),
        http_10_(http_10),
        keep_alive_(keep_alive) {}

  ~ConnectionResponder() override {
    if (phase_ == Phase::kNew)
      send(problem_response(500, "the request was dropped: a bug, please report it"));
    if (phase_ == Phase::kStreaming) {
      // Without the last chunk the client knows that the answer is not whole.
      connection_->outgoing().fail(
          make_error(ErrorCode::kCancelled, "the response was left unfinished"));
    }
  }

  void send(Response response) override {
    if (phase_ != Phase::kNew) return;
    phase_ = Phase::kDone;
    const std::string head = response_head(response, persistence(response), Framing::kLength);
    const bool with_body = !head_only_ && !is_bodiless(response.status);
    (void)connection_->outgoing().append(
        head, with_body ? std::string_view(response.body) : std::string_view(),
        Outgoing::Part::kLast, Outgoing::WhenFull::kRefuse);
  }

  void begin(Response head) override {
    if (phase_ != Phase::kNew) return;
    phase_ = Phase::kStreaming;
    if (http_10_) keep_alive_ = false;
    const Framing framing = http_10_ ? Framing::kUntilClose : Framing::kChunked;
    (void)append(response_head(head, persistence(head), framing), Outgoing::Part::kMore);
    if (!head.body.empty()) (void)write(head.body);
  }

  Status write(std::string_view chunk) override {
    if (phase_ != Phase::kStreaming)
      return make_error(ErrorCode::kFailedPrecondition, "no response is being streamed");
    if (head_only_ || chunk.empty()) return {};
    if (http_10_) return append(chunk, Outgoing::Part::kMore);
    std::string framed = chunk_head(chunk.size());
    framed.append(chunk).append("\r\n");
    return append(framed, Outgoing::Part::kMore);
  }

  void end() override {
    if (phase_ != Phase::kStreaming) return;
    phase_ = Phase::kDone;
    (void)append(head_only_ || http_10_ ? "" : "0\r\n\r\n", Outgoing::Part::kLast);
  }

 private:
  enum class Phase { kNew, kStreaming, kDone };

  /// What the head says about the connection, which is told to do so.
  Persistence persistence(const Response& response) {
    const auto wish = response.fields.get("Connection");
    if (wish && equals_ignoring_case(*wish, "close")) keep_alive_ = false;
    if (!keep_alive_) connection_->close_after_response();
    return keep_alive_ ? Persistence::kKeepAlive : Persistence::kClose;
  }

  Status append(std::string_view bytes, Outgoing::Part part) {
    // A handler that streams from the I/O thread itself would wait for itself.
    const auto when_full =
        connection_->on_loop_thread() ? Outgoing::WhenFull::kRefuse : Outgoing::WhenFull::kBlock;
    return connection_->outgoing().append(bytes, {}, part, when_full);
  }

  const std::shared_ptr<Connection> connection_;
  const bool head_only_;
  const bool http_10_;
  bool keep_alive_;
  Phase phase_ = Phase::kNew;
};

}  // namespace

std::shared_ptr<Responder> make_responder(std::shared_ptr<Connection> connection, bool head_only,
                                          bool http_10, bool keep_alive) {
  return std::make_shared<ConnectionResponder>(std::move(connection), head_only, http_10,
                                               keep_alive);
}

}  // namespace knap::http
