#include "runner/json_grammar.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "runner/gbnf_match.hpp"

namespace knap::models::runner {
namespace {

using testing::HasSubstr;
using Keep = JsonGrammar::Keep;

Result<std::string> grammar_of(const std::string& schema, Keep keep = Keep::kExact) {
  JsonGrammar grammar;
  const auto value = boost::json::parse(schema);
  KNAP_TRY(const std::string root, grammar.add_schema(value, keep));
  return std::move(grammar).finish(root);
}

/// Texts of `wanted` are of the schema's grammar, those of `others` are not.
void expect_texts(const std::string& schema, std::initializer_list<const char*> wanted,
                  std::initializer_list<const char*> others) {
  const auto grammar = grammar_of(schema);
  ASSERT_TRUE(grammar) << schema << ": " << grammar.error().message;
  GbnfMatch match(*grammar);
  for (const char* text : wanted) EXPECT_TRUE(match.accepts(text)) << schema << "  " << text;
  for (const char* text : others) EXPECT_FALSE(match.accepts(text)) << schema << "  " << text;
}

std::string refusal(const std::string& schema) {
  const auto grammar = grammar_of(schema);
  if (grammar) return "accepted";
  EXPECT_EQ(grammar.error().code, ErrorCode::kInvalidArgument);
  return grammar.error().message;
}

TEST(JsonGrammar, TakesAnyObject) {
  GbnfMatch match(any_object_grammar());
  for (const char* text :
       {"{}", R"({"a":1})", R"({"a": [1, -2.5e3, "x\n", true, null, {}]})", "{\n  \"a\": \"b\"\n}"})
    EXPECT_TRUE(match.accepts(text)) << text;
  for (const char* text : {"", "[]", "1", R"({"a":})", R"({"a":01})", R"({a:1})", R"({"a":1,})",
                           "{\"a\":\"\n\"}", R"({"a":"\ud800"})", "{}x"})
    EXPECT_FALSE(match.accepts(text)) << text;
}

TEST(JsonGrammar, KeepsMembersAndTheirOrder) {
  const std::string schema =
      R"({"type":"object","properties":{"a":{"type":"string"},"b":{"type":"integer"},
          "c":{"type":"boolean"}},"required":["b"],"additionalProperties":false})";
  expect_texts(schema,
               {R"({"a": "x", "b": 1, "c": true})", R"({"b":1})", R"({"b":1,"c":false})",
                R"({"a":"","b":-7})"},
               {"{}", R"({"a":"x"})", R"({"b":"1"})", R"({"b":1,"a":"x"})", R"({"b":1,"d":2})",
                R"({"b":1.5})", R"({"b":1)"});
  expect_texts(R"({"properties":{"a":{},"b":{}}})",
               {"{}", R"({"a":[]})", R"({"b":1})", R"({"a":1,"b":2})"}, {R"({"b":1,"a":2})", "[]"});
}

TEST(JsonGrammar, KeepsListsConstantsAndAlternatives) {
  expect_texts(
      R"({"type":"array","items":{"enum":["a","b \"c\"",3,null]},"minItems":1,"maxItems":3})",
      {R"(["a"])", R"(["b \"c\"", 3, null])"},
      {"[]", R"(["d"])", R"(["a","a","a","a"])", R"(["a",])"});
  expect_texts(R"({"type":"array","maxItems":0})", {"[]"}, {"[1]"});
  expect_texts(R"({"type":"array","items":{"type":"boolean"},"minItems":2})",
               {"[true,false]", "[true, true, true]"}, {"[true]", "[]"});
  expect_texts(R"({"anyOf":[{"type":"string"},{"type":"null"}]})", {R"("x")", "null"}, {"1"});
  expect_texts(R"({"type":["integer","null"]})", {"5", "null"}, {"5.5", R"("5")"});
  expect_texts(R"({"const":{"a":[1,"x"]}})", {R"({"a":[1,"x"]})"}, {"{}"});
  expect_texts(R"({"prefixItems":[{"type":"string"},{"type":"integer"}],"items":false})",
               {R"(["x", 1])"}, {R"(["x"])", R"([1,"x"])", R"(["x",1,2])"});
  expect_texts(R"({"type":"object","additionalProperties":{"type":"integer"}})",
               {"{}", R"({"x":1,"y":2})"}, {R"({"x":"y"})"});
}

TEST(JsonGrammar, KeepsLengthsFormatsAndSigns) {
  expect_texts(R"({"type":"string","minLength":2,"maxLength":3})", {R"("ab")", R"("a\nc")"},
               {R"("a")", R"("abcd")"});
  expect_texts(R"({"type":"string","format":"date"})", {R"("2026-11-28")"},
               {R"("2026-13-28")", R"("2026-02-30")", R"("soon")"});
  expect_texts(R"({"type":"string","format":"date-time"})", {R"("2026-11-28T23:59:00Z")"},
               {R"("2026-11-28")", R"("2026-11-28T24:00:00Z")"});
  expect_texts(R"({"type":"number","minimum":0})", {"0", "2.5", "1e9"}, {"-1", "x"});
}

TEST(JsonGrammar, KeepsReferencesThatLeadBackToThemselves) {
  expect_texts(R"({"$defs":{"node":{"type":"object","properties":{"value":{"type":"integer"},
      "next":{"anyOf":[{"$ref":"#/$defs/node"},{"type":"null"}]}},"required":["value","next"]}},
      "$ref":"#/$defs/node"})",
               {R"({"value":1,"next":null})", R"({"value":1,"next":{"value":2,"next":null}})"},
               {R"({"value":1})", R"({"value":1,"next":{}})"});
}

