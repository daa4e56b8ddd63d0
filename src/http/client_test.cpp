#include "knap/http/client.hpp"

#include <atomic>
#include <mutex>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "knap/base/thread_pool.hpp"
#include "knap/http/server.hpp"

namespace knap::http {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

Deadline soon() { return Deadline::after(std::chrono::seconds(10)); }

class ClientTest : public testing::Test {
 protected:
  void serve(Handler handler) {
    auto server = Server::start({}, std::move(handler));
    ASSERT_TRUE(server.has_value());
    server_ = std::move(*server);
  }
  std::unique_ptr<Client> client(Client::Options options = {}, std::string base = "") {
    Endpoint endpoint;
    endpoint.port = server_->port();
    endpoint.base_path = std::move(base);
    return Client::create(endpoint, options);
  }
  ThreadPool pool_{{"test", 4, 64}};
  std::unique_ptr<Server> server_;
};

void echo(const std::shared_ptr<const Request>& request,
          const std::shared_ptr<Responder>& responder) {
  responder->send(Response::text(200, request->method + " " + request->path + " " + request->body));
}

TEST_F(ClientTest, CallsOverOneKeptConnection) {
  serve(echo);
  const auto client = this->client({}, "/v1");
  for (int i = 0; i < 20; ++i) {
    const auto response = client->call({"POST", "/x", {}, std::to_string(i)}, soon(), {});
    ASSERT_TRUE(response.has_value());
    EXPECT_EQ(response->status, 200);
    EXPECT_EQ(response->body, "POST /v1/x " + std::to_string(i));
  }
  EXPECT_EQ(server_->connections(), 1U);
}

TEST_F(ClientTest, CarriesLargeBodiesBothWays) {
  serve(echo);
  std::string body;
  body.resize(20U << 20, 'b');
  const auto response = client()->call({"POST", "/", {}, body}, soon(), {});
  ASSERT_TRUE(response.has_value());
  EXPECT_EQ(response->body.size(), body.size() + 7);
}

TEST_F(ClientTest, RefusesAnswersOverTheLimit) {
  serve([](auto, auto responder) { responder->send(Response::text(200, std::string(2000, 'x'))); });
  Client::Options options;
  options.max_body_bytes = 1999;
  const auto response = client(options)->call({}, soon(), {});
  ASSERT_FALSE(response.has_value());
  EXPECT_EQ(response.error().code, ErrorCode::kResourceExhausted);
}

TEST_F(ClientTest, TriesAgainWhenAKeptConnectionWasClosed) {
  serve(echo);
  const auto client = this->client();
  ASSERT_TRUE(client->call({}, soon(), {}).has_value());
  const std::uint16_t port = server_->port();
  server_.reset();
  Server::Options options;
  options.port = port;
  auto again = Server::start(options, echo);
  ASSERT_TRUE(again.has_value()) << again.error().message;
  EXPECT_TRUE(client->call({}, soon(), {}).has_value());
}

TEST_F(ClientTest, StreamsPiecesAsTheyCome) {
  std::atomic<bool> first_seen = false;
  serve([&](auto, auto responder) {
    ASSERT_TRUE(pool_
                    .submit([&, responder] {
                      responder->begin(Response::text(200, ""));
                      (void)responder->write("first");
                      const Deadline patience = soon();
                      while (!first_seen.load() && !patience.expired()) std::this_thread::yield();
                      (void)responder->write("second");
                      responder->end();
                    })
                    .has_value());
  });
  std::string all;
  const auto response = client()->stream({}, soon(), {}, [&](std::string_view chunk) {
    all += chunk;
    first_seen = true;
    return true;
  });
  ASSERT_TRUE(response.has_value());
  EXPECT_EQ(all, "firstsecond");
  EXPECT_EQ(response->body, "");
}

TEST_F(ClientTest, StopsAStreamAndThatCancelsTheRequest) {
  std::atomic<bool> cancelled = false;
  serve([&](auto request, auto responder) {
    ASSERT_TRUE(pool_
                    .submit([&, request, responder] {
                      responder->begin(Response::text(200, ""));
                      while (responder->write("x").has_value()) std::this_thread::yield();
                      cancelled = true;
                    })
                    .has_value());
  });
  const auto response = client()->stream({}, soon(), {}, [](std::string_view) { return false; });
  ASSERT_FALSE(response.has_value());
  EXPECT_EQ(response.error().code, ErrorCode::kCancelled);
  const Deadline patience = soon();
  while (!cancelled.load() && !patience.expired()) std::this_thread::yield();
  EXPECT_TRUE(cancelled.load());
}

TEST_F(ClientTest, EndsByDeadlineAndByCancellation) {
  std::vector<std::shared_ptr<Responder>> kept;
  serve([&](auto, auto responder) { kept.push_back(responder); });
  const auto client = this->client();
  const auto began = SteadyClock::now();
  const auto late = client->call({}, Deadline::after(milliseconds(50)), {});
  ASSERT_FALSE(late.has_value());
  EXPECT_EQ(late.error().code, ErrorCode::kDeadlineExceeded);
  const CancelToken token;
  std::thread canceller([&] { token.cancel(); });
  const auto cancelled = client->call({}, soon(), token);
  canceller.join();
  ASSERT_FALSE(cancelled.has_value());
  EXPECT_EQ(cancelled.error().code, ErrorCode::kCancelled);
  EXPECT_LT(SteadyClock::now() - began, std::chrono::seconds(2));
  server_->stop(milliseconds(0));
}

TEST_F(ClientTest, WaitsForAFreeConnectionWithinTheDeadline) {
  std::vector<std::shared_ptr<Responder>> kept;
  serve([&](auto, auto responder) { kept.push_back(responder); });
  Client::Options options;
  options.max_connections = 1;
  const auto client = this->client(options);
  const CancelToken token;
  std::thread holder([&] { (void)client->call({}, soon(), token); });
  while (server_->connections() == 0) std::this_thread::yield();
  const auto second = client->call({}, Deadline::after(milliseconds(40)), {});
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().code, ErrorCode::kDeadlineExceeded);
  token.cancel();
  holder.join();
  server_->stop(milliseconds(0));
}

