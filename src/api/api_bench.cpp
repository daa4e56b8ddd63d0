#include <benchmark/benchmark.h>

#include "fakes.hpp"
#include "knap/http/client.hpp"

namespace knap::api {
namespace {

/// A search of one hit over a kept connection, its work done by a fake: what HTTP, routing, JSON
/// and the change of threads cost over the library call.
void search_over_http(benchmark::State& state) {
  FakeIndex index;
  FakeAnswerer answerer;
  FakeModels models;
  service::ComputeLeases leases(2);
  observe::Registry metrics;
  ops::HealthMonitor health({search_check(index)}, metrics);
  ops::Vitals vitals(metrics, {});
  ops::Alerts alerts({}, {}, metrics);
  observe::TraceRing slow;
  ApiOptions options;
  options.port = 0;
  auto api =
      Api::start(options, {index, answerer, models, leases, metrics, health, vitals, alerts, slow});
  if (!api) {
    state.SkipWithError(api.error().message.c_str());
    return;
  }
  http::Endpoint endpoint;
  endpoint.port = (*api)->port();
  const auto client = http::Client::create(endpoint, {});
  const http::ClientRequest request{
      "POST", "/api/search", {}, R"({"query":"kerosene","limit":10})"};
  for (auto _ : state) {
    const auto response =
        client->call(request, Deadline::after(std::chrono::seconds(5)), CancelToken());
    if (!response || response->body.find("Rocket") == std::string::npos)
      state.SkipWithError("wrong answer");
  }
}
BENCHMARK(search_over_http)->Unit(benchmark::kMicrosecond)->UseRealTime();

}  // namespace
}  // namespace knap::api

BENCHMARK_MAIN();
