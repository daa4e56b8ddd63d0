// Search at the size of a very large vault: made-up prose and synthetic vectors.
// scale_bench [PASSAGES] [QUERIES]

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "knap/base/assert.hpp"
#include "knap/base/version.hpp"
#include "test_notes.hpp"

namespace knap::search {
namespace {

constexpr std::uint32_t kPassagesPerNote = 4, kWordsPerPassage = 110, kDimensions = 384;
constexpr std::uint32_t kVectorsAtATime = 4'096, kNotesAtATime = 512;

/// Words with frequencies as in prose: the n-th is about 1 / n as common as the first.
std::string word(std::mt19937& random) {
  const double u = std::uniform_real_distribution<double>(0, 1)(random);
  return "w" + std::to_string(static_cast<int>(std::exp(u * std::log(200'000.0))));
}

NoteInput make_note(std::uint32_t number, std::mt19937& random) {
  std::vector<std::string> passages;
  for (std::uint32_t p = 0; p < kPassagesPerNote; ++p) {
    std::string text;
    for (std::uint32_t w = 0; w < kWordsPerPassage; ++w) text += word(random) + " ";
    passages.push_back(std::move(text));
  }
  return testing_notes::note(number, "note " + std::to_string(number), passages);
}

void set_vectors(Index& index, const std::vector<Hash128>& hashes, std::mt19937& random) {
  std::vector<std::int8_t> values(hashes.size() * kDimensions);
  for (auto& value : values) value = static_cast<std::int8_t>(static_cast<int>(random() % 41) - 20);
  std::vector<Index::VectorInput> inputs;
  for (std::size_t i = 0; i < hashes.size(); ++i)
    inputs.push_back({hashes[i], std::span(values).subspan(i * kDimensions, kDimensions)});
  KNAP_ASSERT(index.set_vectors(inputs).has_value());
}

double resident_mb() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmRSS:")) return std::stod(line.substr(6)) / 1024;
  return 0;
}

void time_queries(const Index& index, Mode mode, const char* name, std::size_t count,
                  Helpers helpers = {}) {
  std::mt19937 random(3);
  std::vector<double> times;
  for (std::size_t i = 0; i < count; ++i) {
    Query query;
    for (int w = 0; w < 4; ++w) query.text += "w" + std::to_string(20 + random() % 5'000) + " ";
    query.mode = mode;
    query.helpers = helpers;
    if (mode != Mode::kKeyword) query.embedding.resize(kDimensions);
    for (float& value : query.embedding) value = static_cast<float>(random() % 1'000) / 1'000 - .5F;
    const auto begin = SteadyClock::now();
    const auto found = index.search(query, Deadline::never());
    times.push_back(std::chrono::duration<double, std::milli>(SteadyClock::now() - begin).count());
    KNAP_ASSERT(found.has_value() && found->hits.size() == 10 && found->degraded.empty());
  }
  std::sort(times.begin(), times.end());
  std::printf("%-18s p50 %8.2f ms   p95 %8.2f ms   p99 %8.2f ms\n", name, times[times.size() / 2],
              times[times.size() * 95 / 100], times[times.size() * 99 / 100]);
}

int run(std::uint32_t passages, std::size_t queries) {
  std::mt19937 random(1);
  const auto index = Index::create({.dimensions = kDimensions});
  const auto begin = SteadyClock::now();
  std::vector<Hash128> hashes;
  for (std::uint32_t at = 0; at < passages / kPassagesPerNote;) {
    std::vector<NoteInput> notes;
    for (; at < passages / kPassagesPerNote && notes.size() < kNotesAtATime; ++at) {
      notes.push_back(make_note(at, random));
      for (const PassageInput& passage : notes.back().passages) hashes.push_back(passage.hash);
    }
    index->apply(testing_notes::upsert(std::move(notes)));
    if (hashes.size() < kVectorsAtATime) continue;
    set_vectors(*index, hashes, random);
    hashes.clear();
  }
  if (!hashes.empty()) set_vectors(*index, hashes, random);
  const IndexStats stats = index->stats();
  std::printf(
      "knap %s, %u cores: %llu notes, %llu passages of %u words, %llu synthetic vectors of %u"
      " dimensions; made and indexed in %.1f s; process %.0f MB\n",
      std::string(version()).c_str(), std::thread::hardware_concurrency(),
      static_cast<unsigned long long>(stats.notes), static_cast<unsigned long long>(stats.passages),
      kWordsPerPassage, static_cast<unsigned long long>(stats.passages_with_vector), kDimensions,
      std::chrono::duration<double>(SteadyClock::now() - begin).count(), resident_mb());
  time_queries(*index, Mode::kKeyword, "keyword", queries);
  time_queries(*index, Mode::kSemantic, "semantic", queries);
  time_queries(*index, Mode::kHybrid, "hybrid", queries);
  const unsigned cores = std::thread::hardware_concurrency();
  if (cores > 1) {
    ThreadPool pool({.name = "helpers", .threads = cores - 1});
    time_queries(*index, Mode::kHybrid, "hybrid, all cores", queries, {&pool, cores - 1});
  }
  std::printf("process %.0f MB after the searches\n", resident_mb());
  return 0;
}

}  // namespace
}  // namespace knap::search

int main(int argc, char** argv) {
  const unsigned long passages = argc > 1 ? std::stoul(argv[1]) : 100'000;
  const unsigned long queries = argc > 2 ? std::stoul(argv[2]) : 300;
  return knap::search::run(static_cast<std::uint32_t>(passages), queries);
}
