#include "runner/schema_reader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "knap/base/json_text.hpp"
#include "knap/base/text.hpp"

namespace knap::models::runner {
namespace {

namespace json = boost::json;

constexpr std::size_t kDepthMax = 48;
constexpr std::size_t kAlternativesMax = 500;
constexpr std::size_t kMembersMax = 200;
constexpr std::int64_t kRepeatMax = 1'000;
constexpr double kIntegerMax = 1e15;
constexpr std::size_t kPathShown = 200;

constexpr std::array<std::string_view, 12> kAnnotations{
    "title",    "description", "default",  "examples",  "$schema", "$id",
    "$comment", "deprecated",  "readOnly", "writeOnly", "$defs",   "definitions"};
constexpr std::array<std::string_view, 22> kKept{
    "type",    "enum",        "const",    "properties", "required",         "additionalProperties",
    "items",   "prefixItems", "minItems", "maxItems",   "minLength",        "maxLength",
    "minimum", "maximum",     "format",   "anyOf",      "exclusiveMinimum", "exclusiveMaximum",
    "oneOf",   "allOf",       "$ref",     "nullable"};
constexpr std::array<std::string_view, 3> kRuleFormats{"date", "time", "uuid"};

template <std::size_t N>
bool is_one_of(std::string_view text, const std::array<std::string_view, N>& list) {
  return std::ranges::find(list, text) != list.end();
}

void add_alternative(std::string& body, std::string_view alternative) {
  if (!body.empty()) body += " | ";
  body += alternative;
}

std::string quoted(std::string_view rule) { return fmt::format(R"("\"" {} "\"")", rule); }

}  // namespace

Error SchemaReader::wrong(std::string_view what) const {
  const std::string place =
      path_.empty() ? "" : fmt::format(" at '{}'", text::truncate(path_, kPathShown));
  return make_error(ErrorCode::kInvalidArgument, fmt::format("the schema{}: {}", place, what));
}

Result<std::string> SchemaReader::read_schema(const json::value& schema) {
  if (const auto* flag = schema.if_bool(); flag != nullptr && *flag) return std::string("value");
  const auto* object = schema.if_object();
  if (object == nullptr) return wrong("must be an object");
  if (const auto known = references_.find(&schema); known != references_.end())
    return known->second;
  if (depth_ >= kDepthMax) return wrong(fmt::format("is nested deeper than {}", kDepthMax));
  // Known by its name before it is read: it may lead back to itself.
  std::string name = grammar_.reserve_rule();
  references_.emplace(&schema, name);
  ++depth_;
  auto body = body_of(*object);
  --depth_;
  if (!body) return std::move(body).error();
  KNAP_CHECK_OK(grammar_.define_rule(name, *body));
  return name;
}

Status SchemaReader::check_keywords(const Object& schema) const {
  if (loose()) return {};
  for (const auto& field : schema) {
    const std::string_view name = field.key();
    if (is_one_of(name, kKept) || is_one_of(name, kAnnotations)) continue;
    return wrong(fmt::format("'{}' cannot be kept here: leave it out", text::truncate(name, 40)));
  }
  const bool shaped = schema.contains("properties") || schema.contains("items");
  for (const std::string_view choice : {"anyOf", "oneOf", "allOf", "$ref"}) {
    if (shaped && schema.contains(choice))
      return wrong(fmt::format("'{}' beside properties or items cannot be kept here", choice));
  }
  return {};
}

Result<std::string> SchemaReader::body_of(const Object& schema) {
  KNAP_CHECK_OK(check_keywords(schema));
  if (schema.contains("$ref")) return read_reference(schema);
  if (schema.contains("const") || schema.contains("enum")) return read_constants(schema);
  for (const std::string_view choice : {"anyOf", "oneOf", "allOf"}) {
    if (schema.contains(choice)) return read_alternatives(schema, choice);
  }
  return read_types(schema);
}

// ---- What leads elsewhere

Result<std::string> SchemaReader::read_reference(const Object& schema) {
  const auto* pointer = schema.at("$ref").if_string();
  if (pointer == nullptr || !std::string_view(*pointer).starts_with('#'))
    return wrong("'$ref' must point into the same schema, like #/$defs/name");
  KNAP_TRY(const json::value* target, resolve(std::string_view(*pointer).substr(1)));
  const Step step(*this, "$ref");
  return read_schema(*target);
}

Result<const json::value*> SchemaReader::resolve(std::string_view pointer) const {
  boost::system::error_code error;
  const json::value* found = root_.find_pointer(pointer, error);
  if (error || found == nullptr)
    return wrong(fmt::format("'$ref' points to nothing: #{}", text::truncate(pointer, kPathShown)));
  return found;
}

Result<std::string> SchemaReader::read_alternatives(const Object& schema,
                                                    std::string_view keyword) {
  const auto* list = schema.at(keyword).if_array();
  if (list == nullptr || list->empty() || list->size() > kAlternativesMax)
    return wrong(fmt::format("'{}' must be a list of 1 to {}", keyword, kAlternativesMax));
  if (keyword == "allOf" && list->size() > 1) {
    if (loose()) return std::string("value");
    return wrong("'allOf' of several schemas cannot be kept here: write them as one");
  }
  std::string body;
  for (std::size_t i = 0; i < list->size(); ++i) {
    const Step step(*this, fmt::format("{}.{}", keyword, i));
    KNAP_TRY(const std::string rule, read_schema((*list)[i]));
    add_alternative(body, rule);
  }
  return body;
}

// ---- Values

Result<std::string> SchemaReader::read_constants(const Object& schema) {
  if (const auto* value = schema.if_contains("const"))
    return JsonGrammar::literal(json_text(*value));
  const auto* list = schema.at("enum").if_array();
  if (list == nullptr || list->empty() || list->size() > kAlternativesMax)
    return wrong(fmt::format("'enum' must be a list of 1 to {}", kAlternativesMax));
  std::string body;
  for (const json::value& value : *list)
    add_alternative(body, JsonGrammar::literal(json_text(value)));
  return body;
}

Result<std::string> SchemaReader::read_types(const Object& schema) {
  std::string body;
  const auto* type = schema.if_contains("type");
  if (type == nullptr) {
    const auto any_of = [&](std::initializer_list<std::string_view> names) {
      return std::ranges::any_of(names, [&](auto name) { return schema.contains(name); });
    };
    if (any_of({"properties", "required", "additionalProperties"}))
      return read_type(schema, "object");
    if (any_of({"items", "prefixItems", "minItems", "maxItems"})) return read_type(schema, "array");
    if (any_of({"minLength", "maxLength", "format"})) return read_type(schema, "string");
    if (!loose() && any_of({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}))
      return wrong("bounds need a 'type'");
    return std::string("value");
  }
  if (type->is_string()) {
    KNAP_TRY(body, read_type(schema, std::string_view(type->get_string())));
  } else if (type->is_array() && !type->get_array().empty() && type->get_array().size() <= 7) {
    for (const json::value& each : type->get_array()) {
      if (!each.is_string()) return wrong("'type' must be a text or a list of texts");
      KNAP_TRY(const std::string part, read_type(schema, std::string_view(each.get_string())));
      add_alternative(body, part);
    }
  } else {
    return wrong("'type' must be a text or a list of texts");
  }
  // OpenAPI's word for what JSON Schema says with a list of types.
  if (const auto* nullable = schema.if_contains("nullable");
      nullable != nullptr && nullable->is_bool() && nullable->get_bool())
    add_alternative(body, "null");
  return body;
}

Result<std::string> SchemaReader::read_type(const Object& schema, std::string_view type) {
  if (type == "object") return read_object(schema);
  if (type == "array") return read_array(schema);
  if (type == "string") return read_string(schema);
  if (type == "integer") return read_integer(schema);
  if (type == "number") return read_number(schema);
  if (type == "boolean" || type == "null") return std::string(type);
  return wrong("'type' must be object, array, string, integer, number, boolean or null");
}

Result<SchemaReader::Counts> SchemaReader::read_counts(const Object& schema, std::string_view min,
                                                       std::string_view max) {
  Counts counts;
  for (const auto name : {min, max}) {
    const auto* value = schema.if_contains(name);
    if (value == nullptr) continue;
    boost::system::error_code error;
    const auto count = value->to_number<std::int64_t>(error);
    if (error || count < 0) return wrong(fmt::format("'{}' must be a whole number", name));
    if (count > kRepeatMax) {
      if (loose()) continue;
      return wrong(fmt::format("'{}' may be at most {} here", name, kRepeatMax));
    }
    if (name == min) counts.min = static_cast<std::size_t>(count);
    if (name == max) counts.max = static_cast<std::size_t>(count);
  }
  if (counts.max && *counts.max < counts.min)
    return wrong(fmt::format("'{}' is less than '{}'", max, min));
  KNAP_CHECK_OK(grammar_.spend_repetitions(counts.max.value_or(counts.min)));
  return counts;
}

Result<std::string> SchemaReader::read_string(const Object& schema) {
  if (const auto* format = schema.if_contains("format"); format != nullptr) {
    const std::string_view name =
        format->is_string() ? std::string_view(format->get_string()) : std::string_view();
    if (is_one_of(name, kRuleFormats)) return quoted(name);
    if (name == "date-time") return quoted(R"(date "T" time)");
    if (!loose())
      return wrong("of the formats date, time, date-time and uuid can be kept here: leave it out");
  }
  KNAP_TRY(const Counts counts, read_counts(schema, "minLength", "maxLength"));
  if (counts.min == 0 && !counts.max) return std::string("string");
  if (!counts.max) return quoted(fmt::format("char{{{},}}", counts.min));
  if (*counts.max == 0) return std::string(R"("\"\"")");
  return quoted(fmt::format("char{{{},{}}}", counts.min, *counts.max));
}

Result<std::string> SchemaReader::read_integer(const Object& schema) const {
  double low = -kIntegerMax;
  double high = kIntegerMax;
  const auto bound = [&](std::string_view name) -> Result<std::optional<double>> {
    const auto* value = schema.if_contains(name);
    if (value == nullptr) return std::optional<double>();
    boost::system::error_code error;
    const auto number = value->to_number<double>(error);
    if (error || !(std::abs(number) < kIntegerMax))
      return wrong(fmt::format("'{}' must be a number within +-1e15", name));
    return std::optional(number);
  };
  KNAP_TRY(const auto min, bound("minimum"));
  KNAP_TRY(const auto max, bound("maximum"));
  KNAP_TRY(const auto above, bound("exclusiveMinimum"));
  KNAP_TRY(const auto below, bound("exclusiveMaximum"));
  if (min) low = std::ceil(*min);
  if (above) low = std::max(low, std::floor(*above) + 1);
  if (max) high = std::floor(*max);
  if (below) high = std::min(high, std::ceil(*below) - 1);
  if (!min && !max && !above && !below) return std::string("integer");
  if (low > high) return wrong("its bounds leave no number");
  return "(" +
         integer_range_grammar(static_cast<std::int64_t>(low), static_cast<std::int64_t>(high)) +
         ")";
}

Result<std::string> SchemaReader::read_number(const Object& schema) const {
  const bool bounded = schema.contains("maximum") || schema.contains("exclusiveMinimum") ||
                       schema.contains("exclusiveMaximum");
  const auto* min = schema.if_contains("minimum");
  if (min == nullptr && !bounded) return std::string("number");
  boost::system::error_code error;
  const bool from_zero = min != nullptr && min->to_number<double>(error) == 0 && !error;
  if (!loose() && (bounded || !from_zero))
    return wrong("of a number's bounds only \"minimum\": 0 can be kept here: leave them out");
  return std::string(from_zero ? "positive" : "number");
}

// ---- Lists

Result<std::string> SchemaReader::read_array(const Object& schema) {
  if (schema.contains("prefixItems")) return read_tuple(schema);
  KNAP_TRY(const Counts counts, read_counts(schema, "minItems", "maxItems"));
  std::string item = "value";
  if (const auto* items = schema.if_contains("items")) {
    const Step step(*this, "items");
    KNAP_TRY(item, read_schema(*items));
  }
  if (counts.max == 0) return std::string(R"("[" ws "]")");
  const std::size_t more = counts.min > 0 ? counts.min - 1 : 0;
  const std::string times =
      counts.max ? fmt::format("{{{},{}}}", more, *counts.max - 1) : fmt::format("{{{},}}", more);
  std::string rest = counts.max == 1 ? "" : fmt::format(R"( ("," ws {}){})", item, times);
  return fmt::format(R"("[" ws ({}{} ws){} "]")", item, rest, counts.min == 0 ? "?" : "");
}

Result<std::string> SchemaReader::read_tuple(const Object& schema) {
  const auto* list = schema.at("prefixItems").if_array();
  if (list == nullptr || list->empty() || list->size() > kMembersMax)
    return wrong(fmt::format("'prefixItems' must be a list of 1 to {}", kMembersMax));
  if (const auto* rest = schema.if_contains("items");
      !loose() && rest != nullptr && !(rest->is_bool() && !rest->get_bool()))
    return wrong("'items' beside 'prefixItems' cannot be kept here, unless false");
  std::string body = R"("[" ws)";
  for (std::size_t i = 0; i < list->size(); ++i) {
    const Step step(*this, fmt::format("prefixItems.{}", i));
    KNAP_TRY(const std::string item, read_schema((*list)[i]));
    body += (i > 0 ? R"( "," ws )" : " ") + item;
  }
  return body + R"( ws "]")";
}

// ---- Objects

Result<std::string> SchemaReader::read_object(const Object& schema) {
  json::object members;
  if (const auto* properties = schema.if_contains("properties")) {
    if (!properties->is_object()) return wrong("'properties' must be an object");
    if (properties->get_object().size() > kMembersMax)
      return wrong(fmt::format("'properties' has more than {}", kMembersMax));
    if (!properties->get_object().empty()) return read_members(properties->get_object(), schema);
  }
  return read_map(schema);
}

Result<std::string> SchemaReader::read_map(const Object& schema) {
  if (const auto* required = schema.if_contains("required");
      !loose() && required != nullptr && required->is_array() && !required->get_array().empty())
    return wrong("'required' names what 'properties' does not describe");
  const auto* others = schema.if_contains("additionalProperties");
  if (others == nullptr || (others->is_bool() && others->get_bool())) return std::string("object");
  if (others->is_bool()) return std::string(R"("{" ws "}")");
  const Step step(*this, "additionalProperties");
  KNAP_TRY(const std::string value, read_schema(*others));
  return fmt::format(R"("{{" ws (string ":" ws {0} ("," ws string ":" ws {0})* ws)? "}}")", value);
}

// Each member has a rule for what follows when none has been written yet, and one for after a
// comma: optional ones may be passed over.
Result<std::string> SchemaReader::read_members(const Object& properties, const Object& schema) {
  std::vector<std::string_view> required;
  if (const auto* names = schema.if_contains("required"); names != nullptr && names->is_array()) {
    for (const json::value& name : names->get_array()) {
      if (!name.is_string()) return wrong("'required' must be a list of names");
      required.emplace_back(name.get_string());
      if (!properties.contains(required.back()) && !loose())
        return wrong("'required' names what 'properties' does not describe");
    }
  }
  std::vector<std::string> values;
  for (const auto& property : properties) {
    const Step step(*this, fmt::format("properties.{}", std::string_view(property.key())));
    KNAP_TRY(std::string value, read_schema(property.value()));
    values.push_back(std::move(value));
  }
  std::string first;         // nothing has been written, and nothing is left
  std::string after = "ws";  // something has been written
  for (std::size_t i = properties.size(); i-- > 0;) {
    const std::string_view key = (properties.begin() + static_cast<std::ptrdiff_t>(i))->key();
    const std::string member = fmt::format(
        R"({} ":" ws {} {})", JsonGrammar::literal(json_text(json::value(key))), values[i], after);
    const bool must = std::ranges::find(required, key) != required.end();
    std::string begin = member;
    if (!must) begin = first.empty() ? fmt::format("({})?", member) : member + " | " + first;
    std::string next = R"("," ws )" + member;
    if (!must) next += " | " + after;
    KNAP_TRY(first, grammar_.add_rule(begin));
    if (i == 0) break;
    KNAP_TRY(after, grammar_.add_rule(next));
  }
  return fmt::format(R"("{{" ws {} "}}")", first);
}

}  // namespace knap::models::runner
