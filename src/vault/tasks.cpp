#include <algorithm>
#include <array>

#include "front_matter.hpp"
#include "knap/base/text.hpp"
#include "parts.hpp"

namespace knap::vault {
namespace {

/// The Tasks plugin's signs, without their variation selectors. What follows a sign belongs to it.
struct Sign {
  std::string_view text;
  std::optional<DateTime> Task::*date;  ///< Null: the sign carries no date.
  enum class Value { kDate, kRecurrence, kWord, kNone } value;
};
const std::array<Sign, 17> kSigns = {{
    {"📅", &Task::due, Sign::Value::kDate},
    {"📆", &Task::due, Sign::Value::kDate},
    {"🗓", &Task::due, Sign::Value::kDate},
    {"⏳", &Task::scheduled, Sign::Value::kDate},
    {"⌛", &Task::scheduled, Sign::Value::kDate},
    {"🛫", &Task::start, Sign::Value::kDate},
    {"✅", &Task::done, Sign::Value::kDate},
    {"➕", &Task::created, Sign::Value::kDate},
    {"❌", &Task::cancelled, Sign::Value::kDate},
    {"🔁", nullptr, Sign::Value::kRecurrence},
    {"🆔", nullptr, Sign::Value::kWord},
    {"⛔", nullptr, Sign::Value::kWord},
    {"🏁", nullptr, Sign::Value::kWord},
    {"🔺", nullptr, Sign::Value::kNone},
    {"⏫", nullptr, Sign::Value::kNone},
    {"🔼", nullptr, Sign::Value::kNone},
    {"🔽", nullptr, Sign::Value::kNone},
}};
constexpr std::string_view kLowest = "⏬";
constexpr std::string_view kVariation = "\xEF\xB8\x8F";

struct Field {
  std::string_view name;
  std::optional<DateTime> Task::*date;
};
const std::array<Field, 9> kFields = {{{"due", &Task::due},
                                       {"scheduled", &Task::scheduled},
                                       {"start", &Task::start},
                                       {"completion", &Task::done},
                                       {"done", &Task::done},
                                       {"created", &Task::created},
                                       {"cancelled", &Task::cancelled},
                                       {"repeat", nullptr},
                                       {"priority", nullptr}}};

const Sign* sign_at(std::string_view text) {
  if (text.empty() || static_cast<unsigned char>(text[0]) < 0xE0) return nullptr;
  for (const Sign& sign : kSigns) {
    if (text.starts_with(sign.text)) return &sign;
  }
  return nullptr;
}

std::string_view skip_spaces(std::string_view text) {
  while (!text.empty() && (text[0] == ' ' || text[0] == '\t')) text.remove_prefix(1);
  return text;
}

/// Reads a sign and its value at the start of `text`; returns the bytes read.
std::size_t read_sign(const Sign& sign, std::string_view text, Task& task) {
  std::string_view rest = text.substr(sign.text.size());
  if (rest.starts_with(kVariation)) rest.remove_prefix(kVariation.size());
  const std::string_view after = skip_spaces(rest);
  switch (sign.value) {
    case Sign::Value::kDate:
      if (const auto date = parse_date_time(after.substr(0, 10))) {
        if (!(task.*sign.date)) task.*sign.date = date;
        rest = after.substr(10);
      }
      break;
    case Sign::Value::kRecurrence: {
      std::size_t end = 0;
      while (end < after.size() && after[end] != '[' && after[end] != '(' && after[end] != '#' &&
             sign_at(after.substr(end)) == nullptr && !after.substr(end).starts_with(kLowest)) {
        ++end;
      }
      task.recurrence = std::string(text::trim(after.substr(0, end)));
      rest = after.substr(end);
      break;
    }
    case Sign::Value::kWord:
      rest = after.substr(std::min(after.find_first_of(" \t"), after.size()));
      break;
    case Sign::Value::kNone: break;
  }
  return text.size() - rest.size();
}

/// Reads Dataview's "[due:: 2026-01-01]" or "(due:: ...)" at the start of `text`; 0: none of a
/// task's fields.
std::size_t read_field(std::string_view text, Task& task) {
  const char close = text[0] == '[' ? ']' : ')';
  const std::size_t end = text.substr(0, 256).find(close);
  if (end == std::string_view::npos) return 0;
  const std::string_view inside = text.substr(1, end - 1);
  const std::size_t colons = inside.find("::");
  if (colons == std::string_view::npos) return 0;
  const std::string_view name = text::trim(inside.substr(0, colons));
  const std::string_view value = text::trim(inside.substr(colons + 2));
  const auto* const field =
      std::find_if(kFields.begin(), kFields.end(), [&](const Field& f) { return f.name == name; });
  if (field == kFields.end()) return 0;
  if (field->date != nullptr) {
    if (const auto date = parse_date_time(value); date && !(task.*field->date))
      task.*field->date = date;
  } else if (name == "repeat") {
    task.recurrence = std::string(value);
  }
  return end + 1;
}

Task read_task(std::string_view plain) {
  Task task;
  while (!plain.empty()) {
    std::size_t used = 0;
    if (const Sign* sign = sign_at(plain)) {
      used = read_sign(*sign, plain, task);
    } else if (plain.starts_with(kLowest)) {
      used = kLowest.size();
    } else if (plain[0] == '[' || plain[0] == '(') {
      used = read_field(plain, task);
    }
    if (used > 0) {
      while (!task.text.empty() && task.text.back() == ' ') task.text.pop_back();
      plain.remove_prefix(used);
      if (plain.starts_with(kVariation)) plain.remove_prefix(kVariation.size());
      continue;
    }
    task.text += plain[0];
    plain.remove_prefix(1);
  }
  task.text = std::string(text::trim(task.text));
  return task;
}

}  // namespace

void collect_tasks(const Document& document, std::size_t begin, std::size_t end, Note& note) {
  for (std::size_t i = begin; i < end; ++i) {
    const Line& line = document.lines[i];
    if (line.task_state == 0) continue;
    Task task = read_task(document.plain_of(line));
    task.state = line.task_state;
    task.line = document.number(i);
    note.tasks.push_back(std::move(task));
  }
}

std::optional<DateTime> daily_date(std::string_view name) {
  const bool ends = name.size() == 10 || (name.size() > 10 && (name[10] < '0' || name[10] > '9'));
  if (ends) {
    if (const auto date = parse_date_time(name.substr(0, 10))) return date;
  }
  if (name.size() == 8 && name.find_first_not_of("0123456789") == std::string_view::npos) {
    const std::string iso = std::string(name.substr(0, 4)) + "-" + std::string(name.substr(4, 2)) +
                            "-" + std::string(name.substr(6, 2));
    return parse_date_time(iso);
  }
  return std::nullopt;
}

}  // namespace knap::vault
