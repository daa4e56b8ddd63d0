#include <cstring>

#include <gmock/gmock.h>

#include "api_fixture.hpp"
#include "knap/base/hash.hpp"

namespace knap::api {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr const char* kChat = "/v1/chat/completions";

std::string chat(const std::string& model, const std::string& question,
                 const std::string& more = "") {
  return R"({"model":")" + model + R"(","messages":[{"role":"user","content":")" + question +
         "\"}]" + more + "}";
}

class OpenAiTest : public ApiTest {
 protected:
  static std::string error_code(const http::Response& response, int status) {
    EXPECT_EQ(response.status, status) << response.body;
    const auto body = json(response);
    const auto& error = body.at("error").as_object();
    for (const char* name : {"message", "type", "param", "code"})
      EXPECT_TRUE(error.contains(name)) << name;
    return text(error.at("code"));
  }
};

TEST_F(OpenAiTest, ListsKnapTheVaultsAndInstalledModels) {
  const auto response = get("/v1/models");
  EXPECT_THAT(response.body,
              testing::AllOf(HasSubstr("\"knap\""), HasSubstr("\"knap:notes\""),
                             HasSubstr("\"fake-embed\""), Not(HasSubstr("absent-chat"))));
  EXPECT_EQ(text(json(get("/v1/models/knap:notes")).at("id")), "knap:notes");
  EXPECT_EQ(error_code(get("/v1/models/none"), 404), "model_not_found");
}

TEST_F(OpenAiTest, KnapAnswersFromTheNotes) {
  const auto body =
      json(post(kChat, chat("knap:notes", "x", R"(,"made_up":{"deep":[1]},"user":"me")")));
  const auto& message = body.at("choices").at(0).at("message");
  EXPECT_THAT(
      text(message.at("content")),
      HasSubstr(
          "Sources:\n[1] [Rocket](obsidian://open?vault=notes&file=Folder%2FRocket%20%26%20co.md), "
          "line 3"));
  EXPECT_EQ(message.at("annotations").at(0).at("url_citation").at("start_index").to_number<int>(),
            19);
  EXPECT_EQ(text(body.at("knap").at("citations").at(0).at("path")), "Folder/Rocket & co.md");
  EXPECT_EQ(body.at("usage").at("total_tokens").to_number<int>(), 17);
}

TEST_F(OpenAiTest, KnapStreamsChunks) {
  const auto plain = post(kChat, chat("knap", "x", R"(,"stream":true)")).body;
  EXPECT_THAT(plain, HasSubstr("data: [DONE]"));
  EXPECT_THAT(plain, HasSubstr("\"finish_reason\":\"stop\""));
  EXPECT_THAT(plain, Not(HasSubstr("usage")));
  EXPECT_THAT(plain, Not(HasSubstr("Checked against")));
  EXPECT_LT(plain.find("\"role\":\"assistant\""), plain.find("It burns"));
  const auto usage =
      post(kChat, chat("knap", "x", R"(,"stream":true,"stream_options":{"include_usage":true})"))
          .body;
  EXPECT_THAT(usage, HasSubstr("\"choices\":[],\"usage\":{\"prompt_tokens\":12"));
  // What was streamed cannot be taken back: the checked wording follows it.
  EXPECT_THAT(post(kChat, chat("knap", "reworded", R"(,"stream":true)")).body,
              HasSubstr("Checked against the notes"));
  EXPECT_EQ(error_code(post(kChat, chat("knap", "fail", R"(,"stream":true)")), 503), "unavailable");
  EXPECT_THAT(post(kChat, chat("knap", "late failure", R"(,"stream":true)")).body,
              HasSubstr("\"error\""));
}

TEST_F(OpenAiTest, PlainModelsAnswerThemselves) {
  const auto body = json(post(kChat, chat("fake-chat", "hi")));
  EXPECT_EQ(text(body.at("choices").at(0).at("message").at("content")), "Hello");
  EXPECT_EQ(text(body.at("choices").at(0).at("finish_reason")), "length");
  EXPECT_THAT(post(kChat, chat("fake-chat", "hi", R"(,"stream":true)")).body,
              HasSubstr("\"content\":\"Hel\""));
  EXPECT_EQ(error_code(post(kChat, chat("fake-chat", "long")), 400), "context_length_exceeded");
}

