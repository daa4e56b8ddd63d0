#include <algorithm>
#include <atomic>
#include <boost/json.hpp>
#include <chrono>

#include "knap/base/json_text.hpp"
#include "knap/base/thread_pool.hpp"
#include "knap/observe/log.hpp"
#include "runner/answer_loop.hpp"
#include "runner/answer_writer.hpp"
#include "runner/chat_request.hpp"
#include "runner/read_ahead.hpp"
#include "runner/service.hpp"
#include "runner/weights_print.hpp"

namespace knap::models::runner {
namespace {

namespace json = boost::json;

// Requests whose prompts wait to become tokens, which takes milliseconds each.
constexpr std::size_t kAdmissionQueue = 256;
// Answers that are written at a time: more than run, because clients that do not read hold theirs
// until the write time-out.
constexpr std::size_t kWriterThreads = 16;
constexpr std::size_t kWriterQueue = 1'024;

std::uint64_t microseconds(std::chrono::nanoseconds time) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(time).count());
}

class AnswerService final : public Service {
 public:
  AnswerService(const RunnerOptions& options, std::unique_ptr<AnswerEngine> engine,
                const PassageStore::Options& passages)
      : options_(options),
        writers_({.name = "writers", .threads = kWriterThreads, .queue_limit = kWriterQueue}),
        loop_(std::move(engine), {.threads = options.threads,
                                  .schedule = {.chunk_time = options.chunk_time},
                                  .passages = passages,
                                  .guesses = options.guesses}),
        admission_({.name = "admission", .threads = 1, .queue_limit = kAdmissionQueue}) {}

  Status warm_up() { return loop_.warm_up(); }

  bool handle(const std::shared_ptr<const http::Request>& request,
              const std::shared_ptr<http::Responder>& responder) override {
    const bool chat = request->path == "/v1/chat/completions";
    if (request->method != "POST" || (!chat && request->path != "/v1/passages")) return false;
    const auto queued = admission_.submit([this, chat, request, responder] {
      chat ? admit(*request, responder) : read_ahead(*request, responder);
    });
    if (!queued)
      responder->send(
          error_response(make_error(ErrorCode::kUnavailable, "too many answers wait; try again")));
    return true;
  }

  bool stuck() const override { return loop_.stuck(); }
  std::string placement() const override { return loop_.engine().placement(); }

  std::string stats() const override {
    const AnswerLoop::Stats stats = loop_.stats();
    json::object result;
    result["role"] = "answer";
    result["model"] = options_.model;
    result["description"] = loop_.engine().description();
    result["placement"] = placement();
    result["context"] = loop_.engine().context();
    result["cells"] = loop_.engine().cells();
    result["free_cells"] = stats.counts.free_cells;
    result["queued"] = stats.counts.waiting;
    result["running"] = stats.counts.running;
    result["kept"] = stats.counts.kept;
    result["preempted"] = stats.counts.preempted;
    result["answers"] = stats.answers;
    result["refused"] = stats.refused;
    result["steps"] = stats.steps;
    result["prompt_tokens"] = stats.prompt_tokens;
    result["reused_tokens"] = stats.reused_tokens;
    result["completion_tokens"] = stats.completion_tokens;
    result["guessed_tokens"] = stats.guessed_tokens;
    result["guessed_right"] = stats.guessed_right;
    result["queue_us"] = microseconds(stats.queue_time);
    result["prompt_us"] = microseconds(stats.prompt_time);
    result["generation_us"] = microseconds(stats.generation_time);
    result["prompt_token_us"] = microseconds(stats.prompt_token);
    result["writing_step_us"] = microseconds(stats.writing_step);
    if (loop_.reads_ahead()) result["passages"] = passages_object(stats);
    return json_text(result);
  }

 private:
  void read_ahead(const http::Request& request, const std::shared_ptr<http::Responder>& responder) {
    const auto parsed = parse_read_ahead_request(request.body);
    if (!parsed) return responder->send(error_response(parsed.error()));
    const Deadline deadline =
        parsed->deadline ? Deadline::at(request.received + *parsed->deadline) : Deadline::never();
    std::make_shared<PassageReader>(loop_, responder)->start(*parsed, deadline, request.cancel);
  }

  void admit(const http::Request& request, const std::shared_ptr<http::Responder>& responder) {
    auto parsed = parse_chat_request(request.body);
    if (!parsed) return responder->send(error_response(parsed.error()));
    const Deadline deadline =
        parsed->deadline ? Deadline::at(request.received + *parsed->deadline) : Deadline::never();
    auto writer = std::make_shared<AnswerWriter>(
        AnswerWriter::Options{.model = options_.model,
                              .number = ++answers_,
                              .stream = parsed->stream,
                              .include_usage = parsed->include_usage,
                              .running_usage = parsed->running_usage,
                              .logprobs = parsed->work.top_logprobs.has_value(),
                              .tools = parsed->tools.names},
        request.cancel, responder, writers_);
    if (const auto refused =
            loop_.submit(parsed->work, deadline, request.cancel, std::move(writer))) {
      responder->send(error_response(refused->error, refused->retry_after));
    }
  }

  const RunnerOptions options_;
  std::atomic<std::uint64_t> answers_ = 0;
  // Destroyed from the last to the first: nothing is admitted to a loop that has ended, and what
  // the loop says at its end is still written.
  ThreadPool writers_;
  AnswerLoop loop_;
  ThreadPool admission_;
};

}  // namespace

Result<std::unique_ptr<Service>> open_answer_service(const RunnerOptions& options) {
  const Scheduler::Options schedule;
  KNAP_TRY(auto engine,
           AnswerEngine::open({.model_file = options.model_file,
                               .context = options.context,
                               .cells = options.context * options.contexts,
                               .slots = static_cast<std::uint32_t>(schedule.slots),
                               .step_tokens = static_cast<std::uint32_t>(schedule.step_tokens),
                               .threads = options.threads,
                               .gpu = options.gpu}));
  if (options.gpu.use != GpuUse::kNever)
    observe::log_info("model_placed", engine->placement(), {{"model", options.model}});
  PassageStore::Options passages{.memory_bytes = options.passages_memory_bytes,
                                 .folder = {},
                                 .disk_bytes = options.passages_disk_bytes,
                                 .model = {}};
  if (passages.memory_bytes > 0) {
    KNAP_TRY(passages.model, weights_print(options.model_file));
    if (!options.passages_dir.empty())
      passages.folder = options.passages_dir / passages.model.hex();
  }
  auto service = std::make_unique<AnswerService>(options, std::move(engine), passages);
  KNAP_CHECK_OK(service->warm_up());
  return std::unique_ptr<Service>(std::move(service));
}

}  // namespace knap::models::runner
