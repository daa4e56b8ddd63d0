#include "alert_file.hpp"

#include <algorithm>
#include <optional>

#include <boost/json.hpp>

#include "knap/base/file.hpp"
#include "knap/base/json_text.hpp"

namespace knap::ops {
namespace {

namespace json = boost::json;

constexpr std::uint64_t kFileBytesMax = 4U << 20;
constexpr std::int64_t kVersion = 1;

json::object to_json(const Alert& alert) {
  return {{"id", alert.id},
          {"rule", alert.rule},
          {"summary", alert.summary},
          {"reason", alert.reason},
          {"severity", to_string(alert.severity)},
          {"state", to_string(alert.state)},
          {"value", alert.value},
          {"pending_ms", alert.pending_ms},
          {"fired_ms", alert.fired_ms},
          {"acknowledged_ms", alert.acknowledged_ms},
          {"resolved_ms", alert.resolved_ms},
          {"acknowledged_by", alert.acknowledged_by},
          {"note", alert.note}};
}

/// Reads fields and remembers whether all were of the right kind.
class Fields {
 public:
  explicit Fields(const json::object& object) : object_(object) {}
  std::string text(std::string_view name) {
    const json::value* value = find(name);
    if (value != nullptr && value->is_string()) return std::string(value->get_string());
    wrong_ = true;
    return {};
  }
  std::int64_t integer(std::string_view name) {
    const json::value* value = find(name);
    if (value != nullptr && value->is_int64()) return value->get_int64();
    wrong_ = true;
    return 0;
  }
  double number(std::string_view name) {
    const json::value* value = find(name);
    if (value != nullptr && value->is_number()) return value->to_number<double>();
    wrong_ = true;
    return 0;
  }
  bool wrong() const { return wrong_; }

 private:
  const json::value* find(std::string_view name) const { return object_.if_contains(name); }
  const json::object& object_;
  bool wrong_ = false;
};

std::optional<Alert> from_json(const json::value& value) {
  if (!value.is_object()) return std::nullopt;
  Fields fields(value.get_object());
  Alert alert;
  alert.id = fields.text("id");
  alert.rule = fields.text("rule");
  alert.summary = fields.text("summary");
  alert.reason = fields.text("reason");
  alert.severity = fields.text("severity") == "critical" ? Severity::kCritical : Severity::kWarning;
  const std::string state = fields.text("state");
  alert.state = Alert::State::kResolved;
  for (const auto each : {Alert::State::kFiring, Alert::State::kAcknowledged})
    if (state == to_string(each)) alert.state = each;
  alert.value = fields.number("value");
  alert.pending_ms = fields.integer("pending_ms");
  alert.fired_ms = fields.integer("fired_ms");
  alert.acknowledged_ms = fields.integer("acknowledged_ms");
  alert.resolved_ms = fields.integer("resolved_ms");
  alert.acknowledged_by = fields.text("acknowledged_by");
  alert.note = fields.text("note");
  if (fields.wrong()) return std::nullopt;
  return alert;
}

Error damaged(const std::filesystem::path& file) {
  return make_error(ErrorCode::kCorruptData,
                    file.string() + " is no list of alerts that this version knows");
}

}  // namespace

Result<AlertFile> read_alerts(const std::filesystem::path& file) {
  KNAP_TRY(const std::string text, read_file(file, kFileBytesMax));
  boost::system::error_code error;
  const json::value root = json::parse(text, error);
  if (error || !root.is_object()) return damaged(file);
  Fields fields(root.get_object());
  AlertFile out;
  if (fields.integer("version") != kVersion) return damaged(file);
  out.next_id = static_cast<std::uint64_t>(std::max<std::int64_t>(1, fields.integer("next_id")));
  const json::value* list = root.get_object().if_contains("alerts");
  if (fields.wrong() || list == nullptr || !list->is_array()) return damaged(file);
  for (const json::value& each : list->get_array()) {
    auto alert = from_json(each);
    if (!alert) return damaged(file);
    if (out.alerts.size() < Alerts::kKept) out.alerts.push_back(std::move(*alert));
  }
  return out;
}

Status write_alerts(const std::filesystem::path& file, const AlertFile& alerts) {
  json::array list;
  for (const Alert& alert : alerts.alerts) list.push_back(to_json(alert));
  return write_file_atomic(
      file, json_text(json::object{
                {"version", kVersion}, {"next_id", alerts.next_id}, {"alerts", std::move(list)}}));
}

}  // namespace knap::ops