TEST(JsonGrammar, KeepsBoundsOfIntegers) {
  for (const auto& [low, high] :
       {std::pair{0, 9}, std::pair{1, 12}, std::pair{7, 1234}, std::pair{-12, 3},
        std::pair{-205, -18}, std::pair{100, 100}, std::pair{99, 101}, std::pair{-1, 0}}) {
    GbnfMatch match("root ::= " + integer_range_grammar(low, high) + "\n");
    for (int i = -1300; i <= 1300; ++i)
      ASSERT_EQ(match.accepts(std::to_string(i)), i >= low && i <= high)
          << i << " in " << low << " to " << high;
    EXPECT_FALSE(match.accepts("-0"));
    EXPECT_FALSE(match.accepts("007"));
  }
  expect_texts(R"({"type":"integer","minimum":18,"exclusiveMaximum":21})", {"18", "20"},
               {"17", "21"});
  expect_texts(R"({"type":"integer","minimum":1})", {"1", "999999999999"}, {"0", "-4"});
  EXPECT_EQ(integer_range_grammar(5, 4), "");
}

TEST(JsonGrammar, SaysWhereAndWhatItCannotKeep) {
  EXPECT_THAT(refusal(R"({"properties":{"mail":{"type":"string","pattern":"x"}}})"),
              HasSubstr("at 'properties.mail': 'pattern' cannot be kept"));
  EXPECT_THAT(refusal(R"({"type":"string","format":"email"})"), HasSubstr("formats"));
  EXPECT_THAT(refusal(R"({"type":"number","maximum":4})"), HasSubstr("bounds"));
  EXPECT_THAT(refusal(R"({"type":"integer","minimum":4,"maximum":3})"), HasSubstr("no number"));
  EXPECT_THAT(refusal(R"({"type":"array","minItems":4,"maxItems":3})"), HasSubstr("less than"));
  EXPECT_THAT(refusal(R"({"type":"text"})"), HasSubstr("'type' must be"));
  EXPECT_THAT(refusal(R"({"type":7})"), HasSubstr("'type' must be"));
  EXPECT_THAT(refusal(R"({"enum":[]})"), HasSubstr("'enum' must be"));
  EXPECT_THAT(refusal(R"({"$ref":"#/nowhere"})"), HasSubstr("points to nothing"));
  EXPECT_THAT(refusal(R"({"$ref":"https://example.org/x"})"), HasSubstr("same schema"));
  EXPECT_THAT(refusal(R"({"allOf":[{},{}]})"), HasSubstr("write them as one"));
  EXPECT_THAT(refusal(R"({"properties":{"a":{}},"required":["b"]})"), HasSubstr("'required'"));
  EXPECT_THAT(refusal(R"({"type":"string","maxLength":100000})"), HasSubstr("at most 1000"));
  EXPECT_THAT(refusal("[]"), HasSubstr("must be an object"));
  EXPECT_THAT(refusal("false"), HasSubstr("must be an object"));
}

TEST(JsonGrammar, LeavesOutWhatItCannotKeepWhereThatIsAllowed) {
  const auto grammar = grammar_of(
      R"({"type":"object","properties":{"mail":{"type":"string","pattern":"x","format":"email"}},
          "patternProperties":{}})",
      Keep::kLoose);
  ASSERT_TRUE(grammar);
  EXPECT_TRUE(GbnfMatch(*grammar).accepts(R"({"mail":"any"})"));
}

TEST(JsonGrammar, IsBounded) {
  std::string deep = R"({"type":"integer"})";
  for (int i = 0; i < 60; ++i) deep = R"({"items":)" + deep + "}";
  boost::json::parse_options options;
  options.max_depth = 200;
  JsonGrammar grammar;
  EXPECT_THAT(
      grammar.add_schema(boost::json::parse(deep, {}, options), Keep::kExact).error().message,
      HasSubstr("deeper than"));
  std::string wide = R"({"properties":{"a":{})";
  for (int i = 0; i < 300; ++i) wide += ",\"p" + std::to_string(i) + "\":{}";
  EXPECT_THAT(refusal(wide + "}}"), HasSubstr("more than 200"));
  std::string long_ones = R"({"prefixItems":[{"maxLength":1000})";
  for (int i = 0; i < 5; ++i) long_ones += R"(,{"maxLength":1000})";
  EXPECT_THAT(refusal(long_ones + "]}"), HasSubstr("add up to more than"));
  std::string many = R"({"prefixItems":[{})";
  const std::string fat = R"({"properties":{)" + [] {
    std::string out = R"("a":{})";
    for (int i = 0; i < 150; ++i) out += ",\"p" + std::to_string(i) + "\":{}";
    return out;
  }() + "}}";
  for (int i = 0; i < 20; ++i) many += "," + fat;
  EXPECT_THAT(refusal(many + "]}"), HasSubstr("too large"));
}

TEST(JsonGrammar, QuotesWhatCallersWrite) {
  const auto grammar = grammar_of(
      R"({"properties":{"a\" b\\ ::= \n root":{"const":"\"]\\ [^x]"}},"required":["a\" b\\ ::= \n root"]})");
  ASSERT_TRUE(grammar) << grammar.error().message;
  EXPECT_TRUE(GbnfMatch(*grammar).accepts(R"({"a\" b\\ ::= \n root":"\"]\\ [^x]"})"));
}

}  // namespace
}  // namespace knap::models::runner
