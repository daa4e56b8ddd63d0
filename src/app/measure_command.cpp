#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <memory>

#include <fmt/format.h>
#include <boost/json.hpp>

#include "commands.hpp"
#include "engine.hpp"
#include "knap/base/json_text.hpp"
#include "knap/base/text.hpp"
#include "knap/models/manage.hpp"
#include "knap/models/measure.hpp"
#include "knap/observe/log.hpp"
#include "speech_clips.hpp"
#include "terminal.hpp"

namespace knap::app {
namespace {

namespace json = boost::json;

constexpr double kMB = 1e6;

/// A folder for sockets that goes with its owner.
struct RunDir {
  std::filesystem::path folder;
  explicit RunDir(std::filesystem::path path) : folder(std::move(path)) {}
  RunDir(const RunDir&) = delete;
  RunDir& operator=(const RunDir&) = delete;
  ~RunDir() { remove_run_dir(folder); }
};

/// Only errors are logged beside what is printed, unless the log goes to a file.
Result<std::unique_ptr<RunDir>> begin_measuring(const Config& config) {
  auto log = log_options(config);
  if (log.file.empty()) log.level = observe::LogLevel::kError;
  KNAP_CHECK_OK(observe::configure_log(log));
  KNAP_TRY(auto folder, make_run_dir());
  return std::make_unique<RunDir>(std::move(folder));
}

std::string number(double value, int digits = 0) {
  return value > 0 ? fmt::format("{:.{}f}", value, digits) : "-";
}

void print_row(const std::vector<std::string>& cells) {
  fmt::print("| {} |\n", fmt::join(cells, " | "));
}
void print_head(const std::vector<std::string>& cells) {
  print_row(cells);
  fmt::print("|{}\n", fmt::join(std::vector<std::string>(cells.size(), "---|"), ""));
}

json::object to_json(const models::ModelFigures& figures) {
  return {{"name", figures.name},
          {"role", figures.role},
          {"bytes", figures.bytes},
          {"load_ms", figures.load_ms},
          {"read_tokens_per_second", figures.read_tokens_per_second},
          {"write_tokens_per_second", figures.write_tokens_per_second},
          {"query_ms", figures.query_ms},
          {"times_real_time", figures.times_real_time},
          {"word_error_rate", figures.word_error_rate},
          {"resident_bytes", figures.resident_bytes},
          {"expected_bytes", figures.expected_bytes},
          {"read_tokens", figures.read_tokens},
          {"written_tokens", figures.written_tokens}};
}

json::object to_json(const models::QuantizeReport& report) {
  json::array levels;
  for (const auto& row : report.levels) {
    levels.push_back(json::object{{"level", row.level},
                                  {"bytes", row.bytes},
                                  {"load_ms", row.load_ms},
                                  {"read_tokens_per_second", row.read_tokens_per_second},
                                  {"write_tokens_per_second", row.write_tokens_per_second},
                                  {"resident_bytes", row.resident_bytes},
                                  {"perplexity", row.perplexity},
                                  {"agreement", row.agreement},
                                  {"cosine", row.cosine},
                                  {"ndcg_10", row.ndcg_10},
                                  {"times_real_time", row.times_real_time},
                                  {"word_error_rate", row.word_error_rate}});
  }
  json::array left_out;
  for (const std::string& why : report.left_out) left_out.emplace_back(why);
  return {{"requantised_from", report.requantised_from},
          {"encoder", report.encoder},
          {"speech", report.speech},
          {"clips", report.clips},
          {"words", report.words},
          {"sound_seconds", report.sound_seconds},
          {"left_out", std::move(left_out)},
          {"scored_tokens", report.scored_tokens},
          {"paragraphs", report.paragraphs},
          {"documents", report.documents},
          {"queries", report.queries},
          {"levels", std::move(levels)}};
}

std::string percent(double share) { return fmt::format("{:.2f} %", share * 100); }

void print_speech_levels(const std::string& name, const models::QuantizeReport& report) {
  print_head({"Level", "MB", "Load ms", "Times real time", "Memory MB", "Word error rate"});
  for (const auto& row : report.levels) {
    print_row({row.level, number(static_cast<double>(row.bytes) / kMB), number(row.load_ms),
               number(row.times_real_time, 1),
               number(static_cast<double>(row.resident_bytes) / kMB),
               percent(row.word_error_rate)});
  }
  fmt::print("\n{} by whisper.cpp, from its weights in 16 bits; {} clips, {:.0f} s, {} words.\n",
             name, report.clips, report.sound_seconds, report.words);
  for (const std::string& why : report.left_out) fmt::print("Left out, {}.\n", why);
}

void print_levels(const std::string& name, const models::QuantizeReport& report) {
  if (report.speech) return print_speech_levels(name, report);
  if (report.encoder) {
    print_head({"Level", "MB", "Load ms", "Tokens/s", "Memory MB", "Cosine", "nDCG@10"});
  } else {
    print_head({"Level", "MB", "Load ms", "Read tokens/s", "Write tokens/s", "Memory MB",
                "Perplexity", "Agreement"});
  }
  for (const auto& row : report.levels) {
    std::vector<std::string> cells = {row.level, number(static_cast<double>(row.bytes) / kMB),
                                      number(row.load_ms), number(row.read_tokens_per_second)};
    if (!report.encoder) cells.push_back(number(row.write_tokens_per_second, 1));
    cells.push_back(number(static_cast<double>(row.resident_bytes) / kMB));
    cells.push_back(report.encoder ? number(row.cosine, 4) : number(row.perplexity, 2));
    cells.push_back(report.encoder ? number(row.ndcg_10, 3)
                                   : fmt::format("{:.1f} %", row.agreement * 100));
    print_row(cells);
  }
  if (report.encoder) {
    fmt::print("\n{} by llama.cpp; cosine over {} paragraphs", name, report.paragraphs);
    if (report.documents > 0)
      fmt::print(", nDCG over {} queries and {} documents", report.queries, report.documents);
    fmt::print(".\n");
  } else {
    fmt::print(
        "\n{}; perplexity and agreement (the same likeliest token as the original) over {} "
        "tokens.\n",
        name, report.scored_tokens);
  }
  if (!report.requantised_from.empty()) {
    fmt::print(
        "The source is quantised itself ({}): the levels are re-quantised, and none is "
        "better than it.\n",
        report.requantised_from);
  }
}

Result<models::ModelInfo> installed(const models::ModelsOptions& options, const std::string& name) {
  observe::Registry metrics;
  auto manage = options;
  manage.runner_program.clear();
  KNAP_TRY(const auto all, models::Models::open(std::move(manage), metrics));
  for (auto& model : all->list()) {
    if (model.name != name) continue;
    if (model.installed) return std::move(model);
    return make_error(ErrorCode::kNotFound,
                      fmt::format("{0} is not installed: run `knap models pull {0}`", name));
  }
  return make_error(ErrorCode::kInvalidArgument,
                    fmt::format("no model {} in the catalogue: see `knap models list`", name));
}

models::QuantizeOptions quantize_options(const Config& config, const models::ModelsOptions& options,
                                         const QuantizeCommand& command,
                                         const models::ModelInfo& model) {
  models::QuantizeOptions out;
  if (model.role != "speech") out.source = options.models_dir / model.name;
  if (model.role == "answer") out.source /= "model.gguf";
  out.language = command.language;
  out.levels = command.levels.empty() ? models::quantisation_levels() : command.levels;
  out.text = command.text;
  out.tokens = command.tokens;
  out.judged = command.judged;
  out.documents = command.documents;
  out.threads = config.models.threads > 0
                    ? config.models.threads
                    : static_cast<std::size_t>(std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN)));
  out.program = options.runner_program;
  out.scratch = options.models_dir;
  return out;
}

