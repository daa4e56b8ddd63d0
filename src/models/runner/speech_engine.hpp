#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "knap/base/result.hpp"
#include "knap/models/speech.hpp"
#include "runner/speech_windows.hpp"

struct whisper_context;
struct whisper_state;
struct whisper_vad_context;

namespace knap::models::runner {

/// Whisper with the Silero model that hears whether somebody speaks. Threads: one at a time.
class SpeechEngine {
 public:
  struct Options {
    std::filesystem::path model_file;  ///< ggml, as convert_whisper() writes it.
    std::size_t threads = 1;
  };
  /// Errors: kNotFound, kCorruptData (no such model).
  static Result<std::unique_ptr<SpeechEngine>> open(const Options& options);
  ~SpeechEngine();
  SpeechEngine(const SpeechEngine&) = delete;
  SpeechEngine& operator=(const SpeechEngine&) = delete;

  /// Computes once, so that the first clip does not pay for what is made only once.
  Status warm_up();
  /// @param should_abort  asked every few milliseconds
  /// Errors: kInvalidArgument (length, language), kCancelled (aborted), kInternal (whisper.cpp's).
  Result<Transcript> transcribe(const SpeechRequest& request,
                                const std::function<bool()>& should_abort);

  bool multilingual() const;

 private:
  explicit SpeechEngine(const Options& options) : options_(options) {}
  Result<std::vector<Stretch>> find_speech(std::span<const float> samples);
  Status hear(std::span<const float> samples, Stretch window, std::span<const Stretch> spoken,
              const SpeechRequest& request, const std::function<bool()>& should_abort,
              Transcript& transcript);
  Status hear_language(std::span<const float> samples, int threads, int audio_ctx,
                       Transcript& transcript);
  /// @param spoken  where somebody speaks, when the model told no times; else none
  void take_segments(Stretch window, std::span<const Stretch> spoken, bool words,
                     Transcript& transcript) const;
  std::vector<SpeechWord> take_words(int segment, Stretch window) const;

  const Options options_;
  std::unique_ptr<whisper_context, void (*)(whisper_context*)> context_{nullptr, nullptr};
  std::unique_ptr<whisper_state, void (*)(whisper_state*)> state_{nullptr, nullptr};
  std::unique_ptr<whisper_vad_context, void (*)(whisper_vad_context*)> vad_{nullptr, nullptr};
};

}  // namespace knap::models::runner
