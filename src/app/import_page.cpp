#include <algorithm>

#include <fmt/format.h>

#include "commands.hpp"
#include "knap/base/json_text.hpp"
#include "remote.hpp"
#include "terminal.hpp"

namespace knap::app {

int import_page(const Config& config, const ServerAddress& server, const ImportOptions& options) {
  auto remote = Remote::open(config, server);
  if (!remote) return report(remote.error());
  boost::json::object body{{"url", options.url}};
  if (options.note) body["write_note"] = true;
  const auto page = remote->post("/api/web", body);
  if (!page) return report(page.error());
  if (server.output == Output::kJson) {
    fmt::print("{}\n", json_text(*page));
    return kExitDone;
  }
  const Terminal terminal(Terminal::Stream::kOut);
  fmt::print("{}\n", terminal.bold(printable(text_of(*page, "title"))));
  std::string facts = text_of(*page, "address");
  for (const char* name : {"author", "published"})
    if (const std::string value = text_of(*page, name); !value.empty()) facts += ", " + value;
  fmt::print("{}\n\n", terminal.dim(printable(facts)));
  // The Markdown keeps its lines; what would steer the terminal is taken out of each.
  const std::string markdown = text_of(*page, "markdown");
  for (std::size_t begin = 0; begin < markdown.size();) {
    const std::size_t end = std::min(markdown.find('\n', begin), markdown.size());
    fmt::print("{}\n", printable(markdown.substr(begin, end - begin)));
    begin = end + 1;
  }
  if (const auto& flags = member(*page, "flags"); flags.is_array() && !flags.get_array().empty())
    fmt::print(stderr,
               "knap: {} passages of this page speak to a machine: read before you use it\n",
               flags.get_array().size());
  if (const auto& note = member(*page, "note"); note.is_object())
    fmt::print("\n{}\n",
               terminal.dim(fmt::format("Written to {} in {}", printable(text_of(note, "path")),
                                        printable(text_of(note, "vault")))));
  return kExitDone;
}

}  // namespace knap::app
