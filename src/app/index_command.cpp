#include <fmt/format.h>

#include <boost/json.hpp>

#include "commands.hpp"
#include "engine.hpp"
#include "knap/base/json_text.hpp"
#include "knap/observe/log.hpp"
#include "terminal.hpp"

namespace knap::app {
namespace {

void print_summary(index::Service& service, std::chrono::duration<double> took, Output output) {
  boost::json::array list;
  for (const auto& vault : service.status()) {
    if (output == Output::kJson) {
      list.push_back(
          {{"vault", vault.name},
           {"files",
            {{"total", vault.files.total},
             {"indexed", vault.files.indexed},
             {"skipped", vault.files.skipped},
             {"failed", vault.files.failed},
             {"pending", vault.files.pending},
             {"stale", vault.files.stale}}},
           {"passages", vault.passages},
           {"coverage",
            {{"keyword", vault.keyword_coverage}, {"semantic", vault.semantic_coverage}}}});
      continue;
    }
    fmt::print("{}: {} files indexed, {} skipped, {} failed; {} passages, {:.1f} % with vectors\n",
               vault.name, grouped(vault.files.indexed), grouped(vault.files.skipped),
               grouped(vault.files.failed), grouped(vault.passages), vault.semantic_coverage * 100);
  }
  if (output == Output::kJson) {
    fmt::print("{}\n", json_text(boost::json::object{{"vaults", list}, {"took_s", took.count()}}));
  } else {
    fmt::print("Done in {:.1f} s.\n", took.count());
  }
}

}  // namespace

int index_vaults(const Config& config, const IndexOptions& options) {
  auto log = log_options(config);
  // The command's own lines say what happens; a log on the terminal would break the progress line.
  if (log.file.empty()) log.level = std::max(log.level, observe::LogLevel::kWarning);
  if (auto status = observe::configure_log(log); !status) return report(status.error());
  if (config.vaults.empty()) {
    return report(make_error(ErrorCode::kInvalidArgument,
                             "no vault to index: name one, as in `knap index --vault ~/Notes`"));
  }
  const auto begin = SteadyClock::now();
  const bool semantic = options.wait == IndexOptions::Wait::kSemantic;
  auto offline = config;
  offline.index.watch = false;
  auto engine = Engine::open(offline, semantic ? Engine::Runners::kStart : Engine::Runners::kNone);
  if (!engine) return report(engine.error());
  auto& service = (*engine)->index();
  if (semantic && !(*engine)->models().embedder()) {
    return report(make_error(
        ErrorCode::kFailedPrecondition,
        fmt::format(
            "no embedding model is ready, so nothing can be covered: run `knap models pull {}`",
            config.models.embed)));
  }
  Status done;
  {
    ProgressLine line;
    const auto progress = [&](const index::Progress& p) {
      line.update(p.phase, p.done, p.total, p.per_second, p.left);
    };
    const CancelToken cancel;
    if (options.reread == IndexOptions::Reread::kAll) {
      done = service.rebuild(Deadline::never(), cancel, progress);
    }
    if (done) {
      done = service.scan(
          semantic ? index::Service::WaitFor::kSemantic : index::Service::WaitFor::kKeyword,
          Deadline::never(), cancel, progress);
    }
  }
  if (!done) return report(done.error());
  print_summary(service, SteadyClock::now() - begin, options.output);
  return kExitDone;
}

}  // namespace knap::app
