#include <algorithm>
#include <chrono>
#include <map>

#include <fmt/format.h>

#include "commands.hpp"
#include "judged.hpp"
#include "knap/base/file.hpp"
#include "knap/base/json_text.hpp"
#include "remote.hpp"
#include "terminal.hpp"

namespace knap::app {
namespace {

namespace json = boost::json;

constexpr std::uint64_t kEarlierBytesMax = 64U << 20;
constexpr int kResults = 100;  // looked at for the reciprocal rank
constexpr std::size_t kMissesShown = 10;
constexpr std::size_t kLosersShown = 10;
/// Loss of mean nDCG below which two runs count as equal.
constexpr double kTolerance = .005;

/// One question's outcome.
struct Outcome {
  index::RankingQuality quality;
  std::string best_path;  ///< What stood first.
};

/// Milliseconds by stage, "total" and "client" among them.
using Times = std::map<std::string, std::vector<double>>;

double quantile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(share * static_cast<double>(values.size() - 1))];
}

/// Asks twice: as people do, for the ranking and the whole time; then explained, for the stages. An
/// explained search scores every note, where a plain one may stop at the best.
Result<Outcome> ask(Remote& remote, const JudgedQuestion& question, const std::string& mode,
                    Times& times, json::value& index) {
  json::object body{{"query", question.query}, {"limit", kResults}, {"mode", mode}};
  if (!question.filter.empty()) body["filter"] = question.filter;
  if (!question.vault.empty()) body["vault"] = question.vault;
  const auto begin = SteadyClock::now();
  KNAP_TRY(const json::value answer, remote.post("/api/search", body));
  times["client"].push_back(
      std::chrono::duration<double, std::milli>(SteadyClock::now() - begin).count());
  times["total"].push_back(number_of(answer, "took_ms"));
  body["explain"] = true;
  KNAP_TRY(const json::value explained, remote.post("/api/search", body));
  if (const auto& stages = member(member(explained, "explain"), "stages"); stages.is_array()) {
    for (const auto& stage : stages.get_array())
      times[text_of(stage, "name")].push_back(number_of(stage, "took_ms"));
  }
  std::vector<std::string> ranked;
  if (const auto& results = member(answer, "results"); results.is_array()) {
    for (const auto& result : results.get_array()) ranked.push_back(text_of(result, "path"));
  }
  index = member(answer, "index");
  return Outcome{index::judge(ranked, question.grades), ranked.empty() ? "" : ranked.front()};
}

json::object means(const std::vector<Outcome>& outcomes) {
  index::RankingQuality sum;
  for (const Outcome& outcome : outcomes) {
    sum.recall_1 += outcome.quality.recall_1;
    sum.recall_10 += outcome.quality.recall_10;
    sum.ndcg_10 += outcome.quality.ndcg_10;
    sum.reciprocal_rank += outcome.quality.reciprocal_rank;
  }
  const auto count = static_cast<double>(outcomes.size());
  return {{"recall_1", sum.recall_1 / count},
          {"recall_10", sum.recall_10 / count},
          {"ndcg_10", sum.ndcg_10 / count},
          {"mrr", sum.reciprocal_rank / count}};
}

json::object report_of(const std::vector<JudgedQuestion>& questions,
                       const std::vector<Outcome>& outcomes, const Times& times) {
  json::array rows;
  for (std::size_t i = 0; i < questions.size(); ++i) {
    rows.push_back(json::object{{"query", questions[i].query},
                                {"filter", questions[i].filter},
                                {"vault", questions[i].vault},
                                {"ndcg_10", outcomes[i].quality.ndcg_10},
                                {"reciprocal_rank", outcomes[i].quality.reciprocal_rank},
                                {"first", outcomes[i].best_path}});
  }
  json::object latency;
  for (const auto& [stage, values] : times) {
    latency[stage] = json::object{
        {"p50_ms", quantile(values, .5)}, {"p95_ms", quantile(values, .95)}, {"n", values.size()}};
  }
  return {{"questions", questions.size()},
          {"quality", means(outcomes)},
          {"latency", latency},
          {"by_question", rows}};
}

/// How this run compares with an earlier one, by the questions that both asked.
struct Comparison {
  std::size_t common = 0, better = 0, worse = 0;
  double before = 0, after = 0;                        ///< Mean nDCG@10 of the common questions.
  std::vector<std::pair<double, std::string>> losers;  ///< (change, query), worst first.

  bool loses() const { return after < before - kTolerance; }
};

/// What makes a row of two runs the same question.
std::string key_of(const json::value& row) {
  return text_of(row, "query") + '\n' + text_of(row, "filter") + '\n' + text_of(row, "vault");
}