TEST_F(OpenAiTest, TellsTheModelWhoWaitsAndForHowLong) {
  const auto& asked = models_.fake_generator();
  post(kChat, chat("fake-chat", "hi"));
  EXPECT_EQ(asked.last.priority, models::Priority::kInteractive);
  EXPECT_EQ(asked.last.tenant, "");
  post(kChat, chat("fake-chat", "hi", R"(,"user":"ann","service_tier":"flex","deadline_ms":5000)"));
  EXPECT_EQ(asked.last.priority, models::Priority::kBackground);
  EXPECT_EQ(asked.last.tenant, "ann");
  EXPECT_LE(asked.last_deadline.remaining_ms(), std::chrono::milliseconds(5000));
  post(kChat, chat("fake-chat", "hi", R"(,"user":"Ann \u00e4 b","service_tier":"auto")"));
  EXPECT_EQ(asked.last.tenant.size(), 16U) << "a name that is no tenant stands for one";
  http::Fields headers;
  headers.set("X-Knap-Priority", "search");
  headers.set("X-Knap-Tenant", "bob");
  call("POST", kChat, chat("fake-chat", "hi", R"(,"user":"ann","service_tier":"flex")"), headers);
  EXPECT_EQ(asked.last.priority, models::Priority::kSearch);
  EXPECT_EQ(asked.last.tenant, "bob");
  call("POST", kChat, chat("knap", "x"), headers);
  EXPECT_EQ(answerer_.priority, models::Priority::kSearch);
  EXPECT_EQ(answerer_.tenant, "bob");
  headers.set("X-Knap-Priority", "urgent");
  EXPECT_EQ(call("POST", kChat, chat("knap", "x"), headers).status, 400);
}

TEST_F(OpenAiTest, PassesOnToolsFormatsAndChances) {
  const auto& asked = models_.fake_generator();
  const std::string tools =
      R"(,"tools":[{"type":"function","function":{"name":"weather"}}],"tool_choice":"auto")";
  const auto body = json(post(kChat, chat("fake-chat", "hi", tools)));
  const auto& choice = body.at("choices").at(0);
  EXPECT_EQ(text(choice.at("finish_reason")), "tool_calls");
  EXPECT_TRUE(choice.at("message").at("content").is_null());
  EXPECT_EQ(text(choice.at("message").at("tool_calls").at(0).at("function").at("name")), "weather");
  EXPECT_EQ(asked.last.tool_choice, "\"auto\"");
  const auto streamed = post(kChat, chat("fake-chat", "hi", tools + R"(,"stream":true)")).body;
  EXPECT_THAT(streamed, HasSubstr(R"("tool_calls":[{"id":"call_1")"));
  EXPECT_THAT(streamed, HasSubstr(R"("finish_reason":"tool_calls")"));
  post(kChat, R"({"model":"fake-chat","messages":[{"role":"user","content":"x"},
      {"role":"assistant","content":null,"tool_calls":[{"id":"1"}]},
      {"role":"tool","tool_call_id":"1","content":"sun"}],"seed":5})");
  EXPECT_EQ(asked.last.messages[1].tool_calls, R"([{"id":"1"}])");
  EXPECT_EQ(asked.last.messages[2].tool_call_id, "1");
  EXPECT_EQ(asked.last.seed, 5U);
  const auto likely =
      json(post(kChat, chat("fake-chat", "hi", R"(,"logprobs":true,"top_logprobs":2)")));
  EXPECT_EQ(text(likely.at("choices").at(0).at("logprobs").at("content").at(0).at("token")), "Hel");
  EXPECT_EQ(asked.last.top_logprobs, 2U);
  EXPECT_THAT(post(kChat, chat("fake-chat", "hi", R"(,"logprobs":true,"stream":true)")).body,
              HasSubstr(R"("delta":{"content":"Hel"},"logprobs":{"content":[{"token":"Hel"}])"));
  post(kChat, chat("fake-chat", "hi", R"(,"response_format":{"type":"json_object"},"seed":null)"));
  EXPECT_EQ(asked.last.response_format, R"({"type":"json_object"})");
  EXPECT_FALSE(asked.last.seed);
}

