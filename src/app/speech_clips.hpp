#pragma once

#include <filesystem>
#include <vector>

#include "config.hpp"
#include "knap/models/measure.hpp"

namespace knap::app {

/// Reads recordings and what is said in them, to measure speech models on: a folder with
/// `manifest.tsv`, whose columns `file` and `transcript` name them, or with a text `NAME.txt`
/// beside each recording. What is longer than kSpeechPieceMax is left out. Errors: kNotFound (no
/// folder, no recording, nothing beside one), kInvalidArgument (the manifest: line and what is
/// wrong), kResourceExhausted (more than an hour), those of decode_audio().
Result<std::vector<models::SpeechClip>> read_speech_clips(const std::filesystem::path& folder,
                                                          const Config& config);

}  // namespace knap::app
