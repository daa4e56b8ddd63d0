#pragma once

#include <boost/json/object.hpp>
#include <filesystem>
#include <string>

#include "knap/base/result.hpp"

namespace knap::models::runner {

/// Where the samples of the n-th clip lie for measure_speech(): 16 bits, mono, kSpeechRate.
std::filesystem::path clip_file(const std::filesystem::path& folder, std::size_t number);

/// Loads a Whisper model and hears clips one after the other.
/// @return load_ms, resident_bytes, sound_seconds, took_seconds, texts (of each clip)
/// Errors: those of SpeechEngine; kInvalidArgument when there is no clip.
Result<boost::json::object> measure_speech(const std::filesystem::path& model,
                                           const std::filesystem::path& clips,
                                           const std::string& language, std::size_t threads);

}  // namespace knap::models::runner
