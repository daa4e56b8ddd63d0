#include <fmt/format.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <boost/json.hpp>
#include <csignal>
#include <cstdio>
#include <thread>

#include "knap/base/json_text.hpp"
#include "knap/base/mutex.hpp"
#include "knap/models/models.hpp"
#include "knap/observe/log.hpp"
#include "runner/measure_weights.hpp"
#include "runner/service.hpp"

namespace knap::models {
namespace {

namespace json = boost::json;
// The child's side, whose main this is.
using runner::error_response;
using runner::open_answer_service;
using runner::open_embed_service;
using runner::open_rerank_service;
using runner::open_speech_service;
using runner::parse_precision;
using runner::RunnerOptions;
using runner::Service;

constexpr std::chrono::seconds kParentCheck{2};
constexpr std::chrono::milliseconds kStopGrace{200};
constexpr int kOomScore =
    500;  // when memory ends, a runner goes before the server: it is replaced at once

Result<RunnerOptions> read_arguments(int argc, char** argv) {
  RunnerOptions options;
  std::string precision = "f32";
  CLI::App app("Serves one model on a Unix socket for the server that started it.", "knap runner");
  app.add_option("--role", options.role, "embed, rerank, answer or speech")->required();
  app.add_option("--model", options.model, "Name in answers");
  app.add_option("--model-dir", options.model_dir, "Folder of an embedding or reranking model");
  app.add_option("--model-file", options.model_file,
                 "GGUF file of an answer model, ggml file of a speech model");
  app.add_option("--socket", options.socket, "Unix socket to listen on")->required();
  app.add_option("--threads", options.threads, "Compute threads")->check(CLI::Range(1, 1'024));
  app.add_flag("--first-token", options.first_token,
               "An embedding is the first token's state, not the mean of all");
  app.add_option("--max-tokens", options.max_tokens, "Window of an embedding or reranking model")
      ->check(CLI::Range(2, 65'536));
  app.add_option("--context", options.context, "Context of an answer model")
      ->check(CLI::Range(64, 1'048'576));
  app.add_option("--contexts", options.contexts,
                 "State is held for so many full contexts, all answers together")
      ->check(CLI::Range(1, 64));
  std::int64_t chunk_ms = options.chunk_time.count();
  app.add_option("--chunk-ms", chunk_ms, "About what a step of an answer model may take")
      ->check(CLI::Range(1, 60'000));
  app.add_flag("--guesses,!--no-guesses", options.guesses,
               "An answer model checks several tokens at once where the prompt tells what comes");
  app.add_option("--passages-dir", options.passages_dir,
                 "Folder for states of passages that an answer model has read ahead");
  app.add_option("--passages-memory-bytes", options.passages_memory_bytes,
                 "Room for them in memory; 0: none are read ahead");
  app.add_option("--passages-disk-bytes", options.passages_disk_bytes, "Room for them on disk");
  std::string gpu = "auto";
  app.add_option("--gpu", gpu, "Graphics cards for an answer model: auto, always or never");
  app.add_option("--gpu-memory-fraction", options.gpu.memory_fraction,
                 "Of each card's memory, at most")
      ->check(CLI::Range(0.01, 1.0));
  app.add_option("--replica", options.gpu.replica, "Which of the runners of one model this is")
      ->check(CLI::Range(0, 63));
  app.add_option("--replicas", options.gpu.replicas, "Runners of one model")
      ->check(CLI::Range(1, 64));
  app.add_option("--precision", precision, "f32, bf16, int8 or int8-bf16");
  app.add_option("--parent", options.parent, "Process to end with");
  // Called as `knap runner ...` or as `runner ...`.
  const int skip = argc > 1 && std::string_view(argv[1]) == "runner" ? 1 : 0;
  try {
    app.parse(argc - skip, argv + skip);
  } catch (const CLI::ParseError& failure) {
    return make_error(ErrorCode::kInvalidArgument, failure.what());
  }
  constexpr std::string_view kRoles[] = {"embed", "rerank", "answer", "speech"};
  if (std::ranges::find(kRoles, options.role) == std::end(kRoles))
    return make_error(ErrorCode::kInvalidArgument,
                      "--role must be embed, rerank, answer or speech");
  options.chunk_time = std::chrono::milliseconds(chunk_ms);
  KNAP_TRY(options.gpu.use, parse_gpu_use(gpu));
  KNAP_TRY(options.precision, parse_precision(precision));
  return options;
}

// What a model file may do to its runner stays there: no network, no core file with note text in
// it, no life after the parent's.
void close_in(int parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (parent > 0 && ::getppid() != parent) ::_exit(1);  // the parent ended before the line above
  ::prctl(PR_SET_DUMPABLE, 0);
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  // Allowed to root only, or in a new user namespace, which changes who files belong to: a limit
  // that is nice to have.
  static_cast<void>(::unshare(CLONE_NEWNET));
  if (std::FILE* score = std::fopen("/proc/self/oom_score_adj", "we"); score != nullptr) {
    std::fprintf(score, "%d", kOomScore);
    std::fclose(score);
  }
}

// A runner may have been started by a thread that was pinned to one core, and has inherited that.
void use_all_cores_of(int parent) {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (parent <= 0 || ::sched_getaffinity(parent, sizeof(allowed), &allowed) != 0) return;
  static_cast<void>(::sched_setaffinity(0, sizeof(allowed), &allowed));
}

/// The service once it is loaded, or why it cannot be.
class Slot {
 public:
  void set(Result<std::unique_ptr<Service>> loaded) KNAP_EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    if (loaded) {
      service_ = *std::move(loaded);
    } else {
      failure_ = loaded.error().message;
    }
  }
  std::shared_ptr<Service> service() const KNAP_EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return service_;
  }
  std::string failure() const KNAP_EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return failure_;
  }

 private:
  mutable Mutex mutex_;
  std::shared_ptr<Service> service_ KNAP_GUARDED_BY(mutex_);
  std::string failure_ KNAP_GUARDED_BY(mutex_);
};

http::Response health_of(const Slot& slot) {
  json::object body;
  const std::string failure = slot.failure();
  const auto service = slot.service();
  const bool stuck = service != nullptr && service->stuck();
  const bool ready = service != nullptr && !stuck;
  body["state"] = ready ? "ready" : stuck ? "stuck" : failure.empty() ? "loading" : "failed";
  if (!failure.empty()) body["error"] = failure;
  if (ready && !service->placement().empty()) body["placement"] = service->placement();
  return http::Response::json(ready ? 200 : 503, json_text(body));
}

void route(const Slot& slot, const std::shared_ptr<const http::Request>& request,
           const std::shared_ptr<http::Responder>& responder) {
  if (request->method == "GET" && request->path == "/health")
    return responder->send(health_of(slot));
  const auto service = slot.service();
  if (service == nullptr) {
    return responder->send(
        error_response(make_error(ErrorCode::kUnavailable, "the model is loading")));
  }
  if (request->method == "GET" && request->path == "/stats")
    return responder->send(http::Response::json(200, service->stats()));
  if (service->handle(request, responder)) return;
  responder->send(
      error_response(make_error(ErrorCode::kNotFound, fmt::format("no route {}", request->path))));
}

void wait_for_end(int parent, const sigset_t& signals) {
  for (;;) {
    const timespec patience{kParentCheck.count(), 0};
    if (::sigtimedwait(&signals, nullptr, &patience) > 0) return;
    if (parent > 0 && ::getppid() != parent) return;
  }
}

Result<std::unique_ptr<Service>> open_service(const RunnerOptions& options) {
  if (options.role == "embed") return open_embed_service(options);
  if (options.role == "rerank") return open_rerank_service(options);
  if (options.role == "speech") return open_speech_service(options);
  return open_answer_service(options);
}

int serve(const RunnerOptions& options) {
  // Blocked before any thread starts, so that only wait_for_end() sees them.
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGTERM);
  ::sigaddset(&signals, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  ::signal(SIGPIPE, SIG_IGN);

  const auto slot = std::make_shared<Slot>();
  http::Server::Options listen;
  listen.unix_socket = options.socket;
  auto server = http::Server::start(listen, [slot](std::shared_ptr<const http::Request> request,
                                                   std::shared_ptr<http::Responder> responder) {
    route(*slot, request, responder);
  });
  if (!server) {
    std::fprintf(stderr, "knap runner: %s\n", server.error().message.c_str());
    return 1;
  }
  std::thread loader([&] { slot->set(open_service(options)); });
  wait_for_end(options.parent, signals);
  (*server)->stop(kStopGrace);
  // Engines take their time to end, and nothing of theirs outlives the process: the parent waits
  // for it.
  std::fflush(nullptr);
  loader.detach();
  ::_exit(0);
}

}  // namespace

int runner_main(int argc, char** argv) {
  const int skip = argc > 1 && std::string_view(argv[1]) == "runner" ? 1 : 0;
  if (argc > skip + 1 && std::string_view(argv[skip + 1]) == "measure")
    return runner::measure_main(argc - skip - 1, argv + skip + 1);
  try {
    const auto options = read_arguments(argc, argv);
    if (!options) {
      std::fprintf(stderr, "knap runner: %s\n", options.error().message.c_str());
      return 2;
    }
    close_in(options->parent);
    use_all_cores_of(options->parent);
    return serve(*options);
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "knap runner: %s\n", failure.what());
    return 1;
  }
}

}  // namespace knap::models
