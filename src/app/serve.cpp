#include <pthread.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <thread>

#include <fmt/format.h>

#include "commands.hpp"
#include "engine.hpp"
#include "knap/base/version.hpp"
#include "knap/observe/log.hpp"
#include "operations.hpp"
#include "sampling.hpp"
#include "terminal.hpp"
#include "web_options.hpp"

namespace knap::app {
namespace {

/// Signals that end the server, taken by sigwait in one thread instead of a handler.
sigset_t block_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGINT);
  ::sigaddset(&set, SIGTERM);
  ::sigaddset(&set, SIGHUP);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  return set;
}

void print_welcome(const Config& config, std::uint16_t port) {
  const Terminal terminal(Terminal::Stream::kOut);
  const std::string url = fmt::format("http://{}:{}", config.server.host, port);
  std::string vaults;
  for (const auto& vault : config.vaults)
    vaults += fmt::format("  {:<12} {}\n", vault.name, vault.root.string());
  const bool default_port = port == 8000 && config.server.host == "127.0.0.1";
  const std::string option = default_port ? "" : fmt::format(" --url {}", url);
  fmt::print(
      "{} {} serves {}\n\nVaults\n{}\nTry\n  knap search{} \"how do links work\"\n  knap ask{} "
      "\"Which files are indexed?\"\n"
      "  curl -s {}/api/search -H 'Content-Type: application/json' -d '{{\"query\": "
      "\"links\"}}'\n\nStop with Ctrl-C.\n",
      terminal.bold("Knap"), version(), terminal.accent(url), vaults, option, option, url);
  std::fflush(stdout);
}

api::ApiOptions::Work work_options(const Config& config) {
  api::ApiOptions::Work out;
  const auto& service = config.service;
  out.levels = service.levels ? service::WorkPool::Levels::kOn : service::WorkPool::Levels::kOff;
  // Those that wait for the embedding model, which reads as many queries together, and one a core.
  out.search_threads = service.search_threads > 0 ? service.search_threads
                                                  : compute_cores(config) + index::kQueriesTogether;
  out.answer_threads = service.answer_threads;
  out.search_waiting = service.search_waiting;
  out.answer_waiting = service.answer_waiting;
  if (service.pin_threads) out.pinning = service::WorkPool::Pinning::kOn;
  out.queue_target = std::chrono::milliseconds(service.queue_target_ms);
  return out;
}

/// A second signal while stopping means: now.
void exit_on_next_signal(const sigset_t& signals) {
  std::thread([signals] {
    int number = 0;
    ::sigwait(&signals, &number);
    ::_exit(128 + number);
  }).detach();
}

}  // namespace

int serve(const Config& config) {
  const sigset_t signals = block_signals();
  if (auto status = observe::configure_log(log_options(config)); !status)
    return report(status.error());
  if (config.vaults.empty()) {
    return report(make_error(ErrorCode::kInvalidArgument,
                             "no vault to serve: name one, as in `knap serve --vault ~/Notes`, or "
                             "put `vaults` into knap.yaml"));
  }
  auto import_options = web_import_options(config);
  if (!import_options) return report(import_options.error());
  auto engine = Engine::open(config, Engine::Runners::kStart);
  if (!engine) return report(engine.error());

  api::ApiOptions options;
  options.host = config.server.host;
  options.port = config.server.port;
  options.allowed_origins = config.server.allowed_origins;
  options.allowed_hosts = config.server.allowed_hosts;
  options.max_body_bytes = config.server.max_body_bytes;
  options.settings = describe(config);
  options.warm_questions = config.cache.warm_questions;
  options.reworded_answers = config.cache.reworded;
  options.warm_file = config.data_dir / "questions.json";
  options.work = work_options(config);
  options.compress_from_bytes = config.server.compress_from_bytes;
  options.slow_request = std::chrono::milliseconds(config.server.slow_request_ms);
  auto& parts = **engine;
  std::unique_ptr<cache::Layers> cache;
  if (auto wanted = cache_options(config)) {
    auto opened = cache::Layers::open(std::move(*wanted), parts.metrics());
    if (!opened) return report(opened.error());
    cache = std::move(*opened);
  }
  const auto answerer = answer::Answerer::create(config.answer, parts.index(), parts.models(),
                                                 parts.leases(), parts.metrics());
  web::Importer importer(std::move(*import_options));
  auto operations = Operations::open(config, parts, cache.get());
  if (!operations) return report(operations.error());
  Operations& watch = **operations;
  watch.join(options);
  auto api = api::Api::start(
      std::move(options), {parts.index(), *answerer, parts.models(), parts.leases(),
                           parts.metrics(), *watch.health, *watch.vitals, watch.alerting->alerts(),
                           watch.slow, cache.get(), &importer, parts.speech()});
  if (!api) return report(api.error());
  parts.index().start();
  const auto sampler = make_sampler(parts, config);
  sampler->add([&watch] { watch.tick(); });
  sampler->start();
  print_welcome(config, (*api)->port());
  observe::log_info(
      "started", "serving",
      {{"port", static_cast<std::int64_t>((*api)->port())}, {"version", std::string(version())}});

  int number = 0;
  ::sigwait(&signals, &number);
  exit_on_next_signal(signals);
  observe::log_info("stopping", "asked to stop", {{"signal", static_cast<std::int64_t>(number)}});
  (*api)->stop();
  return kExitDone;
}

}  // namespace knap::app
