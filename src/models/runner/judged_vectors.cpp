#include "runner/judged_vectors.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <cmath>
#include <numeric>
#include <optional>

#include "knap/base/file.hpp"

namespace knap::models::runner {
namespace {

namespace json = boost::json;

constexpr std::uint64_t kFileBytesMax = 1ULL << 30;
constexpr std::size_t kBest = 10;

struct Entry {
  std::string id, text;
};

Error wrong_line(const std::filesystem::path& file, std::size_t line, std::string_view what) {
  return make_error(ErrorCode::kInvalidArgument,
                    fmt::format("{} line {}: {}", file.string(), line, what));
}

template <typename Each>
Status for_each_line(const std::filesystem::path& file, const Each& each) {
  KNAP_TRY(const std::string text, read_file(file, kFileBytesMax));
  std::size_t number = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = std::string_view(text).substr(at, end - at);
    ++number;
    at = end + 1;
    if (!line.empty()) KNAP_CHECK_OK(each(line, number));
  }
  return {};
}

Result<std::vector<Entry>> read_entries(const std::filesystem::path& file) {
  std::vector<Entry> entries;
  KNAP_CHECK_OK(for_each_line(file, [&](std::string_view line, std::size_t number) -> Status {
    boost::system::error_code error;
    const json::value value = json::parse(line, error);
    const auto text_of = [&](std::string_view key) -> std::string {
      const auto* found = value.is_object() ? value.get_object().if_contains(key) : nullptr;
      return found != nullptr && found->is_string() ? std::string(found->get_string())
                                                    : std::string();
    };
    Entry entry{text_of("_id"), text_of("title")};
    if (error || entry.id.empty()) return wrong_line(file, number, "no JSON object with _id");
    entry.text += (entry.text.empty() ? "" : ". ") + text_of("text");
    std::ranges::replace(entry.text, '\n', ' ');
    if (entry.text.empty()) entry.text = "-";
    entries.push_back(std::move(entry));
    return {};
  }));
  return entries;
}

using Grades = std::map<std::string, std::map<std::string, int>>;

Result<Grades> read_grades(const std::filesystem::path& file) {
  Grades grades;
  KNAP_CHECK_OK(for_each_line(file, [&](std::string_view line, std::size_t number) -> Status {
    const std::size_t first = line.find('\t');
    const std::size_t second = line.find('\t', first + 1);
    if (first == std::string_view::npos || second == std::string_view::npos)
      return wrong_line(file, number, "three values with tabs between them are wanted");
    int grade = 0;
    std::string_view last = line.substr(second + 1);
    while (last.ends_with('\r')) last.remove_suffix(1);
    const auto [end, error] = std::from_chars(last.data(), last.data() + last.size(), grade);
    if (error != std::errc() || end != last.data() + last.size()) {
      if (number == 1) return {};  // the heading
      return wrong_line(file, number, "the score is no whole number");
    }
    if (grade > 0)
      grades[std::string(line.substr(0, first))]
            [std::string(line.substr(first + 1, second - first - 1))] = std::min(grade, 10);
    return {};
  }));
  return grades;
}

}  // namespace

Result<JudgedDocuments> read_judged_documents(const std::filesystem::path& folder,
                                              std::size_t documents_max) {
  KNAP_TRY(const auto corpus, read_entries(folder / "corpus.jsonl"));
  KNAP_TRY(const auto queries, read_entries(folder / "queries.jsonl"));
  KNAP_TRY(const auto grades, read_grades(folder / "qrels" / "test.tsv"));
  std::map<std::string, bool> judged;
  for (const auto& each : grades)
    for (const auto& document : each.second) judged[document.first] = true;
  JudgedDocuments out;
  std::map<std::string, std::size_t> places;
  for (const bool wanted : {true, false}) {
    for (const Entry& entry : corpus) {
      if (judged.contains(entry.id) != wanted || out.documents.size() >= documents_max) continue;
      places[entry.id] = out.documents.size();
      out.documents.push_back(entry.text);
    }
  }
  for (const Entry& query : queries) {
    const auto found = grades.find(query.id);
    if (found == grades.end()) continue;
    std::map<std::size_t, int> by_place;
    for (const auto& [id, grade] : found->second)
      if (const auto place = places.find(id); place != places.end())
        by_place[place->second] = grade;
    if (by_place.empty()) continue;
    out.queries.push_back(query.text);
    out.grades.push_back(std::move(by_place));
  }
  if (out.queries.empty())
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("{} has no judged query", folder.string()));
  return out;
}

double mean_ndcg_10(const JudgedDocuments& judged, const std::vector<float>& vectors,
                    std::size_t dimensions) {
  const std::size_t count = judged.documents.size();
  double sum = 0;
  for (std::size_t q = 0; q < judged.queries.size(); ++q) {
    const float* query = vectors.data() + (count + q) * dimensions;
    std::vector<float> scores(count);
    for (std::size_t d = 0; d < count; ++d)
      scores[d] =
          std::inner_product(query, query + dimensions, vectors.data() + d * dimensions, 0.0F);
    std::vector<std::size_t> order(count);
    std::iota(order.begin(), order.end(), std::size_t{0});
    const std::size_t best = std::min(kBest, count);
    std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(best), order.end(),
                      [&](std::size_t a, std::size_t b) {
                        return scores[a] != scores[b] ? scores[a] > scores[b] : a < b;
                      });
    const auto gain = [](int grade, std::size_t rank) {
      return (std::exp2(grade) - 1) / std::log2(static_cast<double>(rank) + 2);
    };
    double found = 0;
    for (std::size_t rank = 0; rank < best; ++rank) {
      const auto grade = judged.grades[q].find(order[rank]);
      if (grade != judged.grades[q].end()) found += gain(grade->second, rank);
    }
    std::vector<int> ideal;
    for (const auto& each : judged.grades[q]) ideal.push_back(each.second);
    std::sort(ideal.rbegin(), ideal.rend());
    double most = 0;
    for (std::size_t rank = 0; rank < std::min(kBest, ideal.size()); ++rank)
      most += gain(ideal[rank], rank);
    sum += found / most;
  }
  return sum / static_cast<double>(judged.queries.size());
}

}  // namespace knap::models::runner
