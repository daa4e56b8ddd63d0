#include "runner/measure_speech.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <chrono>
#include <cstring>
#include <vector>

#include "knap/base/file.hpp"
#include "process.hpp"
#include "runner/speech_engine.hpp"

namespace knap::models::runner {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kClipBytesMax =
    std::uint64_t{kSpeechRate} * 2 * static_cast<std::uint64_t>(kSpeechPieceMax.count());

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

Result<std::vector<std::int16_t>> read_samples(const std::filesystem::path& file) {
  KNAP_TRY(const std::string bytes, read_file(file, kClipBytesMax));
  std::vector<std::int16_t> samples(bytes.size() / sizeof(std::int16_t));
  std::memcpy(samples.data(), bytes.data(), samples.size() * sizeof(std::int16_t));
  return samples;
}

}  // namespace

std::filesystem::path clip_file(const std::filesystem::path& folder, std::size_t number) {
  return folder / fmt::format("{}.s16", number);
}

Result<boost::json::object> measure_speech(const std::filesystem::path& model,
                                           const std::filesystem::path& clips,
                                           const std::string& language, std::size_t threads) {
  const auto begin = Clock::now();
  KNAP_TRY(const auto engine, SpeechEngine::open({.model_file = model, .threads = threads}));
  KNAP_CHECK_OK(engine->warm_up());
  boost::json::object out;
  out["load_ms"] = seconds_since(begin) * 1e3;
  boost::json::array texts;
  double sound = 0, took = 0;
  std::error_code error;
  for (std::size_t i = 0; std::filesystem::exists(clip_file(clips, i), error); ++i) {
    KNAP_TRY(const auto samples, read_samples(clip_file(clips, i)));
    SpeechRequest request;
    request.samples = samples;
    request.language = language;
    request.careful = true;  // as recordings are heard
    const auto started = Clock::now();
    KNAP_TRY(const Transcript transcript, engine->transcribe(request, [] { return false; }));
    took += seconds_since(started);
    sound += static_cast<double>(samples.size()) / kSpeechRate;
    std::string text;
    for (const SpeechSegment& segment : transcript.segments) text += segment.text + " ";
    texts.emplace_back(std::move(text));
  }
  if (texts.empty()) return make_error(ErrorCode::kInvalidArgument, "there is no clip to hear");
  out["sound_seconds"] = sound;
  out["took_seconds"] = took;
  out["texts"] = std::move(texts);
  out["resident_bytes"] = resident_bytes(::getpid());
  return out;
}

}  // namespace knap::models::runner
