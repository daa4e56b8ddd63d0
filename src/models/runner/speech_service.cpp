#include <fmt/format.h>

#include <atomic>
#include <bit>
#include <boost/json.hpp>
#include <charconv>
#include <chrono>
#include <cstring>

#include "knap/base/json_text.hpp"
#include "knap/base/mutex.hpp"
#include "knap/base/thread_pool.hpp"
#include "knap/models/models.hpp"
#include "runner/service.hpp"
#include "runner/speech_engine.hpp"

namespace knap::models::runner {
namespace {

namespace json = boost::json;
using std::chrono::milliseconds;

static_assert(std::endian::native == std::endian::little, "samples come as they lie in memory");

constexpr std::size_t kQueue = 32;
// Background work that gave way so often is not asked to again: it must end some day.
constexpr int kPreemptionsMax = 20;
constexpr std::int64_t kDeadlineMax = 600'000;
constexpr milliseconds kStuckAfter{120'000};  // no window takes so long on any machine

struct Task {
  SpeechRequest request;
  std::vector<std::int16_t> samples;
  Deadline deadline = Deadline::never();
};

Error wrong(std::string message) {
  return make_error(ErrorCode::kInvalidArgument, std::move(message));
}

Result<std::int64_t> number(const http::Request& request, std::string_view name, std::int64_t max) {
  const auto text = request.parameter(name);
  if (!text) return 0;
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc() || end != text->data() + text->size() || value < 0 || value > max)
    return wrong(fmt::format("'{}' must be a whole number from 0 to {}", name, max));
  return value;
}

bool is_set(const http::Request& request, std::string_view name) {
  return request.parameter(name) == "1";
}

/// The body is the samples, 16 bits each, little-endian; the rest stands in the address.
Result<Task> parse_task(const http::Request& request) {
  const std::size_t count = request.body.size() / sizeof(std::int16_t);
  if (count == 0 || request.body.size() % sizeof(std::int16_t) != 0 ||
      count > kSpeechRate * static_cast<std::size_t>(kSpeechPieceMax.count()))
    return wrong(fmt::format("the body must be 1 sample to {} s of 16-bit samples",
                             kSpeechPieceMax.count()));
  Task task;
  task.samples.resize(count);
  std::memcpy(task.samples.data(), request.body.data(), request.body.size());
  task.request.language = request.parameter("language").value_or("");
  task.request.words = is_set(request, "words");
  task.request.last = is_set(request, "last");
  task.request.careful = is_set(request, "careful");
  task.request.priority = request.parameter("priority") == "background" ? Priority::kBackground
                                                                        : Priority::kInteractive;
  KNAP_TRY(const std::int64_t threads, number(request, "threads", 1'024));
  task.request.threads = static_cast<std::uint32_t>(threads);
  KNAP_TRY(const std::int64_t deadline, number(request, "deadline_ms", kDeadlineMax));
  if (deadline > 0) task.deadline = Deadline::at(request.received + milliseconds(deadline));
  return task;
}

double seconds(milliseconds time) { return static_cast<double>(time.count()) / 1'000; }

std::string make_answer(const Transcript& transcript) {
  json::array segments;
  std::string text;
  for (const SpeechSegment& segment : transcript.segments) {
    if (!text.empty()) text += ' ';
    text += segment.text;
    json::array words;
    for (const SpeechWord& word : segment.words)
      words.push_back(json::object{{"word", word.text},
                                   {"start", seconds(word.begin)},
                                   {"end", seconds(word.end)},
                                   {"probability", word.probability}});
    segments.push_back(json::object{{"text", segment.text},
                                    {"start", seconds(segment.begin)},
                                    {"end", seconds(segment.end)},
                                    {"avg_logprob", segment.average_logprob},
                                    {"no_speech_prob", segment.no_speech},
                                    {"words", std::move(words)}});
  }
  json::object answer;
  answer["task"] = "transcribe";
  answer["language"] = transcript.language;
  answer["language_probability"] = transcript.language_probability;
  answer["text"] = text;
  answer["segments"] = std::move(segments);
  answer["consumed"] = seconds(transcript.consumed);
  answer["spoken"] = seconds(transcript.spoken);
  return json_text(answer);
}

class SpeechService final : public Service {
 public:
  SpeechService(const RunnerOptions& options, std::unique_ptr<SpeechEngine> engine)
      : options_(options),
        engine_(std::move(engine)),
        interactive_({.name = "interactive", .threads = 1, .queue_limit = kQueue}),
        background_({.name = "background", .threads = 1, .queue_limit = kQueue}) {}

  bool handle(const std::shared_ptr<const http::Request>& request,
              const std::shared_ptr<http::Responder>& responder) override {
    if (request->method != "POST" || request->path != "/v1/audio/transcriptions") return false;
    const bool urgent = request->parameter("priority") != "background";
    if (urgent) ++urgent_waiting_;
    const auto queued =
        (urgent ? interactive_ : background_).submit([this, request, responder, urgent] {
          responder->send(answer(*request, urgent));
          if (urgent) release_urgent();
        });
    if (queued) return true;
    if (urgent) release_urgent();
    responder->send(
        error_response(make_error(ErrorCode::kUnavailable, "too many clips wait; try again")));
    return true;
  }

  std::string stats() const override {
    json::object result;
    result["role"] = "speech";
    result["model"] = options_.model;
    result["clips"] = clips_.load();
    result["sound_ms"] = sound_ms_.load();
    result["busy_ms"] = busy_ms_.load();
    result["preempted"] = preempted_.load();
    result["queued_interactive"] = interactive_.queued();
    result["queued_background"] = background_.queued();
    return json_text(result);
  }

  bool stuck() const override {
    const std::int64_t since = busy_since_.load();
    return since != 0 && now_ms() - since > kStuckAfter.count();
  }

 private:
  static std::int64_t now_ms() {
    return std::chrono::duration_cast<milliseconds>(SteadyClock::now().time_since_epoch()).count();
  }

  http::Response answer(const http::Request& request, bool urgent) {
    auto task = parse_task(request);
    if (!task) return error_response(task.error());
    task->request.samples = task->samples;
    for (int tries = 0;; ++tries) {
      bool gave_way = false;
      auto transcript =
          compute(*task, request.cancel, !urgent && tries < kPreemptionsMax, gave_way);
      if (transcript) {
        ++clips_;
        sound_ms_ += static_cast<std::uint64_t>(transcript->consumed.count());
        return http::Response::json(200, make_answer(*transcript));
      }
      if (!gave_way) return error_response(transcript.error());
      ++preempted_;
      wait_for_urgent();
    }
  }

  Result<Transcript> compute(const Task& task, const CancelToken& cancel, bool gives_way,
                             bool& gave_way) KNAP_EXCLUDES(engine_mutex_) {
    const auto urgent_waits = [&] { return gives_way && urgent_waiting_.load() > 0; };
    const auto should_abort = [&] {
      return !still_wanted(cancel, task.deadline) || urgent_waits();
    };
    const MutexLock lock(engine_mutex_);
    const std::int64_t begin = now_ms();
    busy_since_ = begin;
    auto transcript = engine_->transcribe(task.request, should_abort);
    busy_since_ = 0;
    busy_ms_ += static_cast<std::uint64_t>(now_ms() - begin);
    if (transcript || transcript.error().code != ErrorCode::kCancelled) return transcript;
    KNAP_CHECK_OK(still_wanted(cancel, task.deadline));
    gave_way = true;
    return transcript;
  }

  void release_urgent() KNAP_EXCLUDES(waiting_mutex_) {
    const MutexLock lock(waiting_mutex_);
    --urgent_waiting_;
    urgent_done_.notify_all();
  }

  void wait_for_urgent() KNAP_EXCLUDES(waiting_mutex_) {
    const MutexLock lock(waiting_mutex_);
    while (urgent_waiting_.load() > 0) urgent_done_.wait(waiting_mutex_);
  }

  const RunnerOptions options_;
  const std::unique_ptr<SpeechEngine> engine_;
  Mutex engine_mutex_;
  Mutex waiting_mutex_;
  CondVar urgent_done_;
  std::atomic<int> urgent_waiting_ = 0;
  std::atomic<std::int64_t> busy_since_ = 0;
  std::atomic<std::uint64_t> clips_ = 0, sound_ms_ = 0, busy_ms_ = 0, preempted_ = 0;
  // Last: their destruction runs what is queued.
  ThreadPool interactive_;
  ThreadPool background_;
};

}  // namespace

Result<std::unique_ptr<Service>> open_speech_service(const RunnerOptions& options) {
  KNAP_TRY(auto engine,
           SpeechEngine::open({.model_file = options.model_file, .threads = options.threads}));
  KNAP_CHECK_OK(engine->warm_up());
  return std::make_unique<SpeechService>(options, std::move(engine));
}

}  // namespace knap::models::runner