/// What a model of this role is judged on must be there, and nothing else.
Status check_matter(const QuantizeCommand& command, const models::ModelInfo& model) {
  const bool speech = model.role == "speech";
  if (speech && command.clips.empty()) {
    return make_error(
        ErrorCode::kInvalidArgument,
        fmt::format("{} is judged on recordings: name a folder with --clips", model.name));
  }
  if (!speech && command.text.empty()) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("{} is judged on a text: name one with --text", model.name));
  }
  if (speech != command.clips.empty() && speech == command.text.empty()) return {};
  return make_error(ErrorCode::kInvalidArgument,
                    "--text is for language models and encoders, --clips for speech models");
}

}  // namespace

int bench_models(const Config& config, const BenchModelsCommand& command) {
  const auto run_dir = begin_measuring(config);
  if (!run_dir) return report(run_dir.error());
  auto options = models_options(config, (*run_dir)->folder);
  // Each is to be loaded from nothing, and no other computes beside it.
  options.embed_model.clear();
  options.remote.forbidden = true;
  options.warm.clear();
  options.pinned.clear();
  options.keep_alive = {};
  std::vector<std::string> names = command.names;
  std::vector<models::ModelFigures> rows;
  observe::Registry metrics;
  auto models = models::Models::open(options, metrics);
  if (!models) return report(models.error());
  std::vector<models::SpeechClip> clips;
  if (!command.clips.empty()) {
    auto read = read_speech_clips(command.clips, config);
    if (!read) return report(read.error());
    clips = *std::move(read);
  }
  if (names.empty()) {
    for (const auto& model : (*models)->list()) {
      if (!model.installed || !model.runnable) continue;
      if (model.role != "speech" || !clips.empty()) {
        names.push_back(model.name);
      } else {
        fmt::print(stderr, "{} is left out: name recordings with --clips\n", model.name);
      }
    }
  }
  int worst = kExitDone;
  for (const auto& name : names) {
    auto figures = models::bench_model(**models, name,
                                       {.prompt_words = command.prompt_words,
                                        .repeats = command.repeats,
                                        .clips = clips,
                                        .language = command.language},
                                       CancelToken());
    if (figures) {
      rows.push_back(*std::move(figures));
    } else {
      worst = report(figures.error());
    }
  }
  if (command.output == Output::kJson) {
    json::array list;
    for (const auto& row : rows) list.push_back(to_json(row));
    fmt::print("{}\n", json_text(json::object{{"models", std::move(list)}}));
    return worst;
  }
  if (rows.empty()) return worst;
  const bool heard = std::ranges::any_of(
      rows, [](const models::ModelFigures& row) { return row.times_real_time > 0; });
  std::vector<std::string> head = {"Model",    "Role",          "MB",
                                   "Load ms",  "Read tokens/s", "Write tokens/s",
                                   "Query ms", "Memory MB",     "Reckoned MB"};
  if (heard) head.insert(head.end(), {"Times real time", "Word error rate"});
  print_head(head);
  for (const auto& row : rows) {
    std::vector<std::string> cells = {row.name,
                                      row.role,
                                      number(static_cast<double>(row.bytes) / kMB),
                                      number(row.load_ms),
                                      number(row.read_tokens_per_second),
                                      number(row.write_tokens_per_second, 1),
                                      number(row.query_ms, 1),
                                      number(static_cast<double>(row.resident_bytes) / kMB),
                                      number(static_cast<double>(row.expected_bytes) / kMB)};
    if (heard) {
      cells.push_back(number(row.times_real_time, 1));
      cells.push_back(row.times_real_time > 0 ? percent(row.word_error_rate) : "-");
    }
    print_row(cells);
  }
  return worst;
}