TEST_F(OpenAiTest, RefusesWrongToolsAndFormats) {
  for (const char* wrong : {R"(,"tools":{})", R"(,"tool_choice":7)", R"(,"response_format":"json")",
                            R"(,"logprobs":true,"top_logprobs":21)", R"(,"logprobs":"yes")"})
    EXPECT_EQ(post(kChat, chat("fake-chat", "hi", wrong)).status, 400) << wrong;
  // 'knap' answers in its own form, which no schema describes.
  for (const char* wrong : {R"(,"response_format":{"type":"json_object"})",
                            R"(,"tools":[{}],"tool_choice":"required")"})
    EXPECT_EQ(post(kChat, chat("knap", "x", wrong)).status, 400) << wrong;
  EXPECT_EQ(post(kChat, chat("knap", "x", R"(,"tools":[{"type":"function"}])")).status, 200);
}

TEST_F(OpenAiTest, ErrorsHaveOpenAisShape) {
  for (const char* model : {"gpt-4o", "knap:elsewhere", ""}) {
    EXPECT_EQ(error_code(post(kChat, chat(model, "x")), 404), "model_not_found") << model;
  }
  for (const char* body :
       {"{broken", "{}", R"({"model":"knap"})", R"({"model":"knap","messages":[]})",
        R"({"model":"knap","messages":"text"})", R"({"model":"knap","messages":[{"role":"user"}]})",
        R"({"model":"knap","messages":[{"role":"wizard","content":"x"}]})",
        R"({"model":"knap","messages":[{"role":"assistant","content":"x"}]})",
        R"({"model":"knap","messages":[{"role":"user","content":"x"}],"n":2})"}) {
    EXPECT_EQ(post(kChat, body).status, 400) << body;
  }
  EXPECT_EQ(error_code(get("/v1/nosuchroute"), 404), "not_found");
  EXPECT_EQ(error_code(get(kChat), 405), "method_not_allowed");
}

TEST_F(OpenAiTest, EmbedsTextsAsNumbersAndBase64) {
  const auto body = json(post("/v1/embeddings", R"({"model":"fake-embed","input":["a","b"]})"));
  EXPECT_EQ(body.at("data").as_array().size(), 2U);
  EXPECT_EQ(body.at("data").at(1).at("index").to_number<int>(), 1);
  EXPECT_NEAR(body.at("data").at(0).at("embedding").at(0).to_number<double>(), 0.6, 1e-6);
  const auto packed = json(
      post("/v1/embeddings", R"({"model":"fake-embed@1","input":"a","encoding_format":"base64"})"));
  const auto bytes = base64_decode(text(packed.at("data").at(0).at("embedding")));
  ASSERT_TRUE(bytes.has_value());
  ASSERT_EQ(bytes->size(), 8U);
  float second = 0;
  std::memcpy(&second, bytes->data() + 4, 4);
  EXPECT_EQ(second, 0.8F);
  std::string many = R"({"model":"fake-embed","input":["x")";
  for (int i = 0; i < 1100; ++i) many += ",\"x\"";
  EXPECT_EQ(json(post("/v1/embeddings", many + "]}")).at("data").as_array().size(), 1101U);
}

TEST_F(OpenAiTest, RefusesWrongEmbeddingInput) {
  for (const char* rest :
       {R"("input":[])", R"("input":7)", R"("input":[""])", R"("input":[[1,2]])", R"("other":1)",
        R"("input":"x","dimensions":3)", R"("input":"x","encoding_format":"hex")"}) {
    EXPECT_EQ(post("/v1/embeddings", R"({"model":"fake-embed",)" + std::string(rest) + "}").status,
              400)
        << rest;
  }
  EXPECT_EQ(post("/v1/embeddings", R"({"model":"fake-embed","input":"x","dimensions":2})").status,
            200);
  EXPECT_EQ(error_code(post("/v1/embeddings", R"({"model":"none","input":"x"})"), 404),
            "model_not_found");
}

}  // namespace
}  // namespace knap::api
