#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runner/batches.hpp"
#include "runner/bert_config.hpp"
#include "runner/chat_request.hpp"
#include "runner/precision.hpp"

namespace knap::models::runner {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Batches, GroupLikeLengthsWithinTheBudget) {
  const std::vector<std::size_t> lengths{10, 100, 12, 90, 600};
  EXPECT_THAT(make_batches(lengths, 200),
              ElementsAre(ElementsAre(0, 2), ElementsAre(3, 1), ElementsAre(4)));
  EXPECT_TRUE(make_batches({}, 200).empty());
}

TEST(ChatRequest, ReadsOpenAisFieldsAndOurs) {
  const auto request = parse_chat_request(
      R"({"model":"m","messages":[{"role":"developer","content":"be brief"},{"role":"user","content":[{"type":"text","text":"hi"}]}],
          "max_completion_tokens":7,"temperature":0.5,"top_p":0.9,"seed":3,"stop":["a","b"],"stream":true,
          "stream_options":{"include_usage":true},"threads":2,"deadline_ms":50,"priority":"background","tenant":"t1","unknown":[]})");
  ASSERT_TRUE(request) << request.error().message;
  EXPECT_EQ(request->work.messages[0].role, "system");
  EXPECT_EQ(request->work.messages[1].content, "hi");
  EXPECT_EQ(request->work.max_tokens, 7U);
  EXPECT_EQ(request->work.threads, 2U);
  EXPECT_EQ(request->work.urgency, Urgency::kBackground);
  EXPECT_EQ(request->work.tenant, "t1");
  EXPECT_THAT(request->work.stop, ElementsAre("a", "b"));
  EXPECT_TRUE(request->stream && request->include_usage);
  EXPECT_EQ(request->deadline, std::chrono::milliseconds(50));
}

TEST(ChatRequest, NamesTheWrongField) {
  const auto with = [](const std::string& field) {
    const auto parsed =
        parse_chat_request(R"({"messages":[{"role":"user","content":"x"}],)" + field + "}");
    return parsed ? std::string("accepted") : parsed.error().message;
  };
  EXPECT_THAT(with(R"("max_tokens":0)"), HasSubstr("max_tokens"));
  EXPECT_THAT(with(R"("temperature":9)"), HasSubstr("temperature"));
  EXPECT_THAT(with(R"("stop":[""])"), HasSubstr("stop"));
  EXPECT_THAT(with(R"("priority":"urgent")"), HasSubstr("priority"));
  EXPECT_THAT(with(R"("tenant":7)"), HasSubstr("tenant"));
  EXPECT_THAT(with(R"("tenant":")" + std::string(129, 't') + "\""), HasSubstr("128 bytes"));
  EXPECT_EQ(with(R"("max_tokens":null)"), "accepted");
  EXPECT_EQ(with(R"("priority":null)"), "accepted");
  EXPECT_FALSE(parse_chat_request("{}"));
  EXPECT_FALSE(parse_chat_request("nothing"));
  EXPECT_FALSE(parse_chat_request(R"({"messages":[{"role":"root","content":"x"}]})"));
}

/// A request for an answer to "x" with these further fields.
Result<ChatRequest> with_fields(const std::string& fields) {
  return parse_chat_request(R"({"messages":[{"role":"user","content":"x"}],)" + fields + "}");
}

constexpr const char* kTools =
    R"("tools":[{"type":"function","function":{"name":"weather","description":"Tells it.",
       "parameters":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}}},
       {"type":"function","function":{"name":"time"}}])";

TEST(ChatRequest, MakesGrammarsOfFormats) {
  EXPECT_EQ(with_fields(R"("response_format":{"type":"text"})")->work.grammar.rules, "");
  EXPECT_THAT(with_fields(R"("response_format":{"type":"json_object"})")->work.grammar.rules,
              HasSubstr("root ::= object"));
  const auto schema = with_fields(
      R"("response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"const":"zz"}}})");
  ASSERT_TRUE(schema) << schema.error().message;
  EXPECT_THAT(schema->work.grammar.rules, HasSubstr("zz"));
  for (const char* wrong :
       {R"("response_format":7)", R"("response_format":{"type":"xml"})",
        R"("response_format":{"type":"json_schema"})", R"("response_format":{})"}) {
    EXPECT_THAT(with_fields(wrong).error().message, HasSubstr("response_format")) << wrong;
  }
}

TEST(ChatRequest, TellsTheModelOfTools) {
  const auto request = with_fields(kTools);
  ASSERT_TRUE(request) << request.error().message;
  EXPECT_EQ(request->tools.choice, ToolUse::Choice::kAuto);
  EXPECT_THAT(request->tools.names, ElementsAre("weather", "time"));
  EXPECT_EQ(request->work.messages[0].role, "system");
  EXPECT_THAT(request->work.messages[0].content, HasSubstr("Tells it."));
  EXPECT_EQ(request->work.grammar.trigger, "<tool_call>");
  const auto forced = with_fields(
      std::string(kTools) + R"(,"tool_choice":{"type":"function","function":{"name":"time"}})");
  ASSERT_TRUE(forced) << forced.error().message;
  EXPECT_THAT(forced->tools.names, ElementsAre("time"));
  EXPECT_EQ(forced->work.grammar.trigger, "");
  EXPECT_THAT(forced->work.grammar.rules, HasSubstr("time"));
  EXPECT_THAT(forced->work.grammar.rules, testing::Not(HasSubstr("weather")));
  const auto none = with_fields(std::string(kTools) + R"(,"tool_choice":"none")");
  ASSERT_TRUE(none);
  EXPECT_FALSE(none->tools.any());
  EXPECT_EQ(none->work.messages.size(), 1U);
}