int quantize(const Config& config, const QuantizeCommand& command) {
  const auto run_dir = begin_measuring(config);
  if (!run_dir) return report(run_dir.error());
  const auto options = models_options(config, (*run_dir)->folder);
  const auto model = installed(options, command.name);
  if (!model) return report(model.error());
  if (!command.keep.empty() && model->role != "answer") {
    return report(make_error(ErrorCode::kUnsupported,
                             "only answer models can be kept: Knap runs encoders from their own "
                             "files, in 8 bits where that is quicker"));
  }
  if (const auto right = check_matter(command, *model); !right) return report(right.error());
  auto wanted = quantize_options(config, options, command, *model);
  if (!command.clips.empty()) {
    auto clips = read_speech_clips(command.clips, config);
    if (!clips) return report(clips.error());
    wanted.clips = *std::move(clips);
    wanted.fetch_source = [&](const std::filesystem::path& out) {
      ProgressLine line;
      return models::fetch_speech_source(
          options, command.name, out,
          [&](std::string_view stage, std::uint64_t done, std::uint64_t total) {
            line.update(stage, done, total, 0, {});
          },
          CancelToken());
    };
  }
  if (!command.keep.empty() &&
      std::ranges::find(wanted.levels, command.keep) == wanted.levels.end())
    wanted.levels.push_back(command.keep);
  std::string kept;
  wanted.keep = [&](std::string_view level, const std::filesystem::path& file) -> Status {
    if (level != command.keep) return {};
    kept = fmt::format("{}-{}", command.name, text::fold_case(level));
    return models::import_model(options, file, kept, {}, CancelToken());
  };
  Result<models::QuantizeReport> report_of = [&] {
    ProgressLine line;
    return models::quantize_model(
        wanted,
        [&](std::string_view stage, std::uint64_t, std::uint64_t) {
          line.update(stage, 0, 0, 0, {});
        },
        CancelToken());
  }();
  if (!report_of) return report(report_of.error());
  if (command.output == Output::kJson) {
    fmt::print("{}\n", json_text(to_json(*report_of)));
  } else {
    print_levels(command.name, *report_of);
    if (!kept.empty())
      fmt::print("{} is installed; choose it with `knap models use {}`.\n", kept, kept);
  }
  return kExitDone;
}

}  // namespace knap::app
