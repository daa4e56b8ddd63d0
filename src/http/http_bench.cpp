#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include <benchmark/benchmark.h>

#include "knap/base/thread_pool.hpp"
#include "knap/http/client.hpp"
#include "knap/http/server.hpp"

namespace knap::http {
namespace {

/// One blocking client, kept connection: what a call of a model runner costs beyond its work.
void round_trip(benchmark::State& state, Endpoint endpoint, const Server::Options& options,
                bool through_pool) {
  ThreadPool pool({"bench", 1, 64});
  auto server = Server::start(options, [&](auto request, auto responder) {
    const auto work = [request, responder] { responder->send(Response::json(200, request->body)); };
    if (!through_pool) return work();
    if (!pool.submit(work)) std::abort();
  });
  if (!server) {
    state.SkipWithError(server.error().message.c_str());
    return;
  }
  endpoint.port = (*server)->port();
  const auto client = Client::create(endpoint, {});
  const ClientRequest request{"POST", "/v1/embeddings", {}, std::string(500, 'x')};
  for (auto _ : state) {
    const auto response = client->call(request, Deadline::after(std::chrono::seconds(5)), {});
    if (!response || response->body != request.body) state.SkipWithError("wrong answer");
  }
}

void unix_round_trip(benchmark::State& state) {
  Endpoint endpoint;
  endpoint.unix_socket =
      std::filesystem::temp_directory_path() / ("knap-http-bench-" + std::to_string(getpid()));
  Server::Options options;
  options.unix_socket = endpoint.unix_socket;
  round_trip(state, endpoint, options, false);
}

void unix_round_trip_through_pool(benchmark::State& state) {
  Endpoint endpoint;
  endpoint.unix_socket =
      std::filesystem::temp_directory_path() / ("knap-http-bench-" + std::to_string(getpid()));
  Server::Options options;
  options.unix_socket = endpoint.unix_socket;
  round_trip(state, endpoint, options, true);
}

void tcp_round_trip_through_pool(benchmark::State& state) { round_trip(state, {}, {}, true); }

BENCHMARK(unix_round_trip)->Unit(benchmark::kMicrosecond)->UseRealTime();
BENCHMARK(unix_round_trip_through_pool)->Unit(benchmark::kMicrosecond)->UseRealTime();
BENCHMARK(tcp_round_trip_through_pool)->Unit(benchmark::kMicrosecond)->UseRealTime();

}  // namespace
}  // namespace knap::http

BENCHMARK_MAIN();
