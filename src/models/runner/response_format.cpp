#include "runner/response_format.hpp"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <utility>

#include "runner/json_grammar.hpp"

namespace knap::models::runner {
namespace {

namespace json = boost::json;

Error wrong(std::string message) {
  return make_error(ErrorCode::kInvalidArgument, std::move(message));
}

}  // namespace

Status read_response_format(const json::object& body, GenerationRequest& work) {
  const auto* format = body.if_contains("response_format");
  if (format == nullptr || format->is_null()) return {};
  const auto* object = format->if_object();
  const auto* type = object == nullptr ? nullptr : object->if_contains("type");
  if (type == nullptr || !type->is_string())
    return wrong("'response_format' must be an object with a 'type'");
  const std::string_view name = type->get_string();
  if (name == "text") return {};
  if (name == "json_object") {
    work.grammar.rules = any_object_grammar();
    return {};
  }
  if (name != "json_schema")
    return wrong("'type' of 'response_format' must be text, json_object or json_schema");
  const auto* wrapped = object->if_contains("json_schema");
  const auto* schema = wrapped == nullptr || !wrapped->is_object()
                           ? nullptr
                           : wrapped->get_object().if_contains("schema");
  if (schema == nullptr) return wrong("'response_format.json_schema' must hold a 'schema'");
  JsonGrammar grammar;
  auto root = grammar.add_schema(*schema, JsonGrammar::Keep::kExact);
  if (!root) return wrong("'response_format': " + root.error().message);
  work.grammar.rules = std::move(grammar).finish(*root);
  return {};
}

}  // namespace knap::models::runner
