#include <algorithm>
#include <atomic>
#include <memory>

#include "json_views.hpp"
#include "knap/base/json_text.hpp"
#include "requests.hpp"
#include "routes.hpp"
#include "voice.hpp"

namespace knap::api {
namespace {

namespace json = boost::json;
using std::chrono::milliseconds;
using std::chrono::seconds;

/// A short clip takes well under a second; a machine that is busy gets this long.
constexpr milliseconds kClipLimit{30'000};
/// Stock clients wait for long recordings too; what is heard by then is kept.
constexpr milliseconds kWaitLimit{600'000};
/// Long recordings that callers wait for at once: each holds a thread.
constexpr int kWaitingMax = 3;

Problem no_speech() {
  return {409,
          "no_speech",
          "this server hears no recordings: set models.speech and start it again",
          {}};
}

Problem no_recording() {
  return not_found("no such recording: it was never sent, is done and was short, or is forgotten");
}

index::Progress progress_of(const speech::Recording& recording) {
  index::Progress progress;
  progress.phase = "listen";
  progress.done =
      static_cast<std::uint64_t>(std::chrono::duration_cast<seconds>(recording.position).count());
  const auto whole = std::chrono::ceil<seconds>(recording.whole).count();
  progress.total = std::max(progress.done, static_cast<std::uint64_t>(whole));
  return progress;
}

Jobs::Work listen(speech::Speech& speech, std::string id) {
  return [&speech, id = std::move(id)](const CancelToken& cancel,
                                       const Jobs::OnProgress& report) -> Status {
    const auto heard =
        speech.resume(id, Deadline::never(), cancel, [&](const speech::Recording& so_far) {
          report(progress_of(so_far));
          return true;
        });
    return heard ? Status() : Status(tl::unexpected(heard.error()));
  };
}

/// Starts the work on a long recording, and tells where to look.
Outcome start_listening(const Context& context, speech::Speech& speech, const std::string& id) {
  const auto job = context.jobs.start("transcribe-" + id.substr(0, 8), listen(speech, id),
                                      Jobs::Same::kOne, Jobs::Pool::kLong);
  if (!job) return refuse(to_problem(job.error()));
  const auto recording = speech.find(id);
  if (!recording) return refuse(to_problem(recording.error()));
  json::object out = recording_body(*recording);
  out["job"] = *job;
  http::Response response = json_response(202, out);
  response.fields.set("Location", "/api/voice_transcribe/" + id);
  return response;
}

Outcome post_voice(const Context& context, Call& call) {
  if (context.parts.speech == nullptr) return refuse(no_speech());
  speech::Speech& speech = *context.parts.speech;
  const auto body = decode_voice(call, VoiceShape::kOwn);
  if (!body) return refuse(body.error());
  const Deadline deadline = call.deadline(kClipLimit, body->deadline);
  auto taken = speech.take(body->sound(), body->name, body->wish, deadline, call.cancel());
  if (!taken) return refuse(voice_problem(taken.error()));
  const std::string id = taken->id;
  if (const auto known = speech.find(id); known && known->done)
    return recording_response(*known, body->format);
  if (!taken->is_short) return start_listening(context, speech, id);
  const auto recording =
      speech.hear(*std::move(taken), speech::Urgency::kNow, deadline, call.cancel(), {});
  if (!recording) return refuse(voice_problem(recording.error()));
  return recording_response(*recording, body->format);
}

Outcome get_voice(const Context& context, Call& call) {
  if (context.parts.speech == nullptr) return refuse(no_speech());
  const auto recording = context.parts.speech->find(call.path_argument);
  if (!recording) return refuse(no_recording());
  const auto format = call.request->parameter("format").value_or("json");
  if (format != "json" && format != "text" && format != "srt" && format != "vtt")
    return refuse(wrong_field("format", "format must be json, text, srt or vtt"));
  return recording_response(*recording, format);
}

Outcome delete_voice(const Context& context, Call& call) {
  if (context.parts.speech == nullptr) return refuse(no_speech());
  const Status forgotten = context.parts.speech->forget(call.path_argument);
  if (!forgotten) return refuse(to_problem(forgotten.error()));
  http::Response response;
  response.status = 204;
  return response;
}

/// Counts those who wait for a long recording.
class Waiting {
 public:
  Waiting() : admitted_(++count() <= kWaitingMax) {}
  ~Waiting() { --count(); }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;
  bool admitted() const { return admitted_; }

 private:
  static std::atomic<int>& count() {
    static std::atomic<int> waiting = 0;
    return waiting;
  }
  const bool admitted_;
};

Outcome post_transcription(const Context& context, Call& call) {
  if (context.parts.speech == nullptr) return refuse(no_speech());
  speech::Speech& speech = *context.parts.speech;
  const auto body = decode_voice(call, VoiceShape::kOpenAi);
  if (!body) return refuse(body.error());
  const Deadline deadline = call.deadline(kWaitLimit, body->deadline);
  auto taken = speech.take(body->sound(), body->name, body->wish, deadline, call.cancel());
  if (!taken) return refuse(voice_problem(taken.error()));
  std::optional<Waiting> waiting;
  if (!taken->is_short && !waiting.emplace().admitted())
    return refuse(overloaded("several long recordings are being heard: try again later"));
  const auto urgency = taken->is_short ? speech::Urgency::kNow : speech::Urgency::kBackground;
  const auto recording = speech.hear(*std::move(taken), urgency, deadline, call.cancel(), {});
  if (!recording) return refuse(voice_problem(recording.error()));
  if (body->format == "verbose_json") return json_response(200, verbose_body(*recording, *body));
  if (body->format == "json")
    return json_response(200, json::object{{"text", speech::to_text(recording->segments)}});
  return recording_response(*recording, body->format);
}

/// The question as if it had been typed, with the same checks.
Checked<AskBody> spoken_question(const Call& call, const VoiceBody& voice,
                                 const std::string& text) {
  json::object body{{"question", text}};
  const auto add = [&](std::string_view name, const std::string& value) {
    if (!value.empty()) body[name] = value;
  };
  add("vault", voice.vault);
  add("filter", voice.filter);
  add("mode", voice.mode);
  add("model", voice.answer_model);
  auto reader = BodyReader::parse(json_text(body), BodyReader::Unknown::kRefuse);
  if (!reader) return refuse(reader.error());
  auto ask = decode_ask(std::move(*reader), filter_now());
  if (!ask) return ask;
  ask->delivery = voice.stream ? Delivery::kStream : Delivery::kWhole;
  ask->request.priority = call.priority;
  ask->request.tenant = call.tenant;
  ask->request.request_id = call.id;
  return ask;
}

Outcome post_voice_ask(const Context& context, Call& call) {
  if (context.parts.speech == nullptr) return refuse(no_speech());
  speech::Speech& speech = *context.parts.speech;
  const auto body = decode_voice(call, VoiceShape::kAsk);
  if (!body) return refuse(body.error());
  const Deadline deadline = call.deadline(body->deadline.value_or(kAskLimit));
  auto taken = speech.take(body->sound(), body->name, body->wish, deadline, call.cancel());
  if (!taken) return refuse(voice_problem(taken.error()));
  if (!taken->is_short) {
    static_cast<void>(speech.forget(taken->id).has_value());
    return refuse(wrong_field("file",
                              "a spoken question has at most 30 seconds: "
                              "send longer recordings to /api/voice_transcribe"));
  }
  const auto heard =
      speech.hear(*std::move(taken), speech::Urgency::kNow, deadline, call.cancel(), {});
  if (!heard) return refuse(voice_problem(heard.error()));
  const std::string text = speech::to_text(heard->segments);
  if (text.empty())
    return refuse(
        {422, "no_question", "nobody speaks in the recording: is the microphone on?", "file"});
  const auto ask = spoken_question(call, *body, text);
  if (!ask) return refuse(ask.error());
  const json::object transcript{{"text", text}, {"language", heard->language}};
  return run_ask(context, *ask, deadline, call, &transcript);
}

}  // namespace

void resume_recordings(const Context& context) {
  if (context.parts.speech == nullptr) return;
  speech::Speech& speech = *context.parts.speech;
  // One job for all: there may be more than jobs may wait.
  if (speech.unfinished().empty()) return;
  static_cast<void>(
      context.jobs
          .start(
              "transcribe-unfinished",
              [&speech](const CancelToken& cancel, const Jobs::OnProgress& report) -> Status {
                Status worst;
                for (const std::string& id : speech.unfinished()) {
                  const Status heard = listen(speech, id)(cancel, report);
                  if (cancel.cancelled()) return heard;
                  if (!heard) worst = heard;
                }
                return worst;
              },
              Jobs::Same::kOne, Jobs::Pool::kLong)
          .has_value());
}

void add_voice_routes(const Context& context, std::vector<Route>& routes) {
  using service::Level;
  routes.push_back({"POST", "/api/voice_transcribe", Level::kCached, Lane::kAsk,
                    [&context](Call& call) { return post_voice(context, call); },
                    "Turn a recording into text"});
  routes.push_back({"GET", "/api/voice_transcribe/{id}", Level::kStatus, Lane::kSearch,
                    [&context](Call& call) { return get_voice(context, call); },
                    "Read what was heard of a recording so far"});
  routes.push_back({"DELETE", "/api/voice_transcribe/{id}", Level::kStatus, Lane::kSearch,
                    [&context](Call& call) { return delete_voice(context, call); },
                    "Forget a recording"});
  routes.push_back({"POST", "/api/voice_ask", Level::kSearch, Lane::kAsk,
                    [&context](Call& call) { return post_voice_ask(context, call); },
                    "Ask the notes by voice"});
  routes.push_back({"POST", "/v1/audio/transcriptions", Level::kCached, Lane::kAsk,
                    [&context](Call& call) { return post_transcription(context, call); },
                    "Turn a recording into text (OpenAI)"});
}

}  // namespace knap::api
