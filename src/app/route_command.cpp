#include <fmt/format.h>

#include <boost/json.hpp>
#include <fstream>

#include "commands.hpp"
#include "engine.hpp"
#include "knap/base/json_text.hpp"
#include "remote.hpp"
#include "terminal.hpp"

namespace knap::app {
namespace {

namespace json = boost::json;

bool flag_of(const json::value& value, std::string_view name) {
  const json::value& found = member(value, name);
  return found.is_bool() && found.get_bool();
}

void print_candidates(const json::value& answer) {
  const json::value& list = member(answer, "candidates");
  if (!list.is_array()) return;
  int place = 0;
  for (const json::value& each : list.get_array()) {
    const std::string mark =
        flag_of(each, "usable") ? fmt::format("{}.", ++place) : std::string("-");
    fmt::print("  {:<3} {:<32} {}\n", mark, text_of(each, "model"), text_of(each, "reason"));
  }
}

void print_attempts(const json::value& answer) {
  const json::value& list = member(answer, "attempts");
  if (!list.is_array() || list.get_array().empty()) return;
  fmt::print("Asked\n");
  for (const json::value& each : list.get_array()) {
    fmt::print("  {:<36} {} after {:.0f} ms, {:.0f} + {:.0f} tokens{}", text_of(each, "model"),
               text_of(each, "outcome"), number_of(each, "took_ms"),
               number_of(each, "prompt_tokens"), number_of(each, "completion_tokens"),
               flag_of(each, "tokens_estimated") ? " (estimated)" : "");
    if (number_of(each, "cost") > 0) fmt::print(", cost {:.6f}", number_of(each, "cost"));
    fmt::print("\n");
  }
}

void print_sent(const json::value& entry) {
  fmt::print("{}  {} at {}, {:.0f} bytes, request {}\n", text_of(entry, "time"),
             text_of(entry, "model"), text_of(entry, "server"), number_of(entry, "bytes"),
             text_of(entry, "request_id"));
  const json::value& notes = member(entry, "notes");
  if (!notes.is_array()) return;
  for (const json::value& note : notes.get_array())
    fmt::print("    {}: {} {}\n", text_of(note, "vault"), text_of(note, "path"),
               json_text(member(note, "lines")));
}

}  // namespace

int explain_route(const Config& config, const ServerAddress& server, const ModelsCommand& command) {
  auto remote = Remote::open(config, server);
  if (!remote) return report(remote.error());
  const auto answer = remote->get("/api/models/routes/" + encode_parameter(command.names.front()));
  if (!answer) return report(answer.error());
  if (server.output == Output::kJson) {
    fmt::print("{}\n", json_text(*answer));
    return kExitDone;
  }
  fmt::print("{} request, language {}, up to {:.0f} + {:.0f} tokens{}\n",
             text_of(*answer, "priority"),
             member(*answer, "language").is_string() ? text_of(*answer, "language") : "unknown",
             number_of(*answer, "prompt_tokens"), number_of(*answer, "answer_tokens"),
             flag_of(*answer, "kept_local") ? ", of notes that stay on this machine" : "");
  print_candidates(*answer);
  print_attempts(*answer);
  return kExitDone;
}

int show_sent(const Config& config, Output output) {
  const auto file = sent_log_file(config);
  bool any = false;
  for (const auto& each : {std::filesystem::path(file.string() + ".1"), file}) {
    std::ifstream lines(each);
    for (std::string line; std::getline(lines, line);) {
      any = true;
      if (output == Output::kJson) {
        fmt::print("{}\n", line);
        continue;
      }
      boost::system::error_code error;
      const json::value entry = json::parse(line, error);
      // The last line may be torn by a kill; its call was never made.
      if (!error) print_sent(entry);
    }
  }
  if (!any && output == Output::kText)
    fmt::print("Nothing was sent to a remote model from {}.\n", config.data_dir.string());
  return kExitDone;
}

}  // namespace knap::app
