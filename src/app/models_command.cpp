#include <algorithm>
#include <fstream>
#include <sstream>

#include <fmt/format.h>
#include <boost/json.hpp>

#include "commands.hpp"
#include "config_edit.hpp"
#include "engine.hpp"
#include "knap/base/file.hpp"
#include "knap/base/json_text.hpp"
#include "knap/base/text.hpp"
#include "knap/models/manage.hpp"
#include "knap/observe/log.hpp"
#include "remote.hpp"
#include "terminal.hpp"

namespace knap::app {
namespace {

int list_models(models::Models& models, Output output) {
  const auto all = models.list();
  if (output == Output::kJson) {
    boost::json::array list;
    for (const auto& model : all) {
      list.push_back({{"name", model.name},
                      {"role", model.role},
                      {"licence", model.licence},
                      {"summary", model.summary},
                      {"bytes", model.bytes},
                      {"installed", model.installed},
                      {"in_use", model.in_use},
                      {"run_by_us", model.run_by_us},
                      {"runnable", model.runnable},
                      {"state", model.state}});
    }
    fmt::print("{}\n", json_text(boost::json::object{{"models", list}}));
    return kExitDone;
  }
  const Terminal terminal(Terminal::Stream::kOut);
  for (const auto& model : all) {
    fmt::print("{} {:<32} {:<7} {:>9}  {:<10} {}{}\n", model.in_use ? terminal.good("*") : " ",
               model.name, model.role, model.bytes == 0 ? "?" : bytes_text(model.bytes),
               model.installed ? "installed" : "-", terminal.dim(model.summary),
               terminal.dim(!model.runnable    ? " (no engine for it yet)"
                            : !model.run_by_us ? " (not run by us)"
                                               : ""));
  }
  fmt::print("{}\n", terminal.dim("* in use. Fetch one with `knap models pull NAME`, choose it "
                                  "with `knap models use NAME`."));
  return kExitDone;
}

int pull_models(models::Models& models, const std::vector<std::string>& names) {
  for (const auto& name : names) {
    Status done;
    {
      ProgressLine line;
      done = models.pull(
          name,
          [&](std::string_view stage, std::uint64_t bytes, std::uint64_t total) {
            line.update(stage, bytes, total, 0, {});
          },
          CancelToken());
    }
    if (!done) return report(done.error());
    fmt::print("{} is installed.\n", name);
  }
  return kExitDone;
}

int show_model(const models::ModelsOptions& options, const std::string& name, Output output) {
  const auto facts = models::describe_model(options, name);
  if (!facts) return report(facts.error());
  if (output == Output::kJson) {
    boost::json::object out;
    boost::json::array files;
    for (const auto& fact : *facts) {
      if (fact.label == "file") {
        files.emplace_back(fact.value);
      } else {
        out[fact.label] = fact.value;
      }
    }
    out["files"] = std::move(files);
    fmt::print("{}\n", json_text(out));
    return kExitDone;
  }
  const Terminal terminal(Terminal::Stream::kOut);
  for (const auto& fact : *facts)
    fmt::print("{} {}\n", terminal.dim(fmt::format("{:<15}", fact.label)), fact.value);
  return kExitDone;
}

int import_file(const models::ModelsOptions& options, const std::vector<std::string>& names) {
  if (names.size() != 2) {
    return report(make_error(ErrorCode::kInvalidArgument,
                             "name the file and the model: knap models import FILE NAME"));
  }
  Status done;
  {
    ProgressLine line;
    done = models::import_model(
        options, names[0], names[1],
        [&](std::string_view stage, std::uint64_t bytes, std::uint64_t total) {
          line.update(stage, bytes, total, 0, {});
        },
        CancelToken());
  }
  if (!done) return report(done.error());
  fmt::print("{} is installed; choose it with `knap models use {}`.\n", names[1], names[1]);
  return kExitDone;
}

/// How the last change of embedding model was judged.
void print_comparison(const boost::json::value& compared) {
  if (number_of(compared, "questions") > 0) {
    fmt::print("Of the ten best notes both models find {:.0f} %, over {:.0f} questions asked.\n",
               100 * number_of(compared, "overlap_at_10"), number_of(compared, "questions"));
  }
  const auto& judged = member(compared, "judged");
  if (judged.is_object()) {
    fmt::print("nDCG@10 {:.3f} -> {:.3f}, recall@10 {:.3f} -> {:.3f} on {:.0f} judged questions.\n",
               number_of(judged, "ndcg_10_before"), number_of(judged, "ndcg_10"),
               number_of(judged, "recall_10_before"), number_of(judged, "recall_10"),
               number_of(judged, "questions"));
  }
  const std::string problem = text_of(compared, "problem");
  if (!problem.empty()) fmt::print("Judged questions: {}.\n", printable(problem));
}

/// What a running server says of its embedding model.
void print_embedding(const boost::json::value& answer) {
  const auto& embedding = member(answer, "embedding");
  const std::string serving = text_of(embedding, "serving");
  const std::string building = text_of(embedding, "building");
  const std::string held = text_of(embedding, "held");
  if (building.empty()) {
    fmt::print("The running server embeds with {}.\n", serving);
  } else if (!held.empty()) {
    fmt::print("The running server embeds with {}; the change to {} is held: {}.\n", serving,
               building, held);
  } else {
    fmt::print(
        "The running server builds the vectors of {}: {:.0f} passages to go. {} serves until then; "
        "`knap status` shows how far it is.\n",
        building, number_of(embedding, "missing"), serving);
  }
  print_comparison(member(embedding, "compared"));
}

/// The list needs no server; where one runs, it says what searches use and how that came.
void print_running(const Config& config, const ServerAddress& server) {
  auto remote = Remote::open(config, server);
  if (!remote) return;
  const auto answer = remote->get("/api/models");
  if (answer && !text_of(member(*answer, "embedding"), "serving").empty()) print_embedding(*answer);
}

/// Tells a running server; that there is none is no error.
int tell_server(const Config& config, const ServerAddress& server, const std::string& name,
                bool force) {
  auto remote = Remote::open(config, server);
  if (!remote) return report(remote.error());
  const auto answer =
      remote->post("/api/models/use", boost::json::object{{"model", name}, {"force", force}});
  if (answer) {
    print_embedding(*answer);
  } else if (answer.error().code == ErrorCode::kUnavailable) {
    fmt::print("No server runs here: the next start takes it.\n");
  } else {
    return report(answer.error());
  }
  return kExitDone;
}

int roll_back(const Config& config, const ServerAddress& server) {
  auto remote = Remote::open(config, server);
  if (!remote) return report(remote.error());
  const auto answer = remote->post("/api/models/rollback", boost::json::object{});
  if (!answer) return report(answer.error());
  std::string name = text_of(member(*answer, "embedding"), "serving");
  name.resize(std::min(name.size(), name.find('@')));
  const auto file = config.file.empty() ? user_config_file(process_environment()) : config.file;
  if (auto status = set_in_config_file(file, "models", "embed", name); !status)
    return report(status.error());
  print_embedding(*answer);
  fmt::print("models.embed is now {} in {}.\n", name, file.string());
  return kExitDone;
}

int use_model(const Config& config, const ServerAddress& server, models::Models& models,
              const ModelsCommand& command) {
  const std::string& name = command.names.front();
  const auto all = models.list();
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const auto& model) { return model.name == name; });
  if (found == all.end())
    return report(
        make_error(ErrorCode::kNotFound,
                   fmt::format("no model {} in the catalogue: see `knap models list`", name)));
  if (!found->runnable) {
    return report(make_error(ErrorCode::kUnsupported,
                             fmt::format("no engine of Knap's runs {} yet: choose another one of "
                                         "`knap models list`",
                                         name)));
  }
  if (!found->installed) {
    return report(make_error(
        ErrorCode::kFailedPrecondition,
        fmt::format("{} is not installed: run `knap models pull {}` first", name, name)));
  }
  const auto file = config.file.empty() ? user_config_file(process_environment()) : config.file;
  if (auto status = set_in_config_file(file, "models", found->role, name); !status)
    return report(status.error());
  fmt::print("models.{} is now {} in {}.\n", found->role, name, file.string());
  if (found->role == "embed") return tell_server(config, server, name, command.force);
  fmt::print("A running server takes it at its next start.\n");
  return kExitDone;
}

}  // namespace

