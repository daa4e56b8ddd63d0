// Searches an indexed vault with questions from a file, inside this process: rankings for judging,
// and the time that each stage took. bench/ranking.py makes the questions and judges.
//
//   search_replay --data DIR --vault DIR --questions FILE [--mode hybrid] [--limit 100]
//                 [--model ID_IN_THE_STORE] [--repeat 1] [--set search.dense_weight=0.6]... >
//                 rankings.tsv
//
// A question is a line of JSON: {"id", "text", "embedding": [...]}. Rankings go to standard output
// (id, place, path, score); one line of JSON with times to standard error.
#include <algorithm>
#include <charconv>
#include <fstream>
#include <iostream>
#include <map>
#include <thread>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <boost/json.hpp>

#include "knap/index/service.hpp"

namespace knap::index {
namespace {

/// Gives the embeddings that came with the questions; embeds nothing itself.
class GivenEmbeddings final : public models::Embedder {
 public:
  void add(const std::string& text, std::vector<float> values) {
    dimensions_ = values.size();
    known_[text] = std::move(values);
  }
  bool empty() const { return known_.empty(); }
  explicit GivenEmbeddings(std::string id) : id_(std::move(id)) {}

  std::string id() const override { return id_; }
  std::size_t dimensions() const override { return dimensions_; }
  std::vector<std::string> languages() const override { return {"en"}; }
  Result<models::Embeddings> embed(std::span<const std::string> texts, models::InputKind kind,
                                   models::Priority, Deadline, const CancelToken&) override {
    models::Embeddings out;
    out.dimensions = dimensions_;
    for (const std::string& text : texts) {
      const auto found = known_.find(text);
      if (kind != models::InputKind::kQuery || found == known_.end())
        return make_error(ErrorCode::kUnavailable, "no embedding was given for this text");
      out.values.insert(out.values.end(), found->second.begin(), found->second.end());
    }
    return out;
  }

 private:
  const std::string id_;
  std::map<std::string, std::vector<float>> known_;
  std::size_t dimensions_ = 384;
};

struct Question {
  std::string id, text;
};

Result<std::vector<Question>> read_questions(const std::string& file, GivenEmbeddings& embedder) {
  std::vector<Question> questions;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    boost::system::error_code error;
    const auto value = boost::json::parse(line, error);
    if (error) return make_error(ErrorCode::kInvalidArgument, file + ": " + error.message());
    const auto& object = value.as_object();
    questions.push_back(
        {std::string(object.at("id").as_string()), std::string(object.at("text").as_string())});
    if (const auto* embedding = object.if_contains("embedding"); embedding != nullptr)
      embedder.add(questions.back().text, boost::json::value_to<std::vector<float>>(*embedding));
  }
  if (questions.empty()) return make_error(ErrorCode::kNotFound, file + " holds no question");
  return questions;
}

Status set(search::RankingSettings& ranking, const std::string& text) {
  using search::RankingSettings;
  static const std::map<std::string, float RankingSettings::*> kNames = {
      {"search.bm25_k1", &RankingSettings::bm25_k1},
      {"search.bm25_b", &RankingSettings::bm25_b},
      {"search.weight_title", &RankingSettings::weight_title},
      {"search.weight_headings", &RankingSettings::weight_headings},
      {"search.weight_aliases", &RankingSettings::weight_aliases},
      {"search.weight_tags", &RankingSettings::weight_tags},
      {"search.weight_path", &RankingSettings::weight_path},
      {"search.weight_body", &RankingSettings::weight_body},
      {"search.dense_weight", &RankingSettings::dense_weight},
      {"search.dense_weight_foreign", &RankingSettings::dense_weight_foreign},
      {"search.dense_weight_unknown", &RankingSettings::dense_weight_unknown},
      {"search.dense_sure_cosine", &RankingSettings::dense_sure_cosine},
      {"search.phrase_bonus", &RankingSettings::phrase_bonus},
      {"search.passage_share", &RankingSettings::passage_share},
      {"search.sentence_weight", &RankingSettings::sentence_weight},
      {"search.dense_floor_deviations", &RankingSettings::dense_floor_deviations},
  };
  const std::size_t equals = text.find('=');
  if (equals != std::string::npos && text.substr(0, equals) == "search.estimated_from") {
    ranking.estimated_from = static_cast<std::uint32_t>(std::stoul(text.substr(equals + 1)));
    return {};
  }
  const auto name = kNames.find(text.substr(0, equals));
  if (equals == std::string::npos || name == kNames.end())
    return make_error(ErrorCode::kInvalidArgument, "--set " + text + ": unknown name");
  ranking.*(name->second) = std::stof(text.substr(equals + 1));
  return {};
}

double quantile(std::vector<double>& values, double share) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(share * static_cast<double>(values.size() - 1))];
}

