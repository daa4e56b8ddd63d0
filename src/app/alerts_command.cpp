#include <cstdlib>

#include <fmt/format.h>

#include "commands.hpp"
#include "knap/base/json_text.hpp"
#include "remote.hpp"
#include "terminal.hpp"

namespace knap::app {
namespace {

namespace json = boost::json;

void print_alert(const json::value& alert, const Terminal& terminal) {
  const std::string state = text_of(alert, "state");
  const bool open = state == "firing" || state == "pending";
  const std::string severity = text_of(alert, "severity");
  const std::string id = text_of(alert, "id");
  const std::string since =
      text_of(alert, open || state == "acknowledged" ? "firing_since" : "resolved");
  fmt::print("{:<10} {:<13} {:<9} {:<21} {}\n", id.empty() ? "-" : id,
             open ? terminal.bad(state) : state, severity, since,
             printable(text_of(alert, "summary")));
  fmt::print("{:10} {}\n", "", terminal.dim(printable(text_of(alert, "reason"))));
  if (const std::string note = text_of(alert, "note"); !note.empty())
    fmt::print("{:10} {}\n", "", terminal.dim("note: " + printable(note)));
}

}  // namespace

int alerts(const Config& config, const ServerAddress& server) {
  auto remote = Remote::open(config, server);
  if (!remote) return report(remote.error());
  const auto answer = remote->get("/api/health/alerts");
  if (!answer) return report(answer.error());
  bool firing = false;
  const json::value& active = member(*answer, "active");
  if (active.is_array()) {
    for (const json::value& alert : active.get_array())
      firing = firing || text_of(alert, "state") == "firing";
  }
  if (server.output == Output::kJson) {
    fmt::print("{}\n", json_text(*answer));
    return firing ? kExitFailed : kExitDone;
  }
  const Terminal terminal(Terminal::Stream::kOut);
  constexpr std::size_t kShown = 10;
  std::size_t shown = 0;
  for (const char* part : {"active", "history"}) {
    const json::value& list = member(*answer, part);
    if (!list.is_array()) continue;
    for (const json::value& alert : list.get_array()) {
      if (part == std::string_view("history") && ++shown > kShown) break;
      print_alert(alert, terminal);
    }
  }
  if (active.is_array() && active.get_array().empty()) fmt::print("no alert is active\n");
  return firing ? kExitFailed : kExitDone;
}

int acknowledge_alert(const Config& config, const ServerAddress& server, const std::string& id,
                      const std::string& note) {
  auto remote = Remote::open(config, server);
  if (!remote) return report(remote.error());
  // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread, nothing changes the environment
  const char* user = std::getenv("USER");
  const json::object body{{"by", user == nullptr ? "" : user}, {"note", note}};
  const auto answer =
      remote->post("/api/health/alerts/" + encode_parameter(id) + "/acknowledge", body);
  if (!answer) return report(answer.error());
  if (server.output == Output::kJson) {
    fmt::print("{}\n", json_text(*answer));
  } else {
    fmt::print("{} is {}\n", id, text_of(*answer, "state"));
  }
  return kExitDone;
}

}  // namespace knap::app
