// What starting a helper costs, from a small process and from one that holds a gibibyte, as a
// server with a large index does.
#include <benchmark/benchmark.h>
#include <fcntl.h>

#include <cstdlib>
#include <string>

#include "knap/extract/sandbox.hpp"

namespace knap::extract {
namespace {

constexpr std::size_t kMebibyte = 1 << 20;

void start_helper(benchmark::State& state) {
  const std::string ballast(static_cast<std::size_t>(state.range(0)) * kMebibyte, 'x');
  const FileDescriptor input(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  HelperRun run;
  run.program = "/usr/bin/true";
  run.input = input.get();
  run.weak = WeakSandbox::kAllow;
  for (auto _ : state) {
    const auto result = run_helper(run, {});
    if (!result || result->exit_code != 0) {
      state.SkipWithError("the helper did not end well");
      break;
    }
  }
  benchmark::DoNotOptimize(ballast.data());
}
BENCHMARK(start_helper)->Arg(1)->Arg(1024)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace knap::extract

BENCHMARK_MAIN();