struct Arguments {
  std::string data, vault, questions, model, mode = "hybrid", group = "note";
  std::uint32_t limit = 100, repeat = 1;
  std::vector<std::string> settings;
};

Status replay(const Arguments& arguments) {
  const auto embedder = std::make_shared<GivenEmbeddings>(arguments.model);
  KNAP_TRY(const auto questions, read_questions(arguments.questions, *embedder));
  ServiceOptions options;
  options.data_dir = arguments.data;
  options.vaults = {{std::filesystem::path(arguments.vault).filename().string(), arguments.vault}};
  options.watch = ServiceOptions::Watch::kOff;
  for (const std::string& text : arguments.settings) KNAP_CHECK_OK(set(options.ranking, text));
  observe::Registry metrics;
  service::ComputeLeases leases(2);
  KNAP_TRY(const auto service,
           Service::open(options, embedder->empty() ? nullptr : embedder, leases, metrics));
  service->start();
  KNAP_CHECK_OK(service->scan(Service::WaitFor::kKeyword, Deadline::never(), {}, nullptr));
  if (!embedder->empty()) {
    // Vectors are attached in the background; what has none in the store never gets one here.
    const Deadline soon = Deadline::after(std::chrono::seconds(60));
    while (service->status().front().semantic_coverage < 1) {
      if (soon.expired())
        return make_error(ErrorCode::kFailedPrecondition, "the store does not hold all vectors");
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }
  SearchRequest request;
  request.limit = arguments.limit;
  request.group = arguments.group == "note" ? search::Group::kNote : search::Group::kPassage;
  request.mode = arguments.mode == "keyword"    ? search::Mode::kKeyword
                 : arguments.mode == "semantic" ? search::Mode::kSemantic
                                                : search::Mode::kHybrid;
  std::map<std::string, std::vector<double>> times;  // µs by stage
  for (std::uint32_t round = 0; round < arguments.repeat; ++round) {
    for (const Question& question : questions) {
      request.text = question.text;
      const auto begin = SteadyClock::now();
      KNAP_TRY(const auto found, service->search(request, Deadline::never(), {}));
      const auto took = SteadyClock::now() - begin;
      times["all"].push_back(std::chrono::duration<double, std::micro>(took).count());
      double library = 0;
      for (const search::Stage& stage : found.stages) {
        const auto micros = static_cast<double>(stage.took.count());
        times[stage.name].push_back(micros);
        times[stage.name + "_count"].push_back(static_cast<double>(stage.candidates));
        if (stage.name != "embed" && stage.name != "fetch") library += micros;
      }
      times["library"].push_back(library);
      if (round > 0) continue;
      for (std::size_t i = 0; i < found.hits.size(); ++i)
        fmt::print("{}\t{}\t{}\t{:.6f}\n", question.id, i + 1, found.hits[i].passage.path,
                   found.hits[i].hit.score);
    }
  }
  boost::json::object report;
  for (auto& [stage, values] : times) {
    const double first = values.front();  // before quantile() sorts
    report[stage] = boost::json::object{{"first_us", first},
                                        {"p50_us", quantile(values, .5)},
                                        {"p95_us", quantile(values, .95)},
                                        {"p99_us", quantile(values, .99)}};
  }
  std::cerr << boost::json::serialize(report) << "\n";
  return {};
}

}  // namespace
}  // namespace knap::index

int main(int argc, char** argv) {
  knap::index::Arguments arguments;
  CLI::App app("Searches an indexed vault with questions from a file");
  app.add_option("--data", arguments.data)->required();
  app.add_option("--vault", arguments.vault)->required();
  app.add_option("--questions", arguments.questions)->required();
  app.add_option("--model", arguments.model, "as the store names it");
  app.add_option("--mode", arguments.mode);
  app.add_option("--group", arguments.group);
  app.add_option("--limit", arguments.limit);
  app.add_option("--repeat", arguments.repeat);
  app.add_option("--set", arguments.settings);
  CLI11_PARSE(app, argc, argv);
  const auto done = knap::index::replay(arguments);
  if (done) return 0;
  std::cerr << done.error().message << "\n";
  return 1;
}
