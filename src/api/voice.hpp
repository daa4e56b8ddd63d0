#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include <boost/json.hpp>

#include "knap/speech/speech.hpp"
#include "route.hpp"

namespace knap::api {

/// A recording that came in, and what is asked of it.
struct VoiceBody {
  std::string decoded;    ///< Of base64; else empty.
  std::string_view form;  ///< Else it lies in the request's body.
  std::string name;
  speech::Wish wish;
  std::string format = "json";  ///< "json", "text", "srt", "vtt", "verbose_json"
  bool segments = true;         ///< verbose_json: times of segments
  bool granular = false;        ///< Whether it was said which times are wanted.
  /// Beside the recording, for /api/voice_ask.
  std::string vault, filter, mode, answer_model;
  bool stream = false;
  std::optional<std::chrono::milliseconds> deadline;

  std::string_view sound() const { return decoded.empty() ? form : std::string_view(decoded); }
};

enum class VoiceShape { kOwn, kAsk, kOpenAi };

/// Reads a form with the field `file`, or (not kOpenAi) JSON with `audio` in base64. Unknown fields
/// are errors but with kOpenAi. Errors: 400, 415, 422 naming the field.
Checked<VoiceBody> decode_voice(const Call& call, VoiceShape shape);

/// Knap's own answer. Times in seconds.
boost::json::object recording_body(const speech::Recording& recording);
/// OpenAI's verbose_json.
boost::json::object verbose_body(const speech::Recording& recording, const VoiceBody& body);
/// Of one of the formats.
http::Response recording_response(const speech::Recording& recording, std::string_view format);

/// What went wrong with a recording: its sender is to blame for what cannot be read.
Problem voice_problem(const Error& error);

}  // namespace knap::api
