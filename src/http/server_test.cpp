#include "knap/http/server.hpp"

#include <sys/stat.h>
#include <sys/un.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <future>
#include <string>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "knap/base/thread_pool.hpp"
#include "knap/http/client.hpp"
#include "raw_socket.hpp"

namespace knap::http {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

std::unique_ptr<Server> start(Handler handler, Server::Options options = {}) {
  auto server = Server::start(std::move(options), std::move(handler));
  EXPECT_TRUE(server.has_value());
  return server ? std::move(*server) : nullptr;
}

/// Answers with what it got: method, path, body.
void echo(const std::shared_ptr<const Request>& request,
          const std::shared_ptr<Responder>& responder) {
  responder->send(
      Response::text(200, request->method + " " + request->path + " [" + request->body + "]"));
}

Server::Options quick_options() {
  Server::Options options;
  options.header_timeout = milliseconds(150);
  options.body_timeout = milliseconds(150);
  options.idle_timeout = milliseconds(150);
  options.write_timeout = milliseconds(200);
  return options;
}

constexpr std::string_view kGet = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";

TEST(Server, KeepsTheConnectionForTheNextRequest) {
  const auto server = start(echo);
  RawSocket socket(server->port());
  ASSERT_TRUE(socket.send(kGet));
  const std::string first = socket.read_until("[]");
  EXPECT_THAT(first, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(first, HasSubstr("Content-Length: 9\r\n"));
  EXPECT_THAT(first, HasSubstr("Date: "));
  ASSERT_TRUE(socket.send("POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"));
  EXPECT_THAT(socket.read_until("[abc]"), HasSubstr("POST /b [abc]"));
  EXPECT_EQ(server->connections(), 1U);
}

TEST(Server, AnswersPipelinedRequestsInOrder) {
  ThreadPool pool({"test", 4, 64});
  const auto server = start([&](auto request, auto responder) {
    ASSERT_TRUE(pool.submit([request, responder] { echo(request, responder); }).has_value());
  });
  RawSocket socket(server->port());
  std::string all;
  for (int i = 0; i < 50; ++i) {
    all += "POST /" + std::to_string(i) + " HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nz";
  }
  ASSERT_TRUE(socket.send(all));
  const std::string seen = socket.read_until("POST /49 [z]");
  std::size_t at = 0;
  for (int i = 0; i < 50; ++i) {
    at = seen.find("POST /" + std::to_string(i) + " [z]", at);
    ASSERT_NE(at, std::string::npos) << i;
  }
}

TEST(Server, ClosesWhenAsked) {
  const auto server = start(echo);
  RawSocket socket(server->port());
  ASSERT_TRUE(socket.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
  EXPECT_THAT(socket.read_to_end(), HasSubstr("Connection: close"));
  EXPECT_TRUE(socket.closed());
}

TEST(Server, ServesHttp10AndClosesAfterIt) {
  const auto server = start(echo);
  RawSocket socket(server->port());
  ASSERT_TRUE(socket.send("GET /old HTTP/1.0\r\n\r\n"));
  EXPECT_THAT(socket.read_to_end(), HasSubstr("GET /old []"));
  EXPECT_TRUE(socket.closed());
}

TEST(Server, AnswersHeadWithoutBody) {
  const auto server = start(echo);
  RawSocket socket(server->port());
  ASSERT_TRUE(socket.send("HEAD /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
  const std::string seen = socket.read_to_end();
  EXPECT_THAT(seen, HasSubstr("Content-Length: 10\r\n"));
  EXPECT_TRUE(seen.ends_with("\r\n\r\n"));
}

TEST(Server, DecodesPathAndQuery) {
  const auto server = start([](auto request, auto responder) {
    responder->send(Response::text(
        200, request->path + "|" + std::string(request->parameter("q").value_or("none"))));
  });
  RawSocket socket(server->port());
  ASSERT_TRUE(
      socket.send("GET /notes/B%C3%BCcher%2Fa.md?x=1&q=a+b%26 HTTP/1.1\r\nHost: x\r\n\r\n"));
  EXPECT_THAT(socket.read_until("b&"), HasSubstr("/notes/Bücher/a.md|a b&"));
}

/// What each malformed request gets. None reaches the handler.
TEST(Server, RefusesMalformedRequests) {
  std::atomic<int> handled = 0;
  const auto server = start([&](auto request, auto responder) {
    ++handled;
    echo(request, responder);
  });
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"not http\r\n\r\n", "400"},
      {"GET / HTTP/1.1\r\n\r\n", "400"},
      {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"},
      {"GET /%FF HTTP/1.1\r\nHost: x\r\n\r\n", "400"},
      {"GET /%2 HTTP/1.1\r\nHost: x\r\n\r\n", "400"},
      {"GET /%00 HTTP/1.1\r\nHost: x\r\n\r\n", "400"},
      {"GET /a?b=%C3 HTTP/1.1\r\nHost: x\r\n\r\n", "400"},
      {"GET noslash HTTP/1.1\r\nHost: x\r\n\r\n", "400"},
      {"get / HTTP/1.1\r\nHost: x\r\n\r\n", "400"},
      {"GET / HTTP/9.9\r\nHost: x\r\n\r\n", "400"},
      {"GET / HTTP/1.1\r\nHost : x\r\n\r\n", "400"},
      {"GET / HTTP/1.1\r\nHost: x\r\nBad name: 1\r\n\r\n", "400"},
      {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", "400"},
      {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1x\r\n\r\nz", "400"},
      {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "400"},
      {std::string("GET / HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n", 38), "400"},
  };
  for (const auto& [bytes, status] : cases) {
    RawSocket socket(server->port());
    ASSERT_TRUE(socket.send(bytes));
    const std::string seen = socket.read_to_end();
    EXPECT_THAT(seen, StartsWith("HTTP/1.1 " + status)) << bytes;
    EXPECT_THAT(seen, HasSubstr("application/problem+json")) << bytes;
    EXPECT_THAT(seen, HasSubstr("request_id")) << bytes;
    EXPECT_TRUE(socket.closed()) << bytes;
  }
  EXPECT_EQ(handled.load(), 0);
}

/// Two readings of one message's length let a second request hide in the first one's body.
TEST(Server, RefusesRequestSmuggling) {
  std::atomic<int> handled = 0;
  const auto server = start([&](auto request, auto responder) {
    ++handled;
    echo(request, responder);
  });
  const std::string hidden = "GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n";
  for (const std::string fields : {
           "Content-Length: 5\r\nContent-Length: 6\r\n",
           "Content-Length: 5, 6\r\n",
           "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
           "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
           "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
           "Transfer-Encoding: chunked, identity\r\n",
           "Transfer-Encoding: identity\r\n",
           "Transfer-Encoding: xchunked\r\n",
           "Transfer-Encoding : chunked\r\n",
           "Transfer-Encoding: gzip, chunked\r\n",
       }) {
    RawSocket socket(server->port());
    ASSERT_TRUE(socket.send("POST / HTTP/1.1\r\nHost: x\r\n" + fields + "\r\n0\r\n\r\n" + hidden));
    const std::string seen = socket.read_to_end();
    EXPECT_THAT(seen, StartsWith("HTTP/1.1 400")) << fields;
    EXPECT_THAT(seen, Not(HasSubstr("hidden"))) << fields;
  }
  RawSocket old(server->port());
  ASSERT_TRUE(old.send("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden));
  EXPECT_THAT(old.read_to_end(), StartsWith("HTTP/1.1 400"));
  EXPECT_EQ(handled.load(), 0);
}

TEST(Server, ReadsChunkedBodies) {
  const auto server = start(echo);
  RawSocket socket(server->port());
  ASSERT_TRUE(socket.send(
      "POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;ext=1\r\nabc\r\n"));
  ASSERT_TRUE(socket.send("2\r\nde\r\n0\r\nTrailer: t\r\n\r\n"));
  EXPECT_THAT(socket.read_until("]"), HasSubstr("[abcde]"));
}

TEST(Server, SaysContinueToSendersThatWait) {
  const auto server = start(echo);
  RawSocket socket(server->port());
  ASSERT_TRUE(socket.send(
      "POST /e HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"));
  EXPECT_THAT(socket.read_until("\r\n\r\n"), StartsWith("HTTP/1.1 100 Continue"));
  ASSERT_TRUE(socket.send("ok"));
  EXPECT_THAT(socket.read_until("]"), HasSubstr("[ok]"));
}

TEST(Server, RefusesLargeBodiesBeforeTheyAreSent) {
  Server::Options options;
  options.max_body_bytes = 1000;
  const auto server = start(echo, options);
  RawSocket announced(server->port());
  ASSERT_TRUE(announced.send(
      "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1001\r\n\r\n"));
  EXPECT_THAT(announced.read_to_end(), StartsWith("HTTP/1.1 413"));
  RawSocket chunked(server->port());
  ASSERT_TRUE(
      chunked.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n" +
                   std::string(2000, 'x') + "\r\n0\r\n\r\n"));
  EXPECT_THAT(chunked.read_to_end(), StartsWith("HTTP/1.1 413"));
  RawSocket fits(server->port());
  ASSERT_TRUE(fits.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" +
                        std::string(1000, 'x')));
  EXPECT_THAT(fits.read_until("]"), StartsWith("HTTP/1.1 200"));
}

TEST(Server, AnswersARefusedSenderThatKeepsSending) {
  Server::Options options;
  options.max_body_bytes = 1000;
  const auto server = start(echo, options);
  RawSocket socket(server->port());
  ASSERT_TRUE(socket.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8000000\r\n\r\n"));
  const std::string part(100'000, 'x');
  for (int i = 0; i < 80 && socket.send(part); ++i) {
  }
  EXPECT_THAT(socket.read_until("\r\n\r\n"), StartsWith("HTTP/1.1 413"));
}

TEST(Server, RefusesLargeHeaders) {
  const auto server = start(echo);
  RawSocket one(server->port());
  ASSERT_TRUE(
      one.send("GET / HTTP/1.1\r\nHost: x\r\nLong: " + std::string(40'000, 'x') + "\r\n\r\n"));
  EXPECT_THAT(one.read_to_end(), StartsWith("HTTP/1.1 431"));
  RawSocket target(server->port());
  ASSERT_TRUE(target.send("GET /" + std::string(40'000, 'x') + " HTTP/1.1\r\nHost: x\r\n\r\n"));
  EXPECT_THAT(target.read_to_end(), StartsWith("HTTP/1.1 431"));
}

TEST(Server, RefusesSlowSenders) {
  const auto server = start(echo, quick_options());
  RawSocket header(server->port());
  ASSERT_TRUE(header.send("GET / HTTP/1.1\r\nHo"));
  EXPECT_THAT(header.read_to_end(), StartsWith("HTTP/1.1 408"));
  RawSocket body(server->port());
  ASSERT_TRUE(body.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc"));
  EXPECT_THAT(body.read_to_end(), StartsWith("HTTP/1.1 408"));
  RawSocket idle(server->port());
  EXPECT_EQ(idle.read_to_end(), "");
  EXPECT_TRUE(idle.closed());
}

TEST(Server, ClosesIdleConnectionsAfterAnAnswerGivenByAnotherThread) {
  ThreadPool pool({"test", 1, 8});
  const auto server = start(
      [&](auto request, auto responder) {
        ASSERT_TRUE(pool.submit([request, responder] { echo(request, responder); }).has_value());
      },
      quick_options());
  RawSocket socket(server->port());
  ASSERT_TRUE(socket.send(kGet));
  EXPECT_THAT(socket.read_to_end(), HasSubstr("GET /a"));
  EXPECT_TRUE(socket.closed());
}

TEST(Server, TurnsConnectionsAwayOverTheLimit) {
  Server::Options options;
  options.max_connections = 2;
  const auto server = start(echo, options);
  RawSocket a(server->port());
  RawSocket b(server->port());
  ASSERT_TRUE(a.send(kGet));
  ASSERT_TRUE(b.send(kGet));
  a.read_until("[]");
  b.read_until("[]");
  RawSocket c(server->port());
  const std::string seen = c.read_to_end();
  EXPECT_THAT(seen, StartsWith("HTTP/1.1 503"));
  EXPECT_THAT(seen, HasSubstr("Retry-After: 1"));
  ASSERT_TRUE(a.send(kGet));
  EXPECT_THAT(a.read_until("[]"), StartsWith("HTTP/1.1 200"));
}

TEST(Server, CancelsTheRequestWhenTheClientGoes) {
  std::promise<std::shared_ptr<const Request>> got;
  std::shared_ptr<Responder> kept;
  const auto server = start([&](auto request, auto responder) {
    kept = responder;
    got.set_value(request);
  });
  auto socket = std::make_unique<RawSocket>(server->port());
  ASSERT_TRUE(socket->send(kGet));
  const auto request = got.get_future().get();
  EXPECT_FALSE(request->cancel.cancelled());
  socket.reset();
  const Deadline patience = Deadline::after(std::chrono::seconds(5));
  while (!request->cancel.cancelled() && !patience.expired()) std::this_thread::yield();
  EXPECT_TRUE(request->cancel.cancelled());
  kept.reset();
}

TEST(Server, AnswersAClientThatClosedOnlyItsSendingHalf) {
  ThreadPool pool({"test", 1, 8});
  const auto server = start([&](auto request, auto responder) {
    ASSERT_TRUE(pool.submit([request, responder] {
                      const Deadline patience = Deadline::after(std::chrono::seconds(5));
                      while (!request->cancel.cancelled() && !patience.expired())
                        std::this_thread::yield();
                      echo(request, responder);
                    })
                    .has_value());
  });
  RawSocket socket(server->port());
  ASSERT_TRUE(socket.send(kGet));
  socket.end_sending();
  EXPECT_THAT(socket.read_to_end(), HasSubstr("GET /a []"));
}

TEST(Server, StreamsChunks) {
  ThreadPool pool({"test", 1, 8});
  const auto server = start([&](auto, auto responder) {
    ASSERT_TRUE(pool.submit([responder] {
                      Response head = Response::text(200, "", "text/event-stream");
                      responder->begin(head);
                      EXPECT_TRUE(responder->write("one").has_value());
                      EXPECT_TRUE(responder->write("").has_value());
                      EXPECT_TRUE(responder->write("two").has_value());
                      responder->end();
                    })
                    .has_value());
  });
  RawSocket socket(server->port());
  ASSERT_TRUE(socket.send(kGet));
  const std::string seen = socket.read_until("0\r\n\r\n");
  EXPECT_THAT(seen, HasSubstr("Transfer-Encoding: chunked"));
  EXPECT_THAT(seen, HasSubstr("3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"));
  ASSERT_TRUE(socket.send(kGet));
  EXPECT_THAT(socket.read_until("0\r\n\r\n"), HasSubstr("two"));
}

TEST(Server, HoldsWritersBackAndCutsClientsThatDoNotRead) {
  ThreadPool pool({"test", 1, 8});
  std::promise<ErrorCode> outcome;
  std::atomic<std::uint64_t> accepted = 0;
  const auto server = start(
      [&](auto, auto responder) {
        ASSERT_TRUE(pool.submit([&, responder] {
                          responder->begin(Response::text(200, ""));
                          const std::string chunk(64 << 10, 'x');
                          for (;;) {
                            const Status status = responder->write(chunk);
                            if (!status) return outcome.set_value(status.error().code);
                            accepted += chunk.size();
                          }
                        })
                        .has_value());
      },
      quick_options());
  RawSocket socket(server->port());
  ASSERT_TRUE(socket.send(kGet));
  EXPECT_EQ(outcome.get_future().get(), ErrorCode::kDeadlineExceeded);
  EXPECT_LT(accepted.load(), 64U << 20);
}

TEST(Server, StreamEndsWithCancelledWhenTheClientGoes) {
  ThreadPool pool({"test", 1, 8});
  std::promise<ErrorCode> outcome;
  const auto server = start([&](auto, auto responder) {
    ASSERT_TRUE(pool.submit([&, responder] {
                      responder->begin(Response::text(200, ""));
                      for (;;) {
                        const Status status = responder->write("tick");
                        if (!status) return outcome.set_value(status.error().code);
                        std::this_thread::yield();
                      }
                    })
                    .has_value());
  });
  auto socket = std::make_unique<RawSocket>(server->port());
  ASSERT_TRUE(socket->send(kGet));
  socket->read_until("tick");
  socket.reset();
  EXPECT_EQ(outcome.get_future().get(), ErrorCode::kCancelled);
}

TEST(Server, DroppedResponderAnswers500AndUnfinishedStreamBreaksOff) {
  const auto server = start([](auto request, auto responder) {
    if (request->path == "/drop") return;
    responder->begin(Response::text(200, ""));
    (void)responder->write("part");
  });
  RawSocket dropped(server->port());
  ASSERT_TRUE(dropped.send("GET /drop HTTP/1.1\r\nHost: x\r\n\r\n"));
  EXPECT_THAT(dropped.read_until("}"), StartsWith("HTTP/1.1 500"));
  RawSocket cut(server->port());
  ASSERT_TRUE(cut.send(kGet));
  const std::string seen = cut.read_to_end();
  EXPECT_TRUE(cut.closed());
  EXPECT_THAT(seen, HasSubstr("part"));
  EXPECT_THAT(seen, Not(HasSubstr("\r\n0\r\n")));
}

TEST(Server, StopLetsRequestsUnderWayEndAndClosesIdleOnes) {
  std::promise<std::shared_ptr<Responder>> got;
  const auto server = start([&](auto, auto responder) { got.set_value(responder); });
  RawSocket busy(server->port());
  RawSocket idle(server->port());
  ASSERT_TRUE(busy.send(kGet));
  auto responder = got.get_future().get();
  auto stopped = std::async(std::launch::async, [&] { server->stop(std::chrono::seconds(10)); });
  EXPECT_EQ(idle.read_to_end(), "");
  EXPECT_TRUE(idle.closed());
  responder->send(Response::text(200, "last"));
  responder.reset();
  EXPECT_THAT(busy.read_to_end(), HasSubstr("last"));
  stopped.get();
  EXPECT_EQ(server->connections(), 0U);
  EXPECT_FALSE(RawSocket(server->port()).connected());
}

TEST(Server, StopCancelsAfterTheGrace) {
  std::promise<std::pair<std::shared_ptr<const Request>, std::shared_ptr<Responder>>> got;
  const auto server = start([&](auto request, auto responder) {
    got.set_value({request, responder});
  });
  RawSocket busy(server->port());
  ASSERT_TRUE(busy.send(kGet));
  auto [request, responder] = got.get_future().get();
  server->stop(milliseconds(30));
  EXPECT_TRUE(request->cancel.cancelled());
  responder->send(Response::text(200, "too late"));
  EXPECT_EQ(busy.read_to_end(), "");
}

TEST(Server, SaysWhichAddressIsTaken) {
  const auto server = start(echo);
  Server::Options options;
  options.port = server->port();
  const auto second = Server::start(options, echo);
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().code, ErrorCode::kAlreadyExists);
  EXPECT_THAT(second.error().message, HasSubstr(std::to_string(server->port())));
  options.host = "203.0.113.7";
  const auto elsewhere = Server::start(options, echo);
  ASSERT_FALSE(elsewhere.has_value());
  EXPECT_EQ(elsewhere.error().code, ErrorCode::kInvalidArgument);
}

class UnixServer : public testing::Test {
 protected:
  UnixServer()
      : path_(std::filesystem::path(testing::TempDir()) /
              ("knap-http-" + std::to_string(getpid()))) {
    options_.unix_socket = path_;
  }
  ~UnixServer() override { std::filesystem::remove(path_); }
  std::string path_;
  Server::Options options_;
};

TEST_F(UnixServer, ServesAPrivateSocketAndRemovesIt) {
  auto server = start(echo, options_);
  struct stat status {};
  ASSERT_EQ(::stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
  Endpoint endpoint;
  endpoint.unix_socket = path_;
  const auto client = Client::create(endpoint, {});
  const auto response =
      client->call({"GET", "/u", {}, ""}, Deadline::after(std::chrono::seconds(5)), {});
  ASSERT_TRUE(response.has_value());
  EXPECT_EQ(response->body, "GET /u []");
  const auto second = Server::start(options_, echo);
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().code, ErrorCode::kAlreadyExists);
  server.reset();
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(UnixServer, ReplacesAStaleSocketButNoOtherFile) {
  {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof(address.sun_path) - 1);
    ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    ::close(fd);
  }
  ASSERT_TRUE(std::filesystem::exists(path_));
  start(echo, options_).reset();
  std::ofstream(path_) << "mine";
  const auto refused = Server::start(options_, echo);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kAlreadyExists);
  EXPECT_TRUE(std::filesystem::exists(path_));
  options_.unix_socket = "/" + std::string(200, 'x');
  EXPECT_EQ(Server::start(options_, echo).error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace knap::http
