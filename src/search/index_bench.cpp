// Speed of the index over made-up notes of the size of a large vault: each benchmark checks its
// answer first.
#include <benchmark/benchmark.h>

#include <cmath>
#include <random>

#include "kernels.hpp"
#include "knap/base/assert.hpp"
#include "test_notes.hpp"

namespace knap::search {
namespace {

constexpr std::uint32_t kNotes = 10'000, kPassagesPerNote = 3, kWordsPerPassage = 110,
                        kDimensions = 384;

/// Words with frequencies as in prose: the n-th is about 1 / n as common as the first.
std::string word(std::mt19937& random) {
  const double u = std::uniform_real_distribution<double>(0, 1)(random);
  return "w" + std::to_string(static_cast<int>(std::exp(u * std::log(60'000.0))));
}

std::vector<NoteInput> make_notes() {
  std::mt19937 random(1);
  std::vector<NoteInput> notes;
  for (std::uint32_t i = 0; i < kNotes; ++i) {
    std::vector<std::string> passages;
    for (std::uint32_t p = 0; p < kPassagesPerNote; ++p) {
      std::string text;
      for (std::uint32_t w = 0; w < kWordsPerPassage; ++w) text += word(random) + " ";
      passages.push_back(std::move(text));
    }
    notes.push_back(testing_notes::note(i, "note " + std::to_string(i), passages));
  }
  return notes;
}

const std::vector<NoteInput>& notes() {
  static const auto kMade = make_notes();
  return kMade;
}

const Index& filled_index() {
  static const auto kIndex = [] {
    auto index = Index::create({.dimensions = kDimensions});
    index->apply(testing_notes::upsert(notes()));
    std::mt19937 random(2);
    std::vector<std::int8_t> values(kDimensions);
    for (const NoteInput& input : notes()) {
      for (const PassageInput& passage : input.passages) {
        for (auto& value : values)
          value = static_cast<std::int8_t>(static_cast<int>(random() % 41) - 20);
        const std::vector<Index::VectorInput> one{{passage.hash, values}};
        KNAP_ASSERT(index->set_vectors(one).has_value());
      }
    }
    return index;
  }();
  return *kIndex;
}

std::vector<Query> make_queries(Mode mode) {
  std::mt19937 random(3);
  std::vector<Query> queries(200);
  for (Query& query : queries) {
    for (int w = 0; w < 4; ++w) query.text += "w" + std::to_string(20 + random() % 5000) + " ";
    query.mode = mode;
    if (mode == Mode::kKeyword) continue;
    query.embedding.resize(kDimensions);
    for (float& value : query.embedding) value = static_cast<float>(random() % 1000) / 1000 - 0.5F;
  }
  return queries;
}

void run_queries(benchmark::State& state, Mode mode) {
  const Index& index = filled_index();
  const auto queries = make_queries(mode);
  KNAP_ASSERT(index.search(queries[0], Deadline::never())->hits.size() == 10);
  std::vector<double> micros;
  std::size_t next = 0;
  for (auto _ : state) {
    const auto begin = SteadyClock::now();
    benchmark::DoNotOptimize(index.search(queries[next++ % queries.size()], Deadline::never()));
    micros.push_back(std::chrono::duration<double, std::micro>(SteadyClock::now() - begin).count());
  }
  std::sort(micros.begin(), micros.end());
  state.counters["p50_us"] = micros[micros.size() / 2];
  state.counters["p99_us"] = micros[micros.size() * 99 / 100];
}

void keyword_search(benchmark::State& state) { run_queries(state, Mode::kKeyword); }
void hybrid_search(benchmark::State& state) { run_queries(state, Mode::kHybrid); }
BENCHMARK(keyword_search)->Unit(benchmark::kMicrosecond);
BENCHMARK(hybrid_search)->Unit(benchmark::kMicrosecond);

void index_notes(benchmark::State& state) {
  std::uint64_t bytes = 0;
  for (const NoteInput& input : notes())
    for (const PassageInput& passage : input.passages) bytes += passage.plain.size();
  for (auto _ : state) {
    const auto index = Index::create({.dimensions = kDimensions});
    index->apply(testing_notes::upsert(notes()));
    KNAP_ASSERT(index->stats().notes == kNotes);
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(bytes * state.iterations()));
}
BENCHMARK(index_notes)->Unit(benchmark::kMillisecond);

void replace_one_note(benchmark::State& state) {
  const auto index = Index::create({.dimensions = kDimensions});
  index->apply(testing_notes::upsert(notes()));
  std::size_t next = 0;
  for (auto _ : state) index->apply(testing_notes::upsert({notes()[next++ % kNotes]}));
  KNAP_ASSERT(index->stats().notes == kNotes);
}
BENCHMARK(replace_one_note)->Unit(benchmark::kMicrosecond);

void scan_rows(benchmark::State& state) {
  constexpr std::size_t kRows = 35'000;
  std::mt19937 random(4);
  std::vector<std::int8_t> rows(kRows * kDimensions), query(kDimensions);
  for (auto& value : rows) value = static_cast<std::int8_t>(static_cast<int>(random() % 255) - 127);
  for (auto& value : query)
    value = static_cast<std::int8_t>(static_cast<int>(random() % 255) - 127);
  std::vector<std::int32_t> out(kRows), expected(kRows);
  dot_rows_scalar(query, rows.data(), expected);
  dot_rows(query, rows.data(), out);
  KNAP_ASSERT(out == expected);
  for (auto _ : state) {
    dot_rows(query, rows.data(), out);
    benchmark::DoNotOptimize(out.data());
  }
}
BENCHMARK(scan_rows)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace knap::search

BENCHMARK_MAIN();
