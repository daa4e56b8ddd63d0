// What answering costs beside search and models: reading passages, scoring sentences, choosing
// quotes, checking a claim.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <string>

#include "fakes.hpp"
#include "quotes.hpp"
#include "score_sentences.hpp"

namespace knap::answer {
namespace {

FakeService make_service() {
  FakeService service;
  for (int note = 0; note < 12; ++note) {
    std::string text;
    for (int sentence = 0; sentence < 6; ++sentence) {
      text += "The station number " + std::to_string(note * 7 + sentence) +
              " on the line to Harbour Town was opened in " + std::to_string(1860 + note) +
              " and serves the northern quarter of the city every day. ";
    }
    service.add_note("note" + std::to_string(note) + ".md", "Line " + std::to_string(note), text);
  }
  return service;
}

void evidence_and_quotes(benchmark::State& state) {
  FakeService service = make_service();
  index::SearchRequest request;
  request.text = "When was station number 45 on the line to Harbour Town opened?";
  const auto outcome = service.search(request, Deadline::never(), {});
  const Rarity rarity = [&](std::string_view term) {
    return service.inverse_document_frequency(term);
  };
  for (auto _ : state) {
    const Evidence evidence = gather_evidence(request.text, "", outcome->hits, rarity);
    const auto quotes = choose_quotes(evidence, 3);
    // A fast wrong answer is no answer.
    if (quotes.empty() || quotes[0].citation.quote.find("number 45 ") == std::string::npos)
      std::abort();
  }
}
BENCHMARK(evidence_and_quotes)->Unit(benchmark::kMicrosecond);

void one_claim(benchmark::State& state) {
  Citation citation;
  citation.id = 1;
  citation.quote =
      "The station number 45 on the line to Harbour Town was opened in 1866 and serves the "
      "northern quarter.";
  for (auto _ : state) {
    const Claim claim = check_claim("Station number 45 was opened in 1866 [1].", {citation}, "en");
    if (claim.verdict != Verdict::kSupported) std::abort();
  }
}
BENCHMARK(one_claim)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace knap::answer

BENCHMARK_MAIN();
