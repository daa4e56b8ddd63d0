#include "chat_generator.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "knap/http/server.hpp"
#include "test_folder.hpp"

namespace knap::models {
namespace {

using namespace std::chrono_literals;
namespace json = boost::json;

/// A generator that talks to a server of the test's, which keeps the body and sends `events`.
class ChatGeneratorTest : public testing::Test {
 protected:
  ChatGeneratorTest() {
    http::Server::Options listen;
    listen.unix_socket = (folder_.path() / "s").string();
    auto started =
        http::Server::start(listen, [this](const std::shared_ptr<const http::Request>& request,
                                           const std::shared_ptr<http::Responder>& responder) {
          body_ = json::parse(request->body).as_object();
          http::Response response;
          response.fields.set("Content-Type", "text/event-stream");
          response.body = events_;
          responder->send(std::move(response));
        });
    EXPECT_TRUE(started) << started.error().message;
    server_ = *std::move(started);
    http::Endpoint endpoint;
    endpoint.unix_socket = listen.unix_socket;
    client_ = http::Client::create(endpoint, {});
    target_.id = target_.model = "m";
    target_.path = "/v1/chat/completions";
    target_.client = [this]() -> http::Client& { return *client_; };
    request_.messages = {{"user", "hello"}};
  }

  Result<GenerateResult> generate(Deadline deadline = Deadline::after(10s)) {
    return make_chat_generator(target_, metrics_)->generate(request_, deadline, {}, {});
  }

  TestFolder folder_;
  observe::Registry metrics_;
  std::string events_ =
      "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}]}\n\n"
      "data: [DONE]\n\n";
  json::object body_;
  ChatTarget target_;
  GenerateRequest request_;
  std::unique_ptr<http::Client> client_;
  std::unique_ptr<http::Server> server_;
};

TEST_F(ChatGeneratorTest, TellsARunnerWhoWaitsAndForHowLong) {
  target_.local = true;
  request_.priority = Priority::kBackground;
  request_.tenant = "ann";
  request_.threads = 2;
  const auto result = generate(Deadline::after(5s));
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->text, "Hi");
  EXPECT_EQ(body_.at("priority").as_string(), "background");
  EXPECT_EQ(body_.at("tenant").as_string(), "ann");
  EXPECT_EQ(body_.at("threads").to_number<int>(), 2);
  EXPECT_LE(body_.at("deadline_ms").to_number<int>(), 5000);
  EXPECT_GT(body_.at("deadline_ms").to_number<int>(), 3000);
}

TEST_F(ChatGeneratorTest, TellsAForeignServerNothingOfThat) {
  request_.tenant = "ann";
  ASSERT_TRUE(generate());
  for (const char* ours : {"priority", "tenant", "threads", "deadline_ms"})
    EXPECT_FALSE(body_.contains(ours)) << ours;
}

}  // namespace
}  // namespace knap::models
