#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "knap/base/deadline.hpp"
#include "knap/base/result.hpp"

namespace knap::models {

enum class Priority;

inline constexpr std::uint32_t kSpeechRate = 16'000;  ///< Samples a second that models hear.
inline constexpr std::chrono::seconds kSpeechPieceMax{60};

struct SpeechWord {
  std::string text;  ///< Without white space around it.
  std::chrono::milliseconds begin{}, end{};
  float probability = 0;  ///< 0-1
};

struct SpeechSegment {
  std::string text;  ///< Trimmed, UTF-8.
  std::chrono::milliseconds begin{}, end{};
  float average_logprob = 0;  ///< Of its tokens.
  float no_speech = 0;        ///< The model's own guess that nobody speaks, 0-1.
  std::vector<SpeechWord> words;
};

struct SpeechRequest {
  std::span<const std::int16_t> samples;  ///< Mono, kSpeechRate, at most kSpeechPieceMax.
  std::string language;                   ///< ISO 639-1; empty: heard from the piece itself.
  bool words = false;                     ///< Times of words too.
  /// Nothing follows this piece. Else what is said at its end is left for the next one, so that no
  /// word is cut: see Transcript::consumed.
  bool last = true;
  bool careful = false;       ///< Beam search: a little better, about a quarter more time.
  std::uint32_t threads = 0;  ///< Compute threads leased for it; 0: as many as the runner has.
  Priority priority{};        ///< Others give way to kInteractive, within some milliseconds.
};

struct Transcript {
  std::string language;                  ///< Of the model; empty when nobody speaks.
  float language_probability = 0;        ///< 0-1; 1 when it was given, or is the only one.
  std::vector<SpeechSegment> segments;   ///< In order; none when nobody speaks.
  std::chrono::milliseconds consumed{};  ///< From here on the samples belong to the next piece.
  std::chrono::milliseconds spoken{};    ///< How long somebody speaks in what was consumed.
};

/// Turns speech into text. Threads: safe; calls queue.
class Transcriber {
 public:
  virtual ~Transcriber() = default;
  virtual std::string id() const = 0;  ///< Name and revision: key of kept transcripts.
  virtual std::vector<std::string> languages() const = 0;  ///< "*": many.
  /// A model that is not loaded yet is loaded first, within the deadline. Silence and noise give no
  /// segments.
  /// Errors: kInvalidArgument (no samples, too many, unknown language), kUnavailable (crashed, too
  /// many wait), kFailedPrecondition (cannot be loaded), kDeadlineExceeded, kCancelled.
  virtual Result<Transcript> transcribe(const SpeechRequest& request, Deadline deadline,
                                        const CancelToken& cancel) = 0;
};

}  // namespace knap::models
