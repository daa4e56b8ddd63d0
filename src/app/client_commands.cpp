#include <fmt/format.h>

#include "commands.hpp"
#include "knap/base/file.hpp"
#include "knap/base/json_text.hpp"
#include "knap/base/text.hpp"
#include "remote.hpp"
#include "terminal.hpp"

namespace knap::app {
namespace {

namespace json = boost::json;

constexpr std::uint64_t kVoiceBytesMax = 32U << 20;  // half a minute, however it is packed
constexpr std::chrono::seconds kVoicePatience{120};

/// Where in its file a result stands: "#page=3", "#t=75", ":7", ":7-9".
std::string lines_text(const json::value& result) {
  if (const auto& page = member(result, "page"); page.is_number())
    return fmt::format("#page={}", page.to_number<std::int64_t>());
  if (const auto& time = member(result, "time_s"); time.is_number())
    return fmt::format("#t={}", time.to_number<std::int64_t>());
  const auto& lines = member(result, "lines");
  if (!lines.is_array() || lines.get_array().size() != 2) return {};
  const auto at = [&](std::size_t i) { return lines.get_array()[i].to_number<std::int64_t>(); };
  return at(0) == at(1) ? fmt::format(":{}", at(0)) : fmt::format(":{}-{}", at(0), at(1));
}

/// The snippet in one line, its highlights (code points) in bold.
std::string snippet_text(const json::value& result, const Terminal& terminal) {
  const std::string snippet = text_of(result, "snippet");
  std::vector<std::pair<std::size_t, std::size_t>> marks;
  if (const auto& list = member(result, "highlights"); list.is_array()) {
    for (const auto& mark : list.get_array()) {
      if (!mark.is_array() || mark.get_array().size() != 2) continue;
      marks.emplace_back(mark.get_array()[0].to_number<std::size_t>(),
                         mark.get_array()[1].to_number<std::size_t>());
    }
  }
  std::string out, marked;
  std::size_t index = 0;
  auto mark = marks.begin();
  for (std::size_t offset = 0; offset < snippet.size(); ++index) {
    const std::size_t begin = offset;
    text::decode(snippet, offset);
    const std::string piece = snippet[begin] == '\n' ? " " : snippet.substr(begin, offset - begin);
    while (mark != marks.end() && index >= mark->second) ++mark;
    if (mark != marks.end() && index >= mark->first) {
      marked += piece;
      continue;
    }
    if (!marked.empty()) out += terminal.bold(printable(marked));
    marked.clear();
    out += printable(piece);
  }
  return out + (marked.empty() ? "" : terminal.bold(printable(marked)));
}

std::string joined(const json::value& list, std::string_view separator) {
  std::string out;
  if (!list.is_array()) return out;
  for (const auto& item : list.get_array()) {
    if (!item.is_string()) continue;
    if (!out.empty()) out += separator;
    out += std::string_view(item.get_string());
  }
  return out;
}

void print_explain(const json::value& answer, const Terminal& terminal) {
  const auto& explain = member(answer, "explain");
  if (explain.is_null()) return;
  if (const auto& stages = member(explain, "stages"); stages.is_array()) {
    for (const auto& stage : stages.get_array()) fmt::print("{}\n", terminal.dim(json_text(stage)));
  }
}

void print_citations(const json::value& citations, const Terminal& terminal) {
  if (!citations.is_array()) return;
  for (const auto& citation : citations.get_array()) {
    fmt::print("{} {}{}\n    {}\n", terminal.accent(fmt::format("[{}]", number_of(citation, "id"))),
               printable(text_of(citation, "path")), lines_text(citation),
               terminal.dim(printable(text_of(citation, "quote"))));
  }
}

int print_json(const json::value& value) {
  fmt::print("{}\n", json_text(value));
  return kExitDone;
}

/// The streamed answer on a terminal: quotes at once, then the wording; what was checked replaces
/// it when it differs.
class AskPrinter {
 public:
  bool on_event(std::string_view event, const json::value& data) {
    if (event == "transcript") {
      fmt::print("{}\n\n", terminal_.bold(printable(text_of(data, "text"))));
    } else if (event == "sources") {
      print_citations(member(data, "citations"), terminal_);
      fmt::print("\n");
    } else if (event == "token") {
      const std::string piece = printable(text_of(data, "text"));
      streamed_ += piece;
      fmt::print("{}", piece);
    } else if (event == "error") {
      error_ = make_error(ErrorCode::kInternal, text_of(data, "detail"));
    } else if (event == "done") {
      final_ = data;
    }
    std::fflush(stdout);
    return true;
  }