TEST_F(ClientTest, AllClientsTogetherHaveALimit) {
  std::mutex mutex;
  std::vector<std::shared_ptr<Responder>> kept;
  serve([&](auto, auto responder) {
    const std::lock_guard lock(mutex);
    if (kept.size() == kOutgoingMax) return responder->send(Response::text(200, "late"));
    kept.push_back(responder);
  });
  std::atomic<int> waits = 0;
  measure_outgoing_waits([&](SteadyClock::duration) { ++waits; });
  Client::Options options;
  options.max_connections = kOutgoingMax + 1;
  const auto client = this->client(options);
  const CancelToken token;
  std::vector<std::thread> holders;
  for (std::size_t i = 0; i < kOutgoingMax; ++i)
    holders.emplace_back(
        [&] { (void)client->call({}, Deadline::after(milliseconds(20'000)), token); });
  const auto arrived = [&] {
    const std::lock_guard lock(mutex);
    return kept.size();
  };
  while (arrived() < kOutgoingMax) std::this_thread::sleep_for(milliseconds(1));
  const auto another = this->client({})->call({}, Deadline::after(milliseconds(40)), {});
  ASSERT_FALSE(another.has_value());
  EXPECT_EQ(another.error().code, ErrorCode::kDeadlineExceeded);
  EXPECT_EQ(waits, 1);
  // One of the same client waits as well, and keeps no other from ending.
  std::thread waiter([&] {
    const auto late = client->call({}, Deadline::after(milliseconds(10'000)), {});
    EXPECT_TRUE(late && late->body == "late");
  });
  std::this_thread::sleep_for(milliseconds(50));
  kept.front()->send(Response::text(200, "done"));
  waiter.join();
  EXPECT_EQ(waits, 2);
  measure_outgoing_waits({});
  token.cancel();
  for (std::thread& holder : holders) holder.join();
  server_->stop(milliseconds(0));
}

TEST_F(ClientTest, SaysWhereItCannotConnect) {
  Endpoint endpoint;
  endpoint.unix_socket = "/nonexistent/knap.sock";
  const auto response = Client::create(endpoint, {})->call({}, soon(), {});
  ASSERT_FALSE(response.has_value());
  EXPECT_EQ(response.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(response.error().message, HasSubstr("/nonexistent/knap.sock"));
}

TEST_F(ClientTest, RefusesRequestsThatWouldInjectFields) {
  serve(echo);
  const auto client = this->client();
  for (const std::string path : {"/a b", "/a\r\nX: y", "a", ""}) {
    const auto response = client->call({"GET", path, {}, ""}, soon(), {});
    ASSERT_FALSE(response.has_value()) << path;
    EXPECT_EQ(response.error().code, ErrorCode::kInvalidArgument);
  }
  EXPECT_EQ(client->call({"GE T", "/", {}, ""}, soon(), {}).error().code,
            ErrorCode::kInvalidArgument);
}

TEST(Endpoint, ReadsAddresses) {
  const auto plain = Endpoint::parse("http://127.0.0.1:8080/v1/");
  ASSERT_TRUE(plain.has_value());
  EXPECT_EQ(plain->host, "127.0.0.1");
  EXPECT_EQ(plain->port, 8080);
  EXPECT_EQ(plain->base_path, "/v1");
  EXPECT_FALSE(plain->tls);
  const auto tls = Endpoint::parse("https://api.example.org");
  ASSERT_TRUE(tls.has_value());
  EXPECT_EQ(tls->port, 443);
  EXPECT_TRUE(tls->tls);
  EXPECT_EQ(Endpoint::parse("http://[::1]:9/x")->host, "::1");
  EXPECT_EQ(Endpoint::parse("unix:/run/a.sock")->unix_socket, "/run/a.sock");
  for (const char* bad :
       {"", "ftp://x", "http://", "http://h:0", "http://h:99999", "http://h:1x", "http://u:p@h/",
        "unix:relative", "http://a b", "http://h/?q=1", "http://[::1"}) {
    EXPECT_FALSE(Endpoint::parse(bad).has_value()) << bad;
  }
}

}  // namespace
}  // namespace knap::http
