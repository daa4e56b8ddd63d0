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