TEST(ChatRequest, RefusesWrongTools) {
  const auto error = [](const std::string& fields) {
    const auto request = with_fields(fields);
    return request ? std::string("accepted") : request.error().message;
  };
  EXPECT_THAT(error(R"("tools":{})"), HasSubstr("'tools' must be a list"));
  EXPECT_THAT(error(R"("tools":[{"type":"other"}])"), HasSubstr("'tools'"));
  EXPECT_THAT(error(R"("tools":[{"type":"function","function":{"name":"a b"}}])"),
              HasSubstr("name"));
  EXPECT_THAT(error(std::string(kTools) + R"(,"tool_choice":"maybe")"), HasSubstr("tool_choice"));
  EXPECT_THAT(error(std::string(kTools) +
                    R"(,"tool_choice":{"type":"function","function":{"name":"other"}})"),
              HasSubstr("tool_choice"));
  EXPECT_THAT(error(R"("tools":[{"type":"function","function":{"name":"a","strict":true,
                "parameters":{"type":"object","properties":{"x":{"pattern":"y"}}}}}])"),
              HasSubstr("the parameters of tool a"));
  EXPECT_EQ(error(R"("tools":[{"type":"function","function":{"name":"a",
                "parameters":{"type":"object","properties":{"x":{"pattern":"y"}}}}}])"),
            "accepted");
  EXPECT_THAT(error(std::string(kTools) +
                    R"(,"tool_choice":"required","response_format":{"type":"json_object"})"),
              HasSubstr("tool_choice"));
}

TEST(ChatRequest, WritesCallsAndTheirAnswersForTheModel) {
  const auto request = parse_chat_request(R"({"messages":[{"role":"user","content":"x"},
    {"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":
      {"name":"weather","arguments":"{\"city\":\"Oslo\"}"}}]},
    {"role":"tool","tool_call_id":"1","content":"rain"},
    {"role":"tool","tool_call_id":"2","content":"sun"}]})");
  ASSERT_TRUE(request) << request.error().message;
  ASSERT_EQ(request->work.messages.size(), 3U);
  EXPECT_EQ(request->work.messages[1].content,
            "<tool_call>\n{\"name\": \"weather\", \"arguments\": "
            "{\"city\":\"Oslo\"}}\n</tool_call>");
  EXPECT_EQ(request->work.messages[2].role, "user");
  EXPECT_EQ(request->work.messages[2].content,
            "<tool_response>\nrain\n</tool_response>\n<tool_response>\nsun\n</tool_response>");
  EXPECT_FALSE(parse_chat_request(R"({"messages":[{"role":"assistant","content":null}]})"));
}

TEST(ChatRequest, ReadsHowManyChancesAreWanted) {
  EXPECT_FALSE(with_fields(R"("logprobs":false,"top_logprobs":3)")->work.top_logprobs);
  EXPECT_EQ(with_fields(R"("logprobs":true)")->work.top_logprobs, 0U);
  EXPECT_EQ(with_fields(R"("logprobs":true,"top_logprobs":20)")->work.top_logprobs, 20U);
  EXPECT_FALSE(with_fields(R"("logprobs":true,"top_logprobs":21)"));
  EXPECT_FALSE(with_fields(R"("seed":null)")->work.seed);
  EXPECT_EQ(with_fields(R"("seed":0)")->work.seed, 0U);
}

TEST(BertConfig, RefusesAbsurdShapes) {
  const auto with = [](const std::string& heads) {
    return parse_bert_config(
        R"({"model_type":"bert","hidden_act":"gelu","vocab_size":10,"max_position_embeddings":8,
      "type_vocab_size":2,"hidden_size":12,"num_hidden_layers":1,"intermediate_size":4,"num_attention_heads":)" +
        heads + "}");
  };
  EXPECT_TRUE(with("3"));
  EXPECT_FALSE(with("5"));
  EXPECT_FALSE(with("0"));
  EXPECT_FALSE(with("-3"));
  EXPECT_EQ(parse_bert_config(R"({"model_type":"llama"})").error().code, ErrorCode::kUnsupported);
}

TEST(Precision, NamesItself) {
  for (const auto each : {Precision::kF32, Precision::kBf16, Precision::kInt8, Precision::kInt8Bf16,
                          Precision::kInt8Plain}) {
    EXPECT_EQ(*parse_precision(to_string(each)), each);
  }
  EXPECT_FALSE(parse_precision("f64"));
}

}  // namespace
}  // namespace knap::models::runner
