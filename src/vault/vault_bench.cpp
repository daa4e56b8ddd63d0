// Parsing speed over a folder of notes: KNAP_BENCH_VAULT=DIR vault_bench. Without one, over notes
// made here.
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>

#include "knap/base/assert.hpp"
#include "knap/base/file.hpp"
#include "knap/vault/links.hpp"
#include "knap/vault/parse.hpp"
#include "knap/vault/walk.hpp"

namespace knap::vault {
namespace {

using Files = std::vector<std::pair<std::string, std::string>>;

Files made_notes() {
  Files files;
  for (int i = 0; i < 2'000; ++i) {
    std::string text = "---\ntags: [a/b, c]\naliases:\n  - Note number " + std::to_string(i) +
                       "\n---\n# Title\n\n";
    for (int k = 0; k < 8; ++k) {
      text += "## Part " + std::to_string(k) + "\n\nSome **prose** with a [[Link " +
              std::to_string(k) +
              "|link]], a #tag and `code`. More of it follows here.\n\n"
              "- item one\n- [ ] task 📅 2026-01-01\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n";
    }
    files.emplace_back("made/" + std::to_string(i) + ".md", std::move(text));
  }
  return files;
}

const Files& files() {
  static const Files kFiles = [] {
    const char* const root = std::getenv("KNAP_BENCH_VAULT");
    if (root == nullptr) return made_notes();
    Files found;
    const Status status =
        walk(root, IgnoreRules::load(root), {}, CancelToken(), [&](const WalkEntry& entry) {
          if (!entry.problem.empty() || file_type(entry.path) > FileType::kExcalidraw) return;
          if (auto bytes = read_file(std::filesystem::path(root) / entry.path, 100U << 20))
            found.emplace_back(entry.path, std::move(*bytes));
        });
    KNAP_ASSERT(status.has_value());
    return found;
  }();
  return kFiles;
}

void BM_Parse(benchmark::State& state) {
  std::size_t bytes = 0;
  for (const auto& [path, text] : files()) bytes += text.size();
  std::size_t passages = 0;
  for (auto _ : state) {
    passages = 0;
    for (const auto& [path, text] : files()) {
      const auto note = parse(path, text);
      if (note) passages += note->passages.size();
    }
  }
  KNAP_ASSERT(passages >= files().size() / 2);
  state.SetBytesProcessed(static_cast<std::int64_t>(bytes * state.iterations()));
  state.counters["notes"] = static_cast<double>(files().size());
  state.counters["passages"] = static_cast<double>(passages);
}
BENCHMARK(BM_Parse)->Unit(benchmark::kMillisecond);

void BM_ResolveLinks(benchmark::State& state) {
  LinkResolver resolver;
  std::vector<std::pair<std::string, std::string>> links;
  for (const auto& [path, text] : files()) {
    const auto note = parse(path, text);
    if (!note) continue;
    resolver.add(path, note->aliases);
    for (const Link& link : note->links) links.emplace_back(link.target, path);
  }
  for (auto _ : state) {
    std::size_t found = 0;
    for (const auto& [target, from] : links)
      found += resolver.resolve(target, from).has_value() ? 1 : 0;
    benchmark::DoNotOptimize(found);
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(links.size() * state.iterations()));
}
BENCHMARK(BM_ResolveLinks)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace knap::vault

BENCHMARK_MAIN();
