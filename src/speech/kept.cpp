#include "kept.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <boost/json.hpp>

#include "knap/base/file.hpp"
#include "knap/base/json_text.hpp"

namespace knap::speech {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using std::chrono::milliseconds;

constexpr std::int64_t kVersion = 1;
constexpr std::uint64_t kStateBytesMax = 256U << 20;
constexpr std::size_t kIdBytes = 32;
constexpr std::size_t kFilesMax = 100'000;
constexpr std::string_view kSound = ".sound";
constexpr std::string_view kText = ".json";

std::int64_t number_in(const json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  return value != nullptr && value->is_int64() ? value->get_int64() : 0;
}

double real_in(const json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  boost::system::error_code error;
  const auto number = value == nullptr ? 0. : value->to_number<double>(error);
  return error ? 0 : number;
}

milliseconds time_in(const json::object& object, std::string_view name) {
  return milliseconds(std::max<std::int64_t>(0, number_in(object, name)));
}

std::string text_in(const json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

bool flag_in(const json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  return value != nullptr && value->is_bool() && value->get_bool();
}

json::object segment_json(const models::SpeechSegment& segment) {
  json::array words;
  for (const models::SpeechWord& word : segment.words)
    words.push_back(json::array{word.text, word.begin.count(), word.end.count(), word.probability});
  return {{"text", segment.text},           {"begin_ms", segment.begin.count()},
          {"end_ms", segment.end.count()},  {"avg_logprob", segment.average_logprob},
          {"no_speech", segment.no_speech}, {"words", std::move(words)}};
}

models::SpeechSegment read_segment(const json::object& object) {
  models::SpeechSegment segment;
  segment.text = text_in(object, "text");
  segment.begin = time_in(object, "begin_ms");
  segment.end = time_in(object, "end_ms");
  segment.average_logprob = static_cast<float>(real_in(object, "avg_logprob"));
  segment.no_speech = static_cast<float>(real_in(object, "no_speech"));
  const auto* words = object.if_contains("words");
  if (words == nullptr || !words->is_array()) return segment;
  for (const json::value& each : words->get_array()) {
    if (!each.is_array() || each.get_array().size() != 4) continue;
    const json::array& word = each.get_array();
    if (!word[0].is_string() || !word[1].is_int64() || !word[2].is_int64()) continue;
    boost::system::error_code ignored;
    segment.words.push_back({.text = std::string(word[0].get_string()),
                             .begin = milliseconds(word[1].get_int64()),
                             .end = milliseconds(word[2].get_int64()),
                             .probability = word[3].to_number<float>(ignored)});
  }
  return segment;
}

}  // namespace

bool is_recording_id(std::string_view text) {
  return text.size() == kIdBytes && std::ranges::all_of(text, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

std::string write_recording(const Recording& recording) {
  json::array segments;
  for (const auto& segment : recording.segments) segments.push_back(segment_json(segment));
  json::object out;
  out["version"] = kVersion;
  out["id"] = recording.id;
  out["name"] = recording.name;
  out["wish"] = json::object{{"language", recording.wish.language},
                             {"model", recording.wish.model},
                             {"words", recording.wish.words}};
  out["language"] = recording.language;
  out["language_probability"] = recording.language_probability;
  out["position_ms"] = recording.position.count();
  out["whole_ms"] = recording.whole.count();
  out["done"] = recording.done;
  out["error"] = recording.error;
  out["segments"] = std::move(segments);
  return json_text(out);
}

Result<Recording> read_recording(std::string_view text) {
  const auto broken = [] {
    return make_error(ErrorCode::kCorruptData,
                      "the kept transcript is damaged: send the recording again");
  };
  boost::system::error_code error;
  const json::value root = json::parse(text, error);
  if (error || !root.is_object()) return broken();
  const json::object& object = root.get_object();
  const auto* wish = object.if_contains("wish");
  const auto* segments = object.if_contains("segments");
  if (number_in(object, "version") != kVersion || wish == nullptr || !wish->is_object() ||
      segments == nullptr || !segments->is_array())
    return broken();
  Recording recording;
  recording.id = text_in(object, "id");
  recording.name = text_in(object, "name");
  recording.wish.language = text_in(wish->get_object(), "language");
  recording.wish.model = text_in(wish->get_object(), "model");
  recording.wish.words = flag_in(wish->get_object(), "words");
  recording.language = text_in(object, "language");
  recording.language_probability = static_cast<float>(real_in(object, "language_probability"));
  recording.position = time_in(object, "position_ms");
  recording.whole = time_in(object, "whole_ms");
  recording.done = flag_in(object, "done");
  recording.error = text_in(object, "error");
  for (const json::value& each : segments->get_array()) {
    if (!each.is_object()) return broken();
    recording.segments.push_back(read_segment(each.get_object()));
  }
  return recording;
}

Result<Kept> Kept::open(fs::path dir) {
  std::error_code error;
  fs::create_directories(dir, error);
  if (error) return errno_error(error.value(), "cannot make the folder", dir);
  if (::chmod(dir.c_str(), 0700) != 0) return errno_error(errno, "cannot make private", dir);
  return Kept(std::move(dir));
}

fs::path Kept::sound(std::string_view id) const {
  return dir_ / (std::string(id) + std::string(kSound));
}

Status Kept::store_sound(const std::string& id, std::string_view bytes) const {
  return write_file_atomic(sound(id), bytes);
}

Status Kept::store(const Recording& recording) const {
  return write_file_atomic(dir_ / (recording.id + std::string(kText)), write_recording(recording));
}

bool Kept::has_sound(std::string_view id) const {
  std::error_code ignored;
  return fs::exists(sound(id), ignored);
}

Result<Recording> Kept::find(std::string_view id) const {
  const auto unknown = [&] {
    return make_error(ErrorCode::kNotFound,
                      "no such recording: it was never sent, or is forgotten");
  };
  if (!is_recording_id(id)) return unknown();
  const auto text = read_file(dir_ / (std::string(id) + std::string(kText)), kStateBytesMax);
  if (text) return read_recording(*text);
  if (text.error().code != ErrorCode::kNotFound) return text.error();
  if (!has_sound(id)) return unknown();
  Recording recording;
  recording.id = id;
  return recording;
}

void Kept::remove_sound(std::string_view id) const {
  std::error_code ignored;
  fs::remove(sound(id), ignored);
}

bool Kept::remove(std::string_view id) const {
  std::error_code ignored;
  const bool had_sound = fs::remove(sound(id), ignored);
  return fs::remove(dir_ / (std::string(id) + std::string(kText)), ignored) || had_sound;
}

std::vector<std::string> Kept::with_sound() const {
  std::vector<std::string> ids;
  std::error_code error;
  for (fs::directory_iterator each(dir_, error), end;
       !error && each != end && ids.size() < kFilesMax; each.increment(error)) {
    const std::string id = each->path().stem().string();
    if (each->path().extension() == kSound && is_recording_id(id)) ids.push_back(id);
  }
  std::ranges::sort(ids);
  return ids;
}

void Kept::trim() const {
  std::vector<std::pair<fs::file_time_type, std::string>> texts;
  std::error_code error;
  for (fs::directory_iterator each(dir_, error), end;
       !error && each != end && texts.size() < kFilesMax; each.increment(error)) {
    const std::string id = each->path().stem().string();
    if (each->path().extension() != kText || !is_recording_id(id) || has_sound(id)) continue;
    std::error_code gone;
    const auto time = each->last_write_time(gone);
    if (!gone) texts.emplace_back(time, id);
  }
  if (texts.size() <= kTextsMax) return;
  std::ranges::sort(texts);
  for (std::size_t i = 0; i < texts.size() - kTextsMax; ++i) remove(texts[i].second);
}

}  // namespace knap::speech