int models(const Config& config, const ServerAddress& server, const ModelsCommand& command) {
  if (command.action == ModelsCommand::Action::kRollback) return roll_back(config, server);
  if (command.action == ModelsCommand::Action::kExplain)
    return explain_route(config, server, command);
  if (command.action == ModelsCommand::Action::kSent) return show_sent(config, command.output);
  auto log = log_options(config);
  // What is wrong with a model is this command's own answer; a log line above it would say it
  // twice.
  if (log.file.empty()) log.level = observe::LogLevel::kError;
  if (auto status = observe::configure_log(log); !status) return report(status.error());
  observe::Registry metrics;
  auto run_dir = make_run_dir();
  if (!run_dir) return report(run_dir.error());
  struct Cleanup {
    std::filesystem::path folder;
    ~Cleanup() { remove_run_dir(folder); }
  } const cleanup{*run_dir};
  auto options = models_options(config, *run_dir);
  // Nothing is to be started here; list() still marks what the configuration uses.
  options.runner_program.clear();
  options.warm.clear();
  options.pinned.clear();
  if (command.action == ModelsCommand::Action::kImport) return import_file(options, command.names);
  if (command.action == ModelsCommand::Action::kShow && !command.names.empty())
    return show_model(options, command.names.front(), command.output);
  const auto manage = options;
  auto models = models::Models::open(std::move(options), metrics);
  if (!models) return report(models.error());

  auto names = command.names;
  if (command.defaults) {
    for (const auto& name : {config.models.embed, config.models.answer, config.models.speech})
      if (!name.empty()) names.push_back(name);
  }
  if (names.empty() && command.action != ModelsCommand::Action::kList &&
      command.action != ModelsCommand::Action::kVerify) {
    return report(
        make_error(ErrorCode::kInvalidArgument, "name a model; `knap models list` shows all"));
  }
  switch (command.action) {
    case ModelsCommand::Action::kList: {
      const int listed = list_models(**models, command.output);
      if (command.output == Output::kText) print_running(config, server);
      return listed;
    }
    case ModelsCommand::Action::kPull: return pull_models(**models, names);
    case ModelsCommand::Action::kUse: return use_model(config, server, **models, command);
    case ModelsCommand::Action::kShow:
    case ModelsCommand::Action::kImport:
    case ModelsCommand::Action::kRollback:
    case ModelsCommand::Action::kExplain:
    case ModelsCommand::Action::kSent:
    case ModelsCommand::Action::kRemove:
    case ModelsCommand::Action::kVerify: break;
  }
  const bool verify = command.action == ModelsCommand::Action::kVerify;
  if (names.empty()) {
    for (const auto& model : (*models)->list())
      if (model.installed) names.push_back(model.name);
  }
  int worst = kExitDone;
  for (const auto& name : names) {
    const auto done = verify ? (*models)->verify(name) : (*models)->remove(name);
    if (done && !verify) {
      if (const auto forgotten = models::forget_import(manage, name); !forgotten)
        worst = report(forgotten.error());
    }
    if (!done) worst = report(done.error());
    if (done) fmt::print("{} {}.\n", name, verify ? "matches its checksums" : "is removed");
  }
  return worst;
}

int show_config(const Config& config, Output output) {
  const auto settings = describe(config);
  if (output == Output::kJson) {
    boost::json::object out;
    for (const auto& setting : settings)
      out[setting.key] = {{"value", boost::json::parse(setting.value_json)},
                          {"source", setting.source}};
    fmt::print("{}\n", json_text(out));
    return kExitDone;
  }
  const Terminal terminal(Terminal::Stream::kOut);
  fmt::print("{}\n", terminal.dim(config.file.empty() ? "No knap.yaml was read."
                                                      : "From " + config.file.string()));
  for (const auto& setting : settings)
    fmt::print("{:<32} {}  {}\n", setting.key, setting.value_json, terminal.dim(setting.source));
  return kExitDone;
}

}  // namespace knap::app
