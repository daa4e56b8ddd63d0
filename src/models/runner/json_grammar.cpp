#include "runner/json_grammar.hpp"

#include <fmt/format.h>

#include <utility>

#include "runner/schema_reader.hpp"

namespace knap::models::runner {
namespace {

constexpr std::size_t kRulesMax = 4'000;
constexpr std::size_t kBytesMax = 512U << 10;
/// Each makes a rule in llama.cpp, which refuses 2,000 in one place.
constexpr std::size_t kRepetitionsMax = 4'000;

// White space is short, or a model that likes it would write nothing else. A half of a surrogate
// pair is no character, and JSON that holds one is refused by many readers.
constexpr std::string_view kPrelude = R"gbnf(ws ::= | " " | "\n" [ \t]{0,20}
char ::= [^"\\\x7F\x00-\x1F] | "\\" (["\\/bfnrt] | "u" ([0-9a-cA-CeEfF] hex{3} | [dD] [0-7] hex{2}))
hex ::= [0-9a-fA-F]
string ::= "\"" char* "\""
digits ::= "0" | [1-9] [0-9]{0,14}
integer ::= "-"? digits
positive ::= digits ("." [0-9]{1,15})? ([eE] [-+]? [0-9]{1,2})?
number ::= "-"? positive
boolean ::= "true" | "false"
null ::= "null"
value ::= object | array | string | number | boolean | null
member ::= string ":" ws value
object ::= "{" ws (member ("," ws member)* ws)? "}"
array ::= "[" ws (value ("," ws value)* ws)? "]"
date ::= [0-9]{4} "-" ("0" [1-9] | "1" [0-2]) "-" ("0" [1-9] | "1" [0-9] | "2" [0-8])
time ::= ([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9] ":" [0-5] [0-9] ("." [0-9]{1,6})? ("Z" | [-+] ([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9])
uuid ::= hex{8} "-" hex{4} "-" hex{4} "-" hex{4} "-" hex{12}
)gbnf";

}  // namespace

JsonGrammar::JsonGrammar() : text_(kPrelude) {}

Result<std::string> JsonGrammar::add_schema(const boost::json::value& schema, Keep keep) {
  return SchemaReader(*this, schema, keep).read();
}

Result<std::string> JsonGrammar::add_rule(const std::string& body) {
  std::string name = reserve_rule();
  KNAP_CHECK_OK(define_rule(name, body));
  return name;
}

std::string JsonGrammar::reserve_rule() { return fmt::format("r{}", ++rules_); }

Status JsonGrammar::define_rule(const std::string& name, const std::string& body) {
  if (rules_ > kRulesMax || text_.size() + body.size() > kBytesMax) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("the schema is too large: its grammar has more than {} rules or "
                                  "{} KiB",
                                  kRulesMax, kBytesMax >> 10));
  }
  text_ += fmt::format("{} ::= {}\n", name, body);
  return {};
}

Status JsonGrammar::spend_repetitions(std::size_t count) {
  repetitions_ += count;
  if (repetitions_ <= kRepetitionsMax) return {};
  return make_error(
      ErrorCode::kInvalidArgument,
      fmt::format("the schema's lengths and counts add up to more than {}", kRepetitionsMax));
}

std::string JsonGrammar::finish(std::string_view root) && {
  text_ += fmt::format("root ::= {}\n", root);
  return std::move(text_);
}

std::string JsonGrammar::literal(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

std::string any_object_grammar() { return JsonGrammar().finish(JsonGrammar::kObject); }

}  // namespace knap::models::runner
