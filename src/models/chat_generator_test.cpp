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
    target_.connect = [this](const Hold&, Deadline, const CancelToken&) {
      return Result<ChatTarget::Connection>(
          {.hold = nullptr, .client = client_.get(), .on_broken = {}});
    };
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

TEST_F(ChatGeneratorTest, PassesOnWhatFormTheAnswerMustHave) {
  ASSERT_TRUE(generate());
  for (const char* left_out : {"response_format", "tools", "tool_choice", "logprobs", "seed"})
    EXPECT_FALSE(body_.contains(left_out)) << left_out;
  request_.response_format = R"({"type":"json_object"})";
  request_.tools = R"([{"type":"function"}])";
  request_.tool_choice = "\"required\"";
  request_.parallel_tool_calls = false;
  request_.top_logprobs = 2;
  request_.seed = 0;
  request_.messages = {{"assistant", "", R"([{"id":"1"}])", ""}, {"tool", "sun", "", "1"}};
  ASSERT_TRUE(generate());
  EXPECT_EQ(body_.at("response_format").at("type").as_string(), "json_object");
  EXPECT_EQ(body_.at("tools").as_array().size(), 1U);
  EXPECT_EQ(body_.at("tool_choice").as_string(), "required");
  EXPECT_FALSE(body_.at("parallel_tool_calls").as_bool());
  EXPECT_TRUE(body_.at("logprobs").as_bool());
  EXPECT_EQ(body_.at("top_logprobs").to_number<int>(), 2);
  EXPECT_EQ(body_.at("seed").to_number<int>(), 0);
  EXPECT_EQ(body_.at("messages").at(0).at("tool_calls").at(0).at("id").as_string(), "1");
  EXPECT_EQ(body_.at("messages").at(1).at("tool_call_id").as_string(), "1");
}

std::string event_of(const std::string& delta, const std::string& more = "") {
  return R"(data: {"choices":[{"delta":)" + delta + more + "}]}\n\n";
}

TEST_F(ChatGeneratorTest, JoinsToolCallsThatComeInPieces) {
  events_ =
      event_of(R"({"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":""}}]})") +
      event_of(R"({"tool_calls":[{"index":0,"function":{"arguments":"{\"a\""}}]})") +
      event_of(R"({"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]})") +
      event_of(
          R"({"tool_calls":[{"index":1,"id":"d","function":{"name":"g","arguments":"{}"}}]})") +
      event_of("{}", R"(,"finish_reason":"tool_calls")") + "data: [DONE]\n\n";
  const auto result = generate();
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->finish_reason, "tool_calls");
  ASSERT_EQ(result->tool_calls.size(), 2U);
  EXPECT_EQ(result->tool_calls[0].id, "c");
  EXPECT_EQ(result->tool_calls[0].arguments, R"({"a":1})");
  EXPECT_EQ(result->tool_calls[1].name, "g");
  events_ = event_of(R"({"tool_calls":[{"index":9,"id":"c"}]})");
  EXPECT_EQ(generate().error().code, ErrorCode::kCorruptData);
}

TEST_F(ChatGeneratorTest, TellsHowLikelyTokensWere) {
  events_ = event_of(R"({"content":"Hi"})", R"(,"logprobs":{"content":[{"token":"Hi"}]})") +
            event_of("{}", R"(,"finish_reason":"stop")") + "data: [DONE]\n\n";
  std::string heard;
  request_.on_logprobs = [&](std::string_view list) { heard += list; };
  ASSERT_TRUE(generate());
  EXPECT_EQ(heard, R"([{"token":"Hi"}])");
}

TEST_F(ChatGeneratorTest, SpeaksOllamasOwnShape) {
  target_.shape = ChatShape::kOllama;
  target_.path = "/api/chat";
  target_.context = 2048;
  events_ =
      "{\"message\":{\"role\":\"assistant\",\"content\":\"Hel\"},\"done\":false}\n"
      "{\"message\":{\"role\":\"assistant\",\"content\":\"lo\"},\"done\":false}\n"
      "{\"message\":{\"content\":\"\"},\"done\":true,\"done_reason\":\"length\","
      "\"prompt_eval_count\":26,\"eval_count\":2}\n";
  request_.seed = 7;
  request_.stop = {"END"};
  request_.response_format = R"({"type":"json_schema","json_schema":{"schema":{"type":"string"}}})";
  const auto result = generate();
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->text, "Hello");
  EXPECT_EQ(result->finish_reason, "length");
  EXPECT_EQ(result->prompt_tokens, 26);
  EXPECT_EQ(result->completion_tokens, 2);
  const json::object& options = body_.at("options").as_object();
  EXPECT_EQ(options.at("num_predict").to_number<int>(), 256);
  EXPECT_EQ(options.at("num_ctx").to_number<int>(), 2048);
  EXPECT_EQ(options.at("seed").to_number<int>(), 7);
  EXPECT_EQ(options.at("stop").as_array().size(), 1);
  EXPECT_EQ(body_.at("format").at("type").as_string(), "string");
}

TEST_F(ChatGeneratorTest, ReadsOllamasCallsAndErrors) {
  target_.shape = ChatShape::kOllama;
  events_ =
      "{\"message\":{\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":{\"a\":1}}}]},"
      "\"done\":true,\"done_reason\":\"stop\"}\n";
  const auto called = generate();
  ASSERT_TRUE(called) << called.error().message;
  ASSERT_EQ(called->tool_calls.size(), 1);
  EXPECT_EQ(called->tool_calls[0].name, "f");
  EXPECT_EQ(called->tool_calls[0].arguments, "{\"a\":1}");
  EXPECT_EQ(called->finish_reason, "tool_calls");
  events_ = "{\"message\":{\"content\":\"Hi\"},\"done\":false}\n{\"error\":\"out of memory\"}\n";
  const auto failed = generate();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(failed.error().message, testing::HasSubstr("out of memory"));
  events_ = "{\"message\":{\"content\":\"Hi\"},\"done\":false}\n";
  EXPECT_FALSE(generate()) << "a stream that just ends is a model that died";
  events_ = "no JSON\n";
  EXPECT_FALSE(generate());
}

}  // namespace
}  // namespace knap::models
