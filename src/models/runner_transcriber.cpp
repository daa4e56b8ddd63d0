#include "runner_transcriber.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <boost/json.hpp>
#include <cmath>

#include "knap/models/models.hpp"
#include "remote_error.hpp"
#include "runner_embedder.hpp"

namespace knap::models {
namespace {

namespace json = boost::json;
using std::chrono::milliseconds;

static_assert(std::endian::native == std::endian::little, "samples go as they lie in memory");

// The runner keeps the deadline itself; the connection waits this much longer for its answer.
constexpr milliseconds kDeadlineGrace{500};
constexpr milliseconds kDeadlineMax{600'000};
constexpr std::size_t kItemsMax = 10'000;
constexpr double kSecondsMax = 1e6;

Error broken(std::string_view what) {
  return make_error(ErrorCode::kCorruptData,
                    fmt::format("the speech model answered with {}", what));
}

double number_in(const json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  if (value == nullptr) return 0;
  boost::system::error_code error;
  const auto number = value->to_number<double>(error);
  return error || !std::isfinite(number) ? 0 : number;
}

milliseconds time_in(const json::object& object, std::string_view name) {
  const double seconds = std::clamp(number_in(object, name), 0.0, kSecondsMax);
  return milliseconds(static_cast<std::int64_t>(std::llround(seconds * 1'000)));
}

std::string text_in(const json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

const json::array* list_in(const json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  return value != nullptr && value->is_array() && value->get_array().size() <= kItemsMax
             ? &value->get_array()
             : nullptr;
}

SpeechSegment read_segment(const json::object& object) {
  SpeechSegment segment;
  segment.text = text_in(object, "text");
  segment.begin = time_in(object, "start");
  segment.end = std::max(segment.begin, time_in(object, "end"));
  segment.average_logprob = static_cast<float>(number_in(object, "avg_logprob"));
  segment.no_speech = static_cast<float>(number_in(object, "no_speech_prob"));
  const auto* words = list_in(object, "words");
  if (words == nullptr) return segment;
  for (const json::value& each : *words) {
    if (!each.is_object()) continue;
    const json::object& word = each.get_object();
    segment.words.push_back({.text = text_in(word, "word"),
                             .begin = time_in(word, "start"),
                             .end = time_in(word, "end"),
                             .probability = static_cast<float>(number_in(word, "probability"))});
  }
  return segment;
}

class RunnerTranscriber final : public Transcriber {
 public:
  RunnerTranscriber(const ModelSpec& spec, std::shared_ptr<RunnerPool> pool,
                    std::shared_ptr<RunnerPool::Slot> slot, observe::Registry& metrics)
      : name_(spec.name),
        id_(fmt::format("{}@{}", spec.name, revision_of(spec))),
        languages_(spec.languages),
        pool_(std::move(pool)),
        slot_(std::move(slot)),
        clips_(metrics.counter("knap_models_speech_pieces_total", "Pieces of sound transcribed")),
        seconds_(
            metrics.histogram("knap_models_speech_seconds", "Time of transcribing one piece")) {}

  std::string id() const override { return id_; }
  std::vector<std::string> languages() const override { return languages_; }

  Result<Transcript> transcribe(const SpeechRequest& request, Deadline deadline,
                                const CancelToken& cancel) override {
    if (request.samples.empty() ||
        request.samples.size() > kSpeechRate * static_cast<std::size_t>(kSpeechPieceMax.count()))
      return make_error(ErrorCode::kInvalidArgument,
                        fmt::format("a piece of sound has at most {} s", kSpeechPieceMax.count()));
    const bool language_is_code =
        request.language.size() <= 3 &&
        std::ranges::all_of(request.language, [](char c) { return c >= 'a' && c <= 'z'; });
    if (!language_is_code)
      return make_error(ErrorCode::kInvalidArgument,
                        "a language is given by its code, as en or de");
    KNAP_TRY(const auto use, pool_->use(slot_, deadline, cancel));
    const auto begin = SteadyClock::now();
    http::ClientRequest call;
    call.method = "POST";
    call.path = address(request, deadline);
    call.fields.set("Content-Type", "application/octet-stream");
    call.body.assign(reinterpret_cast<const char*>(request.samples.data()),
                     request.samples.size_bytes());
    const Deadline patience =
        deadline.is_never() ? deadline : Deadline::at(deadline.point() + kDeadlineGrace);
    auto response = use.runner().client().call(call, patience, cancel);
    if (!response) {
      if (response.error().code == ErrorCode::kUnavailable) use.runner().suspect();
      return connection_error(std::move(response).error(), name_);
    }
    if (response->status != 200) return remote_error(response->status, response->body, name_);
    KNAP_TRY(Transcript transcript, read_transcript(response->body));
    clips_.add(1);
    seconds_.record(SteadyClock::now() - begin);
    return transcript;
  }

 private:
  static std::string address(const SpeechRequest& request, Deadline deadline) {
    std::string path = fmt::format("/v1/audio/transcriptions?language={}&threads={}",
                                   request.language, request.threads);
    if (request.words) path += "&words=1";
    if (request.last) path += "&last=1";
    if (request.careful) path += "&careful=1";
    if (request.priority == Priority::kBackground) path += "&priority=background";
    if (!deadline.is_never())
      path +=
          fmt::format("&deadline_ms={}",
                      std::clamp(deadline.remaining_ms(), milliseconds(1), kDeadlineMax).count());
    return path;
  }

  const std::string name_, id_;
  const std::vector<std::string> languages_;
  const std::shared_ptr<RunnerPool> pool_;
  const std::shared_ptr<RunnerPool::Slot> slot_;
  observe::Counter& clips_;
  observe::Histogram& seconds_;
};

}  // namespace

Result<Transcript> read_transcript(std::string_view body) {
  boost::system::error_code error;
  const json::value root = json::parse(body, error);
  if (error || !root.is_object()) return broken("no JSON");
  const json::object& object = root.get_object();
  const auto* segments = list_in(object, "segments");
  if (segments == nullptr) return broken("no segments");
  Transcript transcript;
  transcript.language = text_in(object, "language");
  transcript.language_probability = static_cast<float>(number_in(object, "language_probability"));
  transcript.consumed = time_in(object, "consumed");
  transcript.spoken = time_in(object, "spoken");
  for (const json::value& each : *segments) {
    if (!each.is_object()) return broken("a segment that is none");
    transcript.segments.push_back(read_segment(each.get_object()));
  }
  return transcript;
}

std::shared_ptr<Transcriber> make_runner_transcriber(const ModelSpec& spec,
                                                     std::shared_ptr<RunnerPool> pool,
                                                     std::shared_ptr<RunnerPool::Slot> slot,
                                                     observe::Registry& metrics) {
  return std::make_shared<RunnerTranscriber>(spec, std::move(pool), std::move(slot), metrics);
}

}  // namespace knap::models