Result<Comparison> compare(const std::string& file, const json::object& now) {
  KNAP_TRY(const std::string text, read_file(file, kEarlierBytesMax));
  boost::system::error_code error;
  const json::value earlier = json::parse(text, error);
  const json::value& rows = member(earlier, "by_question");
  if (error || !rows.is_array())
    return make_error(ErrorCode::kInvalidArgument,
                      file + ": not the output of `knap bench search --json`");
  std::map<std::string, double> known;
  for (const auto& row : rows.get_array()) known[key_of(row)] = number_of(row, "ndcg_10");
  Comparison out;
  for (const auto& row : now.at("by_question").as_array()) {
    const auto before = known.find(key_of(row));
    if (before == known.end()) continue;
    const double change = number_of(row, "ndcg_10") - before->second;
    ++out.common;
    out.before += before->second;
    out.after += number_of(row, "ndcg_10");
    if (change > 0) ++out.better;
    if (change < 0) {
      ++out.worse;
      out.losers.emplace_back(change, text_of(row, "query"));
    }
  }
  if (out.common == 0)
    return make_error(ErrorCode::kInvalidArgument, file + ": has no question of this set");
  out.before /= static_cast<double>(out.common);
  out.after /= static_cast<double>(out.common);
  std::sort(out.losers.begin(), out.losers.end());
  return out;
}

json::object as_json(const Comparison& comparison) {
  return {{"questions", comparison.common}, {"better", comparison.better},
          {"worse", comparison.worse},      {"ndcg_10_before", comparison.before},
          {"ndcg_10", comparison.after},    {"loses", comparison.loses()}};
}

void print_report(const json::object& report, const std::vector<JudgedQuestion>& questions,
                  const std::vector<Outcome>& outcomes, const Terminal& terminal) {
  const json::value& quality = report.at("quality");
  fmt::print("{} questions\n  nDCG@10 {:.3f}   recall@10 {:.3f}   recall@1 {:.3f}   MRR {:.3f}\n\n",
             questions.size(), number_of(quality, "ndcg_10"), number_of(quality, "recall_10"),
             number_of(quality, "recall_1"), number_of(quality, "mrr"));
  fmt::print("{}\n", terminal.dim(fmt::format("{:<12} {:>9} {:>9}", "stage", "p50 ms", "p95 ms")));
  for (const auto& [stage, values] : report.at("latency").as_object())
    fmt::print("{:<12} {:>9.2f} {:>9.2f}\n", std::string_view(stage), number_of(values, "p50_ms"),
               number_of(values, "p95_ms"));
  std::size_t misses = 0;
  for (std::size_t i = 0; i < questions.size(); ++i) {
    if (outcomes[i].quality.recall_10 > 0) continue;
    if (misses++ == 0) fmt::print("\nNothing that answers among the first ten:\n");
    if (misses > kMissesShown) continue;
    fmt::print(
        "  {}  {}\n", printable(questions[i].query),
        terminal.dim(outcomes[i].best_path.empty() ? "no result"
                                                   : "first: " + printable(outcomes[i].best_path)));
  }
  if (misses > kMissesShown) fmt::print("  and {} more\n", misses - kMissesShown);
}

void print_comparison(const Comparison& comparison, const std::string& file,
                      const Terminal& terminal) {
  const std::string line = fmt::format(
      "nDCG@10 {:.3f} before, {:.3f} now: {} questions better, {} worse, of {}", comparison.before,
      comparison.after, comparison.better, comparison.worse, comparison.common);
  fmt::print("\nAgainst {}: {}\n", file,
             comparison.loses() ? terminal.bad(line + ". Quality is lost.") : line);
  for (std::size_t i = 0; i < std::min(comparison.losers.size(), kLosersShown); ++i)
    fmt::print("  {:+.3f}  {}\n", comparison.losers[i].first,
               printable(comparison.losers[i].second));
}

}  // namespace

int bench_search(const Config& config, const ServerAddress& server, const BenchOptions& options) {
  const std::filesystem::path set =
      options.set.empty() ? judged_questions_file(config) : std::filesystem::path(options.set);
  if (set.empty()) {
    return report(make_error(ErrorCode::kInvalidArgument,
                             "name the file of judged questions: --set FILE, or the setting "
                             "search.judged_questions"));
  }
  const auto questions = read_judged(set);
  if (!questions) return report(questions.error());
  auto remote = Remote::open(config, server);
  if (!remote) return report(remote.error());
  std::vector<Outcome> outcomes;
  Times times;
  json::value index;
  for (const JudgedQuestion& question : *questions) {
    auto outcome = ask(*remote, question, options.mode, times, index);
    if (!outcome) return report(outcome.error());
    outcomes.push_back(*std::move(outcome));
  }
  json::object result = report_of(*questions, outcomes, times);
  result["mode"] = options.mode;
  result["index"] = index;
  std::optional<Comparison> comparison;
  if (!options.compare.empty()) {
    auto compared = compare(options.compare, result);
    if (!compared) return app::report(compared.error());
    comparison = *std::move(compared);
    result["comparison"] = as_json(*comparison);
  }
  if (server.output == Output::kJson) {
    fmt::print("{}\n", json_text(result));
  } else {
    const Terminal terminal(Terminal::Stream::kOut);
    print_report(result, *questions, outcomes, terminal);
    if (comparison) print_comparison(*comparison, options.compare, terminal);
    const double coverage = number_of(member(index, "coverage"), "semantic");
    if (coverage < 1 && options.mode != "keyword")
      fmt::print("{}\n", terminal.bad(fmt::format("Only {:.1f} % of the passages have vectors yet: "
                                                  "run again when all have.",
                                                  coverage * 100)));
  }
  return comparison && comparison->loses() ? kExitFailed : kExitDone;
}

}  // namespace knap::app
