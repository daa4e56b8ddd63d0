#include "body_reader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "knap/base/text.hpp"

namespace knap::api {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxNameShown = 64;

std::string quoted(std::string_view name) {
  return "'" + std::string(text::truncate(name, kMaxNameShown)) + "'";
}

std::string kind_of(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null: return "null";
    case json::kind::bool_: return "true or false";
    case json::kind::int64:
    case json::kind::uint64:
    case json::kind::double_: return "a number";
    case json::kind::string: return "a text";
    case json::kind::array: return "a list";
    case json::kind::object: return "an object";
  }
  return "something else";
}

Problem wrong_kind(std::string_view name, std::string_view wanted, const json::value& value) {
  return wrong_field(name,
                     quoted(name) + " must be " + std::string(wanted) + ", not " + kind_of(value));
}

std::string list_of(std::span<const std::string_view> choices) {
  std::string out;
  for (const std::string_view choice : choices) {
    if (!out.empty()) out += ", ";
    out += choice;
  }
  return out;
}

}  // namespace

std::size_t count_characters(std::string_view utf8) {
  return static_cast<std::size_t>(std::count_if(utf8.begin(), utf8.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
  }));
}

std::string nearest_hint(std::string_view wrong, std::span<const std::string_view> known) {
  constexpr std::size_t kFarthest = 3;
  std::string_view best;
  std::size_t best_distance = kFarthest + 1;
  for (const std::string_view candidate : known) {
    const std::size_t distance = text::edit_distance(wrong, candidate, kFarthest);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  if (best.empty()) return {};
  return "; did you mean " + quoted(best) + "?";
}

Checked<BodyReader> BodyReader::parse(std::string_view body, Unknown unknown) {
  json::parse_options options;
  options.max_depth = kMaxDepth;
  json::error_code error;
  json::parser parser({}, options);
  const std::size_t consumed = parser.write_some(body.data(), body.size(), error);
  if (!error && consumed < body.size() &&
      body.find_first_not_of(" \t\r\n", consumed) != std::string_view::npos) {
    return refuse({400,
                   "invalid_json",
                   "the body goes on after its JSON, at byte " + std::to_string(consumed),
                   {}});
  }
  if (error) {
    const std::string where = body.empty() ? "the body is empty: send a JSON object"
                                           : "the body is not JSON, at byte " +
                                                 std::to_string(consumed) + ": " + error.message();
    return refuse({400, "invalid_json", where, {}});
  }
  json::value value = parser.release();
  if (!value.is_object()) {
    return refuse(
        {422, "invalid_argument", "the body must be a JSON object, not " + kind_of(value), {}});
  }
  return BodyReader(std::move(value.get_object()), unknown);
}

BodyReader BodyReader::from_query(const std::vector<std::pair<std::string, std::string>>& query) {
  json::object object;
  for (const auto& [name, value] : query) object[name] = value;
  BodyReader reader(std::move(object), Unknown::kRefuse);
  reader.from_text_ = true;
  return reader;
}

void BodyReader::fail(Problem problem) {
  if (!problem_) problem_ = std::move(problem);
}

const json::value* BodyReader::raw(std::string_view name) {
  known_.push_back(name);
  const auto found = object_.find(name);
  if (found == object_.end() || found->value().is_null()) return nullptr;
  return &found->value();
}

bool BodyReader::check_text(std::string_view name, const json::value& value, TextLimits limits) {
  if (!value.is_string()) {
    fail(wrong_kind(name, "a text", value));
    return false;
  }
  const std::size_t size = count_characters(value.get_string());
  if (size >= limits.min && size <= limits.max) return true;
  fail(wrong_field(name, quoted(name) + " must have " + std::to_string(limits.min) + " to " +
                             std::to_string(limits.max) + " characters, not " +
                             std::to_string(size)));
  return false;
}

void BodyReader::text(std::string_view name, Need need, TextLimits limits, std::string& out) {
  const json::value* value = raw(name);
  if (value == nullptr) {
    if (need == Need::kRequired)
      fail(wrong_field(name, "the field " + quoted(name) + " is missing"));
    return;
  }
  if (check_text(name, *value, limits)) out = std::string(value->get_string());
}

void BodyReader::integer(std::string_view name, std::int64_t min, std::int64_t max,
                         std::int64_t& out) {
  const json::value* value = raw(name);
  if (value == nullptr) return;
  std::int64_t number = 0;
  bool whole = false;
  if (value->is_int64()) {
    number = value->get_int64();
    whole = true;
  } else if (value->is_double() && value->get_double() >= -1e15 && value->get_double() <= 1e15) {
    number = static_cast<std::int64_t>(value->get_double());
    whole = static_cast<double>(number) == value->get_double();
  } else if (from_text_ && value->is_string()) {
    const auto& digits = value->get_string();
    const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    whole = read.ec == std::errc{} && read.ptr == digits.data() + digits.size() && !digits.empty();
  } else if (!value->is_uint64() && !value->is_double()) {
    fail(wrong_kind(name, "a whole number", *value));
    return;
  }
  if (!whole || number < min || number > max) {
    fail(wrong_field(name, quoted(name) + " must be a whole number from " + std::to_string(min) +
                               " to " + std::to_string(max)));
    return;
  }
  out = number;
}

void BodyReader::number(std::string_view name, double min, double max, double& out) {
  const json::value* value = raw(name);
  if (value == nullptr) return;
  double number = 0;
  bool read = value->is_number();
  if (read) {
    number = value->is_double() ? value->get_double() : value->to_number<double>();
  } else if (from_text_ && value->is_string()) {
    const auto& text = value->get_string();
    const auto result = std::from_chars(text.data(), text.data() + text.size(), number);
    read = result.ec == std::errc{} && result.ptr == text.data() + text.size();
  }
  if (!read) return fail(wrong_kind(name, "a number", *value));
  if (!(number >= min && number <= max)) {
    return fail(wrong_field(name, fmt::format("{} must be from {} to {}", quoted(name), min, max)));
  }
  out = number;
}

void BodyReader::boolean(std::string_view name, bool& out) {
  const json::value* value = raw(name);
  if (value == nullptr) return;
  if (value->is_bool()) {
    out = value->get_bool();
  } else if (from_text_ && value->is_string() &&
             (value->get_string() == "true" || value->get_string() == "1")) {
    out = true;
  } else if (from_text_ && value->is_string() &&
             (value->get_string() == "false" || value->get_string() == "0")) {
    out = false;
  } else {
    fail(wrong_kind(name, "true or false", *value));
  }
}

void BodyReader::choice(std::string_view name, std::span<const std::string_view> choices,
                        std::size_t& out) {
  const json::value* value = raw(name);
  if (value == nullptr) return;
  if (!value->is_string()) return fail(wrong_kind(name, "a text", *value));
  const std::string_view text(value->get_string());
  const auto found = std::find(choices.begin(), choices.end(), text);
  if (found == choices.end()) {
    return fail(wrong_field(
        name, quoted(name) + " must be one of " + list_of(choices) + nearest_hint(text, choices)));
  }
  out = static_cast<std::size_t>(found - choices.begin());
}

void BodyReader::texts(std::string_view name, std::size_t max_count, TextLimits limits,
                       std::vector<std::string>& out) {
  const json::value* value = raw(name);
  if (value == nullptr) return;
  if (value->is_string()) {
    if (check_text(name, *value, limits)) out.emplace_back(value->get_string());
    return;
  }
  if (!value->is_array()) return fail(wrong_kind(name, "a text or a list of texts", *value));
  if (value->get_array().size() > max_count) {
    return fail(wrong_field(
        name, quoted(name) + " has more than " + std::to_string(max_count) + " entries"));
  }
  for (const json::value& entry : value->get_array()) {
    if (!check_text(name, entry, limits)) return;
    out.emplace_back(entry.get_string());
  }
}

Checked<void> BodyReader::finish() {
  if (unknown_ == Unknown::kRefuse) {
    for (const auto& field : object_) {
      const std::string_view name = field.key();
      if (std::find(known_.begin(), known_.end(), name) != known_.end()) continue;
      // A misspelt name explains a missing field better than the missing field itself.
      return refuse(wrong_field(text::truncate(name, kMaxNameShown),
                                "unknown field " + quoted(name) + nearest_hint(name, known_)));
    }
  }
  if (problem_) return refuse(*problem_);
  return {};
}

}  // namespace knap::api
