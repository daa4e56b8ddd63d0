#include "voice.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "body_reader.hpp"
#include "knap/base/hash.hpp"
#include "knap/base/json_text.hpp"
#include "knap/base/text.hpp"
#include "multipart.hpp"
#include "routes.hpp"

namespace knap::api {
namespace {

namespace json = boost::json;
using std::chrono::milliseconds;

constexpr std::array<std::string_view, 5> kFormats{"json", "text", "srt", "vtt", "verbose_json"};
constexpr std::array<std::string_view, 6> kOwnFields{"file",  "language", "model",
                                                     "words", "format",   "deadline_ms"};
constexpr std::array<std::string_view, 10> kAskFields{"file",   "language", "model", "deadline_ms",
                                                      "vault",  "filter",   "mode",  "answer_model",
                                                      "stream", "words"};
constexpr std::int64_t kDeadlineMax = 600'000;
constexpr std::size_t kTextMax = 4'096;

double seconds(milliseconds time) { return static_cast<double>(time.count()) / 1'000; }

Checked<bool> flag(std::string_view name, std::string_view value) {
  if (value == "true" || value == "1") return true;
  if (value == "false" || value == "0" || value.empty()) return false;
  return refuse(wrong_field(name, std::string(name) + " must be true or false"));
}

Checked<void> check_language(const std::string& language) {
  const bool code = language.size() <= 3 &&
                    std::ranges::all_of(language, [](char c) { return c >= 'a' && c <= 'z'; });
  if (code) return {};
  return refuse(wrong_field("language", "language must be a code, as en or de"));
}

Checked<void> check_format(std::string_view name, const std::string& format) {
  if (std::ranges::find(kFormats, format) != kFormats.end()) return {};
  return refuse(
      wrong_field(name, std::string(name) + " must be json, text, srt, vtt or verbose_json"));
}

/// One field of a form. False: nobody knows it.
Checked<bool> take_field(const FormPart& part, VoiceShape shape, VoiceBody& body) {
  if (part.name == "file") {
    body.form = part.data;
    body.name = part.file_name;
    return true;
  }
  const std::string value(part.data.substr(0, kTextMax));
  if (!text::is_valid_utf8(value)) return refuse(wrong_field(part.name, "the field is not UTF-8"));
  if (part.name == "language") {
    body.wish.language = value;
  } else if (part.name == "model") {
    body.wish.model = value;
  } else if (part.name == "words" && shape != VoiceShape::kOpenAi) {
    const auto words = flag(part.name, value);
    if (!words) return refuse(words.error());
    body.wish.words = *words;
  } else if (part.name == (shape == VoiceShape::kOpenAi ? "response_format" : "format")) {
    body.format = value;
  } else if (part.name == "timestamp_granularities[]" && shape == VoiceShape::kOpenAi) {
    body.wish.words = body.wish.words || value == "word";
    body.segments = value == "segment" || (body.granular && body.segments);
    body.granular = true;
  } else if (part.name == "deadline_ms") {
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (error != std::errc() || end != value.data() + value.size() || number < 1 ||
        number > kDeadlineMax)
      return refuse(
          wrong_field("deadline_ms", "deadline_ms must be a whole number from 1 to 600000"));
    body.deadline = milliseconds(number);
  } else if (shape == VoiceShape::kAsk && part.name == "stream") {
    const auto stream = flag(part.name, value);
    if (!stream) return refuse(stream.error());
    body.stream = *stream;
  } else if (shape == VoiceShape::kAsk && part.name == "vault") {
    body.vault = value;
  } else if (shape == VoiceShape::kAsk && part.name == "filter") {
    body.filter = value;
  } else if (shape == VoiceShape::kAsk && part.name == "mode") {
    body.mode = value;
  } else if (shape == VoiceShape::kAsk && part.name == "answer_model") {
    body.answer_model = value;
  } else {
    return false;
  }
  return true;
}

Checked<VoiceBody> decode_form(const Call& call, std::string_view type, VoiceShape shape) {
  const auto parts = parse_form(type, call.request->body);
  if (!parts) return refuse(parts.error());
  VoiceBody body;
  bool has_file = false;
  for (const FormPart& part : *parts) {
    const auto known = take_field(part, shape, body);
    if (!known) return refuse(known.error());
    has_file = has_file || part.name == "file";
    if (*known || shape == VoiceShape::kOpenAi) continue;
    const auto fields = shape == VoiceShape::kAsk ? std::span<const std::string_view>(kAskFields)
                                                  : std::span<const std::string_view>(kOwnFields);
    const std::string name = text::repair_utf8(part.name);
    return refuse(wrong_field(name, "unknown field '" + name + "'" + nearest_hint(name, fields)));
  }
  if (!has_file)
    return refuse(wrong_field("file", "the field file is missing: it holds the recording"));
  return body;
}

Checked<VoiceBody> decode_json(const Call& call, VoiceShape shape) {
  auto reader = body_of(call, BodyReader::Unknown::kRefuse);
  if (!reader) return refuse(reader.error());
  using Need = BodyReader::Need;
  constexpr BodyReader::TextLimits kName{0, 200};
  constexpr BodyReader::TextLimits kLong{0, kTextMax};
  VoiceBody body;
  const json::value* audio = reader->raw("audio");
  if (audio == nullptr || !audio->is_string()) {
    reader->fail(wrong_field(
        "audio", "audio must be the recording in base64, or send a form with the field file"));
  } else if (auto decoded = base64_decode(std::string_view(audio->get_string())); decoded) {
    body.decoded = *std::move(decoded);
  } else {
    reader->fail(wrong_field("audio", "audio is not base64"));
  }
  reader->text("name", Need::kOptional, kName, body.name);
  reader->text("language", Need::kOptional, kName, body.wish.language);
  reader->text("model", Need::kOptional, kName, body.wish.model);
  reader->boolean("words", body.wish.words);
  std::int64_t deadline = 0;
  reader->integer("deadline_ms", 1, kDeadlineMax, deadline);
  if (deadline > 0) body.deadline = milliseconds(deadline);
  if (shape == VoiceShape::kAsk) {
    reader->text("vault", Need::kOptional, kLong, body.vault);
    reader->text("filter", Need::kOptional, kLong, body.filter);
    reader->text("mode", Need::kOptional, kName, body.mode);
    reader->text("answer_model", Need::kOptional, kName, body.answer_model);
    reader->boolean("stream", body.stream);
  } else {
    reader->text("format", Need::kOptional, kName, body.format);
  }
  if (const auto finished = reader->finish(); !finished) return refuse(finished.error());
  return body;
}

json::array word_list(const models::SpeechSegment& segment) {
  json::array words;
  for (const models::SpeechWord& word : segment.words)
    words.push_back(json::object{
        {"word", word.text}, {"start", seconds(word.begin)}, {"end", seconds(word.end)}});
  return words;
}

}  // namespace

Checked<VoiceBody> decode_voice(const Call& call, VoiceShape shape) {
  const auto type = call.request->fields.get("Content-Type").value_or("");
  const bool form = is_form(type);
  if (!form && shape == VoiceShape::kOpenAi)
    return refuse({415, "unsupported_media_type", "send the recording as multipart/form-data", {}});
  auto body = form ? decode_form(call, type, shape) : decode_json(call, shape);
  if (!body) return body;
  if (const auto checked = check_language(body->wish.language); !checked)
    return refuse(checked.error());
  const auto format_field = shape == VoiceShape::kOpenAi ? "response_format" : "format";
  if (const auto checked = check_format(format_field, body->format); !checked)
    return refuse(checked.error());
  // The name under which OpenAI offers Whisper: whatever this server has.
  if (body->wish.model == "whisper-1") body->wish.model.clear();
  if (body->sound().empty())
    return refuse(wrong_field(form ? "file" : "audio", "the recording is empty"));
  return body;
}

json::object recording_body(const speech::Recording& recording) {
  json::array segments;
  for (const models::SpeechSegment& segment : recording.segments) {
    json::object item{
        {"start", seconds(segment.begin)}, {"end", seconds(segment.end)}, {"text", segment.text}};
    if (recording.wish.words) item["words"] = word_list(segment);
    segments.push_back(std::move(item));
  }
  json::object out;
  out["id"] = recording.id;
  out["name"] = recording.name;
  out["state"] = recording.done ? "done" : recording.error.empty() ? "running" : "failed";
  out["language"] =
      recording.language.empty() ? json::value(nullptr) : json::value(recording.language);
  out["language_probability"] = recording.language.empty()
                                    ? json::value(nullptr)
                                    : json::value(recording.language_probability);
  out["heard_s"] = seconds(recording.position);
  out["text"] = speech::to_text(recording.segments);
  out["segments"] = std::move(segments);
  out["error"] = recording.error.empty() ? json::value(nullptr) : json::value(recording.error);
  return out;
}

json::object verbose_body(const speech::Recording& recording, const VoiceBody& body) {
  json::array segments;
  json::array words;
  std::int64_t number = 0;
  for (const models::SpeechSegment& segment : recording.segments) {
    segments.push_back(json::object{{"id", number++},
                                    {"seek", segment.begin.count() / 10},
                                    {"start", seconds(segment.begin)},
                                    {"end", seconds(segment.end)},
                                    {"text", segment.text},
                                    {"tokens", json::array()},
                                    {"temperature", 0},
                                    {"avg_logprob", segment.average_logprob},
                                    {"no_speech_prob", segment.no_speech}});
    for (json::value& word : word_list(segment)) words.push_back(std::move(word));
  }
  json::object out;
  out["task"] = "transcribe";
  out["language"] = recording.language;
  out["duration"] = seconds(recording.position);
  out["text"] = speech::to_text(recording.segments);
  if (body.segments) out["segments"] = std::move(segments);
  if (body.wish.words) out["words"] = std::move(words);
  return out;
}

http::Response recording_response(const speech::Recording& recording, std::string_view format) {
  if (format == "text")
    return http::Response::text(200, speech::to_text(recording.segments) + "\n");
  if (format == "srt")
    return http::Response::text(200, speech::to_srt(recording.segments),
                                "application/x-subrip; charset=utf-8");
  if (format == "vtt")
    return http::Response::text(200, speech::to_vtt(recording.segments), "text/vtt; charset=utf-8");
  return json_response(200, recording_body(recording));
}

Problem voice_problem(const Error& error) {
  switch (error.code) {
    case ErrorCode::kCorruptData:
    case ErrorCode::kUnsupported:
      return {422, "unreadable_recording", without_paths(error.message), "file"};
    case ErrorCode::kInvalidArgument: {
      Problem problem = to_problem(error);
      if (problem.detail.starts_with("no speech model")) {
        problem.status = 404;
        problem.code = "model_not_found";
        problem.field = "model";
      }
      if (problem.detail.find("is no language") != std::string::npos) problem.field = "language";
      return problem;
    }
    case ErrorCode::kNotFound:
    case ErrorCode::kAlreadyExists:
    case ErrorCode::kFailedPrecondition:
    case ErrorCode::kUnavailable:
    case ErrorCode::kResourceExhausted:
    case ErrorCode::kDeadlineExceeded:
    case ErrorCode::kCancelled:
    case ErrorCode::kPermissionDenied:
    case ErrorCode::kIo:
    case ErrorCode::kInternal: break;
  }
  return to_problem(error);
}

}  // namespace knap::api