  int finish() const {
    if (error_) return report(*error_);
    const std::string text = printable(text_of(final_, "answer"));
    if (text::trim(text) != text::trim(streamed_)) {
      fmt::print(
          "{}{}\n",
          streamed_.empty() ? "" : "\n\n" + terminal_.dim("Checked against the quotes:") + "\n",
          text);
    } else {
      fmt::print("\n");
    }
    const std::string model = text_of(final_, "model");
    fmt::print("{}\n",
               terminal_.dim(fmt::format("{}{}, {:.0f} ms", text_of(final_, "mode"),
                                         model.empty() ? "" : ", " + model,
                                         number_of(member(final_, "timings"), "total_ms"))));
    return final_.is_null() ? kExitFailed : kExitDone;
  }

 private:
  Terminal terminal_{Terminal::Stream::kOut};
  std::string streamed_;
  std::optional<Error> error_;
  json::value final_;
};

json::object with_optional(
    json::object body,
    std::initializer_list<std::pair<std::string_view, const std::string*>> fields) {
  for (const auto& [name, value] : fields) {
    if (!value->empty()) body[name] = *value;
  }
  return body;
}

}  // namespace

int search(const Config& config, const ServerAddress& server, const SearchOptions& options) {
  auto remote = Remote::open(config, server);
  if (!remote) return report(remote.error());
  json::object body = with_optional(
      {{"query", options.query}, {"limit", options.limit}, {"explain", options.explain}},
      {{"filter", &options.filter},
       {"mode", &options.mode},
       {"vault", &options.vault},
       {"group", &options.group}});
  const auto answer = remote->post("/api/search", body);
  if (!answer) return report(answer.error());
  if (server.output == Output::kJson) return print_json(*answer);
  const Terminal terminal(Terminal::Stream::kOut);
  const auto& results = member(*answer, "results");
  const std::size_t count = results.is_array() ? results.get_array().size() : 0;
  for (std::size_t i = 0; i < count; ++i) {
    const auto& result = results.get_array()[i];
    const std::string headings = joined(member(result, "headings"), " > ");
    fmt::print("{} {}  {}\n   {}{}{}\n   {}\n", terminal.accent(fmt::format("{:>2}.", i + 1)),
               terminal.bold(printable(text_of(result, "title"))),
               terminal.dim(fmt::format("{:.2f}", number_of(result, "score"))),
               printable(text_of(result, "path")), lines_text(result),
               headings.empty() ? "" : terminal.dim("  " + printable(headings)),
               snippet_text(result, terminal));
    if (options.explain) fmt::print("   {}\n", terminal.dim(json_text(member(result, "explain"))));
  }
  print_explain(*answer, terminal);
  if (const auto& corrections = member(*answer, "corrections"); corrections.is_array()) {
    for (const auto& correction : corrections.get_array())
      fmt::print("No note holds “{}”; searched for {}.\n", printable(text_of(correction, "from")),
                 printable(joined(member(correction, "to"), ", ")));
  }
  const std::string degraded = joined(member(*answer, "degraded"), "; ");
  fmt::print("{}\n",
             terminal.dim(fmt::format("{} results, {}, {:.1f} ms{}", count,
                                      text_of(*answer, "mode"), number_of(*answer, "took_ms"),
                                      degraded.empty() ? "" : "; left out: " + degraded)));
  return kExitDone;
}

/// A spoken question: sent as a form, answered with what was heard.
static int ask_by_voice(Remote& remote, const ServerAddress& server, const AskOptions& options) {
  const auto bytes = read_file(options.voice, kVoiceBytesMax);
  if (!bytes) return report(bytes.error());
  const Terminal terminal(Terminal::Stream::kOut);
  const bool stream = terminal.is_terminal() && server.output == Output::kText;
  std::vector<std::pair<std::string, std::string>> fields{{"stream", stream ? "true" : "false"}};
  for (const auto& [name, value] :
       {std::pair("filter", &options.filter), std::pair("mode", &options.mode),
        std::pair("vault", &options.vault), std::pair("answer_model", &options.model),
        std::pair("language", &options.language)})
    if (!value->empty()) fields.emplace_back(name, *value);
  const auto request = form_request(
      "/api/voice_ask", std::filesystem::path(options.voice).filename().string(), *bytes, fields);
  if (stream) {
    AskPrinter printer;
    if (auto status = remote.stream(
            request, [&](auto event, const auto& data) { return printer.on_event(event, data); });
        !status)
      return report(status.error());
    return printer.finish();
  }
  const auto raw = remote.raw(request, kVoicePatience);
  if (!raw) return report(raw.error());
  boost::system::error_code failed;
  const auto answer = json::parse(raw->body, failed);
  if (server.output == Output::kJson) return print_json(answer);
  fmt::print("{}\n\n{}\n\n", printable(text_of(member(answer, "transcript"), "text")),
             printable(text_of(answer, "answer")));
  print_citations(member(answer, "citations"), terminal);
  return kExitDone;
}

int ask(const Config& config, const ServerAddress& server, const AskOptions& options) {
  auto remote = Remote::open(config, server);
  if (!remote) return report(remote.error());
  if (!options.voice.empty()) return ask_by_voice(*remote, server, options);
  json::object body = with_optional({{"question", options.question}}, {{"filter", &options.filter},
                                                                       {"mode", &options.mode},
                                                                       {"vault", &options.vault},
                                                                       {"model", &options.model}});
  const Terminal terminal(Terminal::Stream::kOut);
  if (terminal.is_terminal() && server.output == Output::kText) {
    body["stream"] = true;
    AskPrinter printer;
    if (auto status = remote->stream(
            "/api/ask", body,
            [&](auto event, const auto& data) { return printer.on_event(event, data); });
        !status) {
      return report(status.error());
    }
    return printer.finish();
  }
  const auto answer = remote->post("/api/ask", body);
  if (!answer) return report(answer.error());
  if (server.output == Output::kJson) return print_json(*answer);
  fmt::print("{}\n\n", printable(text_of(*answer, "answer")));
  print_citations(member(*answer, "citations"), terminal);
  return kExitDone;
}

int status(const Config& config, const ServerAddress& server) {
  auto remote = Remote::open(config, server);
  if (!remote) return report(remote.error());
  const auto index = remote->get("/api/index/status");
  if (!index) return report(index.error());
  if (server.output == Output::kJson) return print_json(*index);
  const Terminal terminal(Terminal::Stream::kOut);
  bool failed = false;
  if (const auto& vaults = member(*index, "vaults"); vaults.is_array()) {
    for (const auto& vault : vaults.get_array()) {
      const auto& counts = member(vault, "files");
      const auto& coverage = member(vault, "coverage");
      const auto count = [&](std::string_view name) {
        return grouped(static_cast<std::uint64_t>(number_of(counts, name)));
      };
      failed = failed || number_of(counts, "failed") > 0;
      fmt::print(
          "{}\n  files     {} in all: {} indexed, {} skipped, {} failed, {} pending, {} stale\n",
          terminal.bold(text_of(vault, "name")), count("total"), count("indexed"), count("skipped"),
          count("failed"), count("pending"), count("stale"));
      fmt::print(
          "  passages  {}\n  coverage  keyword {:.1f} %, semantic {:.1f} %\n  lag       {:.0f} "
          "ms\n",
          grouped(static_cast<std::uint64_t>(number_of(vault, "passages"))),
          number_of(coverage, "keyword") * 100, number_of(coverage, "semantic") * 100,
          number_of(vault, "lag_ms"));
      if (const std::string model = text_of(vault, "embed_model"); !model.empty())
        fmt::print("  model     {}: {}\n", model, text_of(vault, "embed_state"));
    }
  }
  if (failed)
    fmt::print("{}\n", terminal.bad("Some files failed: `knap files --state failed` says why."));
  return kExitDone;
}

int files(const Config& config, const ServerAddress& server, const FilesOptions& options) {
  constexpr std::uint32_t kPage = 1000;
  auto remote = Remote::open(config, server);
  if (!remote) return report(remote.error());
  json::array all;
  std::string cursor;
  do {
    const std::size_t left = options.limit == 0 ? kPage : options.limit - all.size();
    std::string path = fmt::format("/api/index/files?limit={}", std::min<std::size_t>(kPage, left));
    if (!options.state.empty()) path += "&state=" + encode_parameter(options.state);
    if (!options.vault.empty()) path += "&vault=" + encode_parameter(options.vault);
    if (!cursor.empty()) path += "&cursor=" + encode_parameter(cursor);
    const auto page = remote->get(path);
    if (!page) return report(page.error());
    if (const auto& list = member(*page, "files"); list.is_array())
      all.insert(all.end(), list.get_array().begin(), list.get_array().end());
    cursor = text_of(*page, "next_cursor");
  } while (!cursor.empty() && (options.limit == 0 || all.size() < options.limit));

  bool failed = false;
  const Terminal terminal(Terminal::Stream::kOut);
  for (const auto& file : all) {
    const std::string state = text_of(file, "state");
    failed = failed || state == "failed";
    if (server.output == Output::kJson) continue;
    const std::string reason = printable(text_of(file, "reason"));
    fmt::print("{:<8} {}{}{}\n", state, printable(text_of(file, "path")),
               reason.empty() ? "" : "  ", terminal.dim(reason));
  }
  if (server.output == Output::kJson)
    print_json(json::object{{"files", all}, {"next_cursor", cursor}});
  if (server.output == Output::kText && !cursor.empty())
    fmt::print("{}\n", terminal.dim("More follow: --limit 0 lists all."));
  return failed ? kExitFailed : kExitDone;
}

int duplicates(const Config& config, const ServerAddress& server,
               const DuplicatesOptions& options) {
  auto remote = Remote::open(config, server);
  if (!remote) return report(remote.error());
  std::string path =
      fmt::format("/api/index/duplicates?threshold={}&limit={}", options.threshold, options.limit);
  if (!options.vault.empty()) path += "&vault=" + encode_parameter(options.vault);
  const auto answer = remote->get(path);
  if (!answer) return report(answer.error());
  if (server.output == Output::kJson) return print_json(*answer);
  const Terminal terminal(Terminal::Stream::kOut);
  const auto& groups = member(*answer, "groups");
  if (!groups.is_array()) return kExitDone;
  for (const auto& group : groups.get_array()) {
    if (const auto& notes = member(group, "notes"); notes.is_array()) {
      for (const auto& note : notes.get_array()) {
        const bool exact = member(note, "exact").is_bool() && member(note, "exact").get_bool();
        const std::string how =
            exact ? "same" : fmt::format("{:.0f} %", number_of(note, "similarity") * 100);
        fmt::print("{:>5}  {}  {}\n", how, printable(text_of(note, "path")),
                   terminal.dim(text_of(note, "modified").substr(0, 10)));
      }
    }
    fmt::print("\n");
  }
  const auto found = static_cast<std::uint64_t>(number_of(*answer, "groups_found"));
  fmt::print("{}\n", terminal.dim(fmt::format(
                         "{} groups of notes alike, among {} notes{}", grouped(found),
                         grouped(static_cast<std::uint64_t>(number_of(*answer, "notes"))),
                         found > groups.get_array().size() ? "; --limit shows more" : "")));
  return kExitDone;
}

}  // namespace knap::app
