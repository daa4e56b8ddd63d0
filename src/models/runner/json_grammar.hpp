#pragma once

#include <boost/json/value.hpp>
#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "knap/base/result.hpp"

namespace knap::models::runner {

/// Writes a grammar (llama.cpp's GBNF) whose texts are JSON of a certain form.
///
/// What is taken of JSON Schema: type (also a list), enum, const, properties, required,
/// additionalProperties, items, prefixItems, minItems, maxItems, minLength, maxLength, bounds of
/// integers, the formats date, time, date-time and uuid, anyOf, oneOf (as anyOf), allOf of one, and
/// $ref within the document. Objects with properties are closed and keep their order: a text of the
/// grammar is valid under the schema, though not every valid text is one of the grammar.
///
/// Texts of callers come into the grammar only as quoted literals, so that it always parses: the
/// parser prints what it cannot read. Bounded in rules, repetitions and bytes. Threads: one at a
/// time.
class JsonGrammar {
 public:
  enum class Keep {
    kExact,  ///< What the grammar cannot express is an error.
    kLoose,  ///< It is left out: texts have the right shape but may break it.
  };

  JsonGrammar();
  /// @return the name of a rule for the texts that are valid under `schema`
  /// Errors: kInvalidArgument: says where in the schema, and what cannot be kept.
  Result<std::string> add_schema(const boost::json::value& schema, Keep keep);
  /// @return the name of a new rule with this body
  Result<std::string> add_rule(const std::string& body);
  /// The same in two steps, for rules that lead back to themselves.
  std::string reserve_rule();
  Status define_rule(const std::string& name, const std::string& body);
  /// The whole grammar, with `root` as the body of its start rule "root".
  std::string finish(std::string_view root) &&;

  /// A literal of the grammar that stands for this text, which holds no control characters.
  static std::string literal(std::string_view text);
  /// Names of rules that are always there.
  static constexpr std::string_view kSpace = "ws", kObject = "object";

 private:
  friend class SchemaReader;
  Status spend_repetitions(std::size_t count);

  std::string text_;
  std::size_t rules_ = 0, repetitions_ = 0;
};

/// The grammar of any JSON object.
std::string any_object_grammar();

/// Alternatives for the decimal forms of the integers from `min` to `max`, both within +-10^15.
/// Empty when there are none.
std::string integer_range_grammar(std::int64_t min, std::int64_t max);

}  // namespace knap::models::runner
