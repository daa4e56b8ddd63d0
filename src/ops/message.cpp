#include "message.hpp"

#include <ctime>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <boost/json.hpp>

#include "knap/base/json_text.hpp"

namespace knap::ops {
namespace {

namespace json = boost::json;

/// What goes into a header field or a line of a mail: no line breaks, bounded.
std::string one_line(std::string_view text) {
  constexpr std::size_t kMost = 400;
  std::string out;
  for (const char c : text.substr(0, kMost)) out += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  return out;
}

bool is_resolved(const Alert& alert) { return alert.state == Alert::State::kResolved; }

std::tm utc(std::int64_t unix_ms) { return fmt::gmtime(static_cast<std::time_t>(unix_ms / 1000)); }

}  // namespace

std::string iso_time(std::int64_t unix_ms) {
  if (unix_ms == 0) return "0001-01-01T00:00:00Z";
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", utc(unix_ms));
}

std::string webhook_body(const Alert& alert) {
  const char* const status = is_resolved(alert) ? "resolved" : "firing";
  const json::object labels{
      {"alertname", alert.rule}, {"severity", to_string(alert.severity)}, {"knap_alert", alert.id}};
  const json::object annotations{{"summary", alert.summary}, {"description", alert.reason}};
  json::object one{{"status", status},
                   {"labels", labels},
                   {"annotations", annotations},
                   {"startsAt", iso_time(alert.fired_ms)},
                   {"endsAt", iso_time(alert.resolved_ms)},
                   {"generatorURL", ""},
                   {"fingerprint", alert.id}};
  return json_text(json::object{{"version", "4"},
                                {"groupKey", alert.rule},
                                {"truncatedAlerts", 0},
                                {"status", status},
                                {"receiver", "knap"},
                                {"groupLabels", json::object{{"alertname", alert.rule}}},
                                {"commonLabels", labels},
                                {"commonAnnotations", annotations},
                                {"externalURL", ""},
                                {"alerts", json::array{std::move(one)}}});
}

std::string mail_text(const Alert& alert, const NotifyOptions& options) {
  const std::int64_t when = is_resolved(alert) ? alert.resolved_ms : alert.fired_ms;
  std::string to;
  for (const std::string& each : options.email.to) to += (to.empty() ? "" : ", ") + one_line(each);
  std::string out = fmt::format(
      "From: {}\r\nTo: {}\r\nSubject: [{}] Knap: {}\r\nDate: {:%a, %d %b %Y %H:%M:%S +0000}\r\n"
      "Message-ID: <{}.{}@knap>\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
      "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",
      one_line(options.email.from), to,
      is_resolved(alert) ? "resolved" : std::string(to_string(alert.severity)),
      one_line(alert.summary), utc(when), alert.id, when);
  out += fmt::format("{}.\r\n{}\r\n\r\nAlert: {} ({})\r\nSince: {}\r\n", one_line(alert.summary),
                     one_line(alert.reason), alert.rule, alert.id, iso_time(alert.fired_ms));
  out += is_resolved(alert) ? fmt::format("Resolved: {}\r\n", iso_time(alert.resolved_ms))
                            : fmt::format("Acknowledge it with: knap alerts ack {}\r\n", alert.id);
  return out;
}

}  // namespace knap::ops
