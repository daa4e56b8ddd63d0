#include <cstdio>
#include <exception>
#include <string_view>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "commands.hpp"
#include "knap/base/version.hpp"
#include "knap/models/models.hpp"

namespace knap::app {
namespace {

/// What all commands share, filled by CLI11.
struct Arguments {
  CommandLine command_line;
  std::string config_file, data_dir, host, port;
  ServerAddress server;
  bool json = false;
  SearchOptions search;
  AskOptions ask;
  FilesOptions files;
  DuplicatesOptions duplicates;
  std::vector<std::string> imports;
  ImportOptions import;
  BenchOptions bench;
  CacheCommand cache;
  TranscribeOptions transcribe;
  ModelsCommand models;
  BenchModelsCommand bench_models;
  QuantizeCommand quantize;
  RecommendCommand recommend;
  std::string alert_id, alert_note;
  std::string wait = "keyword";
  bool all = false;
};

using Action = std::function<int(const Config&)>;

void add_config_options(CLI::App& command, Arguments& arguments) {
  command.add_option("--config", arguments.config_file,
                     "Configuration file (default: ./knap.yaml, then the user's)");
}

void add_server_options(CLI::App& command, Arguments& arguments) {
  add_config_options(command, arguments);
  command.add_option("--data-dir", arguments.data_dir, "Folder of the store");
  command.add_option("--vault", arguments.command_line.vaults, "[NAME=]DIR, repeatable")
      ->allow_extra_args(false);
  command.add_option("--host", arguments.host, "Address to listen on (default 127.0.0.1)");
  command.add_option("--port", arguments.port, "Port to listen on (default 8000; 0: any free one)");
}

void add_client_options(CLI::App& command, Arguments& arguments) {
  add_config_options(command, arguments);
  command.add_option("--url", arguments.server.url,
                     "The server (default: host and port of the configuration)");
  command.add_flag("--json", arguments.json, "Print JSON");
}

CLI::App& add_command(CLI::App& app, const std::string& name, const std::string& summary,
                      const std::string& example) {
  auto* command = app.add_subcommand(name, summary);
  command->footer("Example:\n  " + example);
  return *command;
}

void add_serve_and_index(CLI::App& app, Arguments& a, Action& action) {
  auto& serve_command = add_command(app, "serve", "Serve vaults: search and answers over HTTP",
                                    "knap serve --vault ~/Notes --vault work=~/Work");
  add_server_options(serve_command, a);
  serve_command.callback([&] { action = [](const Config& config) { return serve(config); }; });

  auto& index_command = add_command(app, "index", "Bring the index up to date and end",
                                    "knap index --vault ~/Notes --wait semantic");
  add_server_options(index_command, a);
  index_command
      .add_option(
          "--wait", a.wait,
          "keyword: until all notes are searchable; semantic: until all passages have vectors")
      ->check(CLI::IsMember({"keyword", "semantic"}));
  index_command.add_flag("--all", a.all, "Read every file again, changed or not");
  index_command.add_flag("--json", a.json, "Print JSON");
  index_command.callback([&] {
    action = [&a](const Config& config) {
      IndexOptions options;
      if (a.wait == "semantic") options.wait = IndexOptions::Wait::kSemantic;
      if (a.all) options.reread = IndexOptions::Reread::kAll;
      options.output = a.server.output;
      return index_vaults(config, options);
    };
  });
}

void add_search_and_ask(CLI::App& app, Arguments& a, Action& action) {
  auto& search_command = add_command(app, "search", "Search the notes of a running server",
                                     "knap search \"weekly review\" --filter \"tag:#work\"");
  add_client_options(search_command, a);
  search_command.add_option("query", a.search.query, "What to look for")->required();
  search_command.add_option("--limit", a.search.limit, "Results (1-100)")
      ->check(CLI::Range(1, 100));
  search_command.add_option("--filter", a.search.filter,
                            "Filter, as in: tag:#work -path:Archive/ modified:30d");
  search_command.add_option("--mode", a.search.mode, "auto, keyword, semantic or hybrid")
      ->check(CLI::IsMember({"auto", "keyword", "semantic", "hybrid"}));
  search_command.add_option("--group", a.search.group, "note or passage")
      ->check(CLI::IsMember({"note", "passage"}));
  search_command.add_option("--vault", a.search.vault, "Only this vault");
  search_command.add_flag("--explain", a.search.explain,
                          "Say why each result stands where it does");
  search_command.callback(
      [&] { action = [&a](const Config& config) { return search(config, a.server, a.search); }; });

  auto& ask_command = add_command(app, "ask", "Ask the notes; the answer cites its lines",
                                  "knap ask \"When is the lease due?\"");
  add_client_options(ask_command, a);
  auto* question = ask_command.add_option("question", a.ask.question, "The question");
  auto* voice =
      ask_command.add_option("--voice", a.ask.voice, "A recording of the question instead")
          ->check(CLI::ExistingFile)
          ->excludes(question);
  ask_command.add_option("--language", a.ask.language, "Of the recording, as en or de")
      ->needs(voice);
  ask_command.require_option(1, 0);
  ask_command.add_option("--filter", a.ask.filter, "Only notes that match this filter");
  ask_command.add_option("--mode", a.ask.mode, "auto, extractive or generative")
      ->check(CLI::IsMember({"auto", "extractive", "generative"}));
  ask_command.add_option("--vault", a.ask.vault, "Only this vault");
  ask_command.add_option("--model", a.ask.model, "Answer model (default: the configured one)");
  ask_command.callback(
      [&] { action = [&a](const Config& config) { return ask(config, a.server, a.ask); }; });
}

void add_alerts(CLI::App& app, Arguments& a, Action& action) {
  auto& command = add_command(app, "alerts", "Show what needs somebody's attention",
                              "knap alerts\n  knap alerts ack alert-3 --note \"disk ordered\"\n  "
                              "knap alerts rules > knap.rules.yml");
  add_client_options(command, a);
  command.callback([&a, &action, &command] {
    if (command.get_subcommands().empty())
      action = [&a](const Config& config) { return alerts(config, a.server); };
  });
  auto* acknowledge = command.add_subcommand("ack", "Tell that you know of one");
  add_client_options(*acknowledge, a);
  acknowledge->add_option("id", a.alert_id, "As listed, e.g. alert-3")->required();
  acknowledge->add_option("--note", a.alert_note, "What is done about it");
  acknowledge->callback([&] {
    action = [&a](const Config& config) {
      return acknowledge_alert(config, a.server, a.alert_id, a.alert_note);
    };
  });
  auto* rules = command.add_subcommand("rules", "Print the rules as a file for Prometheus");
  add_config_options(*rules, a);
  rules->callback([&] { action = [](const Config& config) { return alert_rules(config); }; });
}

void add_status_and_files(CLI::App& app, Arguments& a, Action& action) {
  auto& status_command =
      add_command(app, "status", "What a running server has indexed", "knap status --json");
  add_client_options(status_command, a);
  status_command.callback(
      [&] { action = [&a](const Config& config) { return status(config, a.server); }; });

  auto& files_command =
      add_command(app, "files", "The ledger: every file, its state and the reason",
                  "knap files --state failed");
  add_client_options(files_command, a);
  files_command.add_option("--state", a.files.state, "Only files in this state")
      ->check(CLI::IsMember({"indexed", "skipped", "failed", "pending", "stale"}));
  files_command.add_option("--vault", a.files.vault, "Only this vault");
  files_command.add_option("--limit", a.files.limit, "At most this many (0: all)");
  files_command.callback(
      [&] { action = [&a](const Config& config) { return files(config, a.server, a.files); }; });

  auto& duplicates_command =
      add_command(app, "duplicates", "Notes whose text is the same or nearly so",
                  "knap duplicates --threshold 0.9");
  add_client_options(duplicates_command, a);
  duplicates_command.add_option("--vault", a.duplicates.vault, "Only this vault");
  duplicates_command
      .add_option("--threshold", a.duplicates.threshold, "Least similarity (0.3-1; default 0.8)")
      ->check(CLI::Range(.3, 1.0));
  duplicates_command.add_option("--limit", a.duplicates.limit, "Groups (1-1000)")
      ->check(CLI::Range(1, 1000));
  duplicates_command.callback([&] {
    action = [&a](const Config& config) { return duplicates(config, a.server, a.duplicates); };
  });
}

bool is_web_address(const std::string& text) {
  return text.starts_with("http://") || text.starts_with("https://");
}

void add_import(CLI::App& app, Arguments& a, Action& action) {
  auto& command =
      add_command(app, "import",
                  "Hand files to a running server, which keeps copies and makes them searchable; "
                  "or have it bring in a web page as Markdown",
                  "knap import Report.pdf\n  knap import https://example.org/article --note");
  add_client_options(command, a);
  command.add_option("what", a.imports, "Files, or the address of one web page")
      ->required()
      ->check(CLI::Validator(
          [](const std::string& text) {
            if (is_web_address(text)) return std::string();
            return CLI::ExistingFile(text);
          },
          "FILE or URL"));
  command.add_flag("--note", a.import.note,
                   "Of a web page: write a new note into the folder of web.note_folder");
  command.callback([&] {
    action = [&a](const Config& config) {
      if (!is_web_address(a.imports.front())) return import_files(config, a.server, a.imports);
      a.import.url = a.imports.front();
      return import_page(config, a.server, a.import);
    };
  });
}

void add_transcribe(CLI::App& app, Arguments& a, Action& action) {
  auto& command = add_command(app, "transcribe", "Turn a recording into text",
                              "knap transcribe meeting.m4a --format srt");
  add_client_options(command, a);
  command.add_option("file", a.transcribe.file, "WAV, MP3, FLAC, Ogg (Vorbis, Opus), M4A or WebM")
      ->required()
      ->check(CLI::ExistingFile);
  command.add_option("--format", a.transcribe.format, "text, srt, vtt or json")
      ->check(CLI::IsMember({"text", "srt", "vtt", "json"}));
  command.add_option("--language", a.transcribe.language, "As en or de; else it is heard");
  command.add_option("--model", a.transcribe.model, "Another speech model than the settings name");
  command.add_flag("--note", a.transcribe.note,
                   "Write a note beside the recording, never over one, instead of printing");
  command.callback([&] {
    action = [&a](const Config& config) { return transcribe(config, a.server, a.transcribe); };
  });
}

void add_bench(CLI::App& app, Arguments& a, Action& action) {
  auto& bench_command = add_command(app, "bench", "Measure search on your own questions",
                                    "knap bench search --set questions.yaml");
  bench_command.require_subcommand(1);
  auto& search_command =
      add_command(bench_command, "search", "Ask judged questions: quality, and latency by stage",
                  "knap bench search --set questions.yaml --compare before.json");
  add_client_options(search_command, a);
  search_command.add_option("--set", a.bench.set,
                            "YAML file: questions, and the notes that answer; by default that of "
                            "search.judged_questions");
  search_command.add_option("--compare", a.bench.compare,
                            "What --json printed before; exit code 1 when quality is lost");
  search_command.add_option("--mode", a.bench.mode, "auto, keyword, semantic or hybrid")
      ->check(CLI::IsMember({"auto", "keyword", "semantic", "hybrid"}));
  search_command.callback([&] {
    action = [&a](const Config& config) { return bench_search(config, a.server, a.bench); };
  });
}

void add_cache(CLI::App& app, Arguments& a, Action& action) {
  auto& cache = add_command(app, "cache", "What a running server has cached, and forgetting it",
                            "knap cache stats");
  cache.require_subcommand(1);
  const auto add = [&](const std::string& name, const std::string& summary,
                       const std::string& example, CacheCommand::Action what) -> CLI::App& {
    auto& command = add_command(cache, name, summary, example);
    add_client_options(command, a);
    command.callback([&a, &action, what] {
      a.cache.action = what;
      action = [&a](const Config& config) { return cache_command(config, a.server, a.cache); };
    });
    return command;
  };
  add("stats", "What each layer holds, hits and saves", "knap cache stats --json",
      CacheCommand::Action::kStats);
  add("advise", "What a cache of half, twice and four times the size would hit",
      "knap cache advise", CacheCommand::Action::kAdvise);
  auto& clear = add("clear", "Forget all that is cached", "knap cache clear --layer l2",
                    CacheCommand::Action::kClear);
  clear.add_option("--layer", a.cache.layer, "This layer alone: l1 or l2");
  auto& invalidate =
      add("invalidate", "Forget what is cached of a question, note, tag or vault",
          "knap cache invalidate --note Work/Release.md", CacheCommand::Action::kInvalidate);
  invalidate.add_option("--pattern", a.cache.pattern, "Of the question, with * and ?");
  invalidate.add_option("--note", a.cache.note, "Path of a note that the result shows");
  invalidate.add_option("--tag", a.cache.tag, "Tag of a note that the result shows");
  invalidate.add_option("--vault", a.cache.vault, "Vault of a note that the result shows");
  invalidate.add_option("--kind", a.cache.kind, "search or answer");
}

constexpr const char* kClipsHelp =
    "Speech models: a folder of recordings with NAME.txt beside each, or manifest.tsv";
constexpr const char* kLanguageHelp = "Of the recordings, as en (default: heard from each)";

void add_model_measures(CLI::App& models_command, Arguments& a, Action& action) {
  auto& bench = add_command(models_command, "bench",
                            "Measure models on this machine: load time, tokens a second, memory",
                            "knap models bench all-minilm-l6-v2 smollm2-135m-instruct");
  add_config_options(bench, a);
  bench.add_flag("--json", a.json, "Print JSON");
  bench.add_option("names", a.bench_models.names, "Model names (default: all that are installed)");
  bench.add_option("--words", a.bench_models.prompt_words, "Words of a prompt (16-4000)")
      ->check(CLI::Range(16, 4000));
  bench.add_option("--repeats", a.bench_models.repeats, "The median of so many (1-100)")
      ->check(CLI::Range(1, 100));
  bench.add_option("--clips", a.bench_models.clips, kClipsHelp);
  bench.add_option("--language", a.bench_models.language, kLanguageHelp);
  bench.callback([&] {
    action = [&a](const Config& config) {
      a.bench_models.output = a.server.output;
      return bench_models(config, a.bench_models);
    };
  });

  auto& quantize_command = add_command(
      models_command, "quantize",
      "Quantise a model to several levels, and measure what each gains and loses",
      "knap models quantize smollm2-135m-instruct --text ~/Notes/Essay.md --to Q8_0,Q5_K_M");
  add_config_options(quantize_command, a);
  quantize_command.add_flag("--json", a.json, "Print JSON");
  quantize_command.add_option("name", a.quantize.name, "An installed model")->required();
  quantize_command.add_option("--text", a.quantize.text, "Text to judge them on, e.g. a note");
  quantize_command.add_option("--clips", a.quantize.clips, kClipsHelp);
  quantize_command.add_option("--language", a.quantize.language, kLanguageHelp);
  quantize_command
      .add_option("--to", a.quantize.levels, "F32, F16, Q8_0, Q6_K, Q5_K_M, Q4_K_M (default: all)")
      ->delimiter(',');
  quantize_command.add_option("--keep", a.quantize.keep, "Install this level as NAME-LEVEL");
  quantize_command.add_option("--tokens", a.quantize.tokens, "Of the text at most (512-1000000)")
      ->check(CLI::Range(512, 1'000'000));
  quantize_command.add_option(
      "--judged", a.quantize.judged,
      "Encoders: a folder with corpus.jsonl, queries.jsonl, qrels/test.tsv");
  quantize_command.add_option("--documents", a.quantize.documents, "Of those at most (10-1000000)")
      ->check(CLI::Range(10, 1'000'000));
  quantize_command.callback([&] {
    action = [&a](const Config& config) {
      a.quantize.output = a.server.output;
      return quantize(config, a.quantize);
    };
  });
}

void add_recommend(CLI::App& models_command, Arguments& a, Action& action) {
  auto& command = add_command(models_command, "recommend", "Propose a model for this machine",
                              "knap models recommend --priority speed --explain");
  add_config_options(command, a);
  command.add_flag("--json", a.json, "Print JSON");
  command.add_flag("--explain", a.recommend.explain, "Show the arithmetic, and why not the others");
  command.add_option("--role", a.recommend.role, "answer or embed")
      ->check(CLI::IsMember({"answer", "embed"}));
  command.add_option("--priority", a.recommend.priority, "accuracy, speed or memory")
      ->check(CLI::IsMember({"accuracy", "speed", "memory"}));
  command.add_option("--language", a.recommend.language, "Language of the notes, as de");
  command.callback([&] {
    action = [&a](const Config& config) {
      a.recommend.output = a.server.output;
      return recommend(config, a.recommend);
    };
  });
}

void add_models_and_config(CLI::App& app, Arguments& a, Action& action) {
  auto& models_command = add_command(app, "models", "List, fetch, check and choose models",
                                     "knap models pull qwen2.5-coder-1.5b-instruct");
  models_command.require_subcommand(1);
  const auto add = [&](const std::string& name, const std::string& summary,
                       const std::string& example, ModelsCommand::Action what) {
    auto& command = add_command(models_command, name, summary, example);
    const bool asks = what == ModelsCommand::Action::kUse ||
                      what == ModelsCommand::Action::kRollback ||
                      what == ModelsCommand::Action::kExplain;
    if (asks) {
      add_client_options(command, a);
    } else {
      add_config_options(command, a);
    }
    if (what == ModelsCommand::Action::kList || what == ModelsCommand::Action::kShow ||
        what == ModelsCommand::Action::kSent)
      command.add_flag("--json", a.json, "Print JSON");
    if (what == ModelsCommand::Action::kImport) {
      command.add_option("names", a.models.names, "The GGUF file, and the name it gets")
          ->required()
          ->expected(2);
    } else if (what == ModelsCommand::Action::kExplain) {
      command.add_option("request_id", a.models.names, "X-Request-Id of the answer")
          ->required()
          ->expected(1);
    } else if (what != ModelsCommand::Action::kRollback && what != ModelsCommand::Action::kList &&
               what != ModelsCommand::Action::kSent) {
      command.add_option("names", a.models.names, "Model names");
    }
    if (what == ModelsCommand::Action::kPull)
      command.add_flag("--default", a.models.defaults, "The models the configuration uses");
    if (what == ModelsCommand::Action::kUse)
      command.add_flag("--force", a.models.force,
                       "Also when judged questions find less with the new embedding model");
    command.callback([&a, &action, what] {
      a.models.action = what;
      action = [&a](const Config& config) {
        a.models.output = a.server.output;
        return models(config, a.server, a.models);
      };
    });
  };
  add("list", "The catalogue, and what is installed", "knap models list",
      ModelsCommand::Action::kList);
  add("show", "Everything the catalogue says of a model", "knap models show qwen3-4b",
      ModelsCommand::Action::kShow);
  add("import", "Take an answer model you have as a GGUF file",
      "knap models import ~/Downloads/mine.gguf mine", ModelsCommand::Action::kImport);
  add("pull", "Fetch a model's files and check them", "knap models pull --default",
      ModelsCommand::Action::kPull);
  add("verify", "Check installed files against their checksums", "knap models verify",
      ModelsCommand::Action::kVerify);
  add("use", "Choose the embedding or answer model", "knap models use qwen2.5-coder-1.5b-instruct",
      ModelsCommand::Action::kUse);
  add("rollback", "Go back to the embedding model before", "knap models rollback",
      ModelsCommand::Action::kRollback);
  add("explain", "Why a request was answered by the model it was",
      "knap models explain 7f3a9c52d1e84b06", ModelsCommand::Action::kExplain);
  add("sent", "What was sent to remote models", "knap models sent", ModelsCommand::Action::kSent);
  add("remove", "Delete a model's files", "knap models remove qwen2.5-coder-0.5b-instruct",
      ModelsCommand::Action::kRemove);

  add_model_measures(models_command, a, action);
  add_recommend(models_command, a, action);

  auto& config_command = add_command(
      app, "config", "The effective settings and where each comes from", "knap config --json");
  add_server_options(config_command, a);
  config_command.add_flag("--json", a.json, "Print JSON");
  config_command.callback([&] {
    action = [&a](const Config& config) { return show_config(config, a.server.output); };
  });

  auto& version_command = add_command(app, "version", "Print the version", "knap version");
  version_command.callback([&] {
    action = [](const Config&) {
      fmt::print("knap {}\n", version());
      return kExitDone;
    };
  });
}

void take_values(Arguments& arguments) {
  auto& values = arguments.command_line.values;
  if (!arguments.config_file.empty()) arguments.command_line.config_file = arguments.config_file;
  if (!arguments.data_dir.empty()) values.emplace_back("data.dir", arguments.data_dir);
  if (!arguments.host.empty()) values.emplace_back("server.host", arguments.host);
  if (!arguments.port.empty()) values.emplace_back("server.port", arguments.port);
  arguments.server.output = arguments.json ? Output::kJson : Output::kText;
}

int run(int argc, char** argv) {
  // The child's side of models/ parses its own arguments: they are no interface for people.
  if (argc > 1 && std::string_view(argv[1]) == "runner")
    return models::runner_main(argc - 1, argv + 1);

  CLI::App app("Knap: search and ask your own notes, fast and in private.", "knap");
  app.require_subcommand(1);
  app.set_version_flag("--version", "knap " + std::string(version()));
  app.footer("`knap COMMAND --help` shows a command's options with an example.");
  Arguments arguments;
  Action action;
  add_serve_and_index(app, arguments, action);
  add_search_and_ask(app, arguments, action);
  add_status_and_files(app, arguments, action);
  add_import(app, arguments, action);
  add_transcribe(app, arguments, action);
  add_alerts(app, arguments, action);
  add_bench(app, arguments, action);
  add_cache(app, arguments, action);
  add_models_and_config(app, arguments, action);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kExitDone : kExitWrongUse;
  }
  take_values(arguments);
  const auto config = load_config(arguments.command_line, process_environment());
  if (!config) return report(config.error());
  return action(*config);
}

}  // namespace

int report(const Error& error) {
  std::string line = error.message;
  for (char& c : line)
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  fmt::print(stderr, "knap: {}\n", line);
  return error.code == ErrorCode::kInvalidArgument ? kExitWrongUse : kExitFailed;
}

}  // namespace knap::app

int main(int argc, char** argv) {
  try {
    return knap::app::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "knap: unexpected failure: %s. This is a bug; please report it.\n",
                 error.what());
    return knap::app::kExitFailed;
  }
}
