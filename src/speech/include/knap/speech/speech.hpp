#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "knap/base/deadline.hpp"
#include "knap/base/result.hpp"
#include "knap/extract/audio.hpp"
#include "knap/models/models.hpp"
#include "knap/observe/metrics.hpp"
#include "knap/service/leases.hpp"

namespace knap::speech {

/// A recording up to this length is answered at once; a longer one is a job.
inline constexpr std::chrono::milliseconds kShortMax{30'000};
inline constexpr std::chrono::hours kLengthMax{12};  ///< Of one recording.
/// Raised when the same model hears the same recording otherwise than before, as by other windows.
inline constexpr std::uint32_t kHearingVersion = 2;

/// What is asked of a recording.
struct Wish {
  std::string language;  ///< ISO 639-1; empty: as the settings say, else heard once.
  std::string model;     ///< Catalogue name; empty: the one of the settings.
  bool words = false;    ///< Times of words.
};

/// A recording and what has been heard of it so far.
struct Recording {
  std::string id;    ///< 32 hex digits.
  std::string name;  ///< As its sender calls it; for people.
  Wish wish;
  std::string language;            ///< Heard or given; empty: nobody has spoken yet.
  float language_probability = 0;  ///< 0-1; 1: given, or the model knows only this one.
  std::vector<models::SpeechSegment> segments;
  std::chrono::milliseconds position{};  ///< Heard up to here; its length once it is done.
  std::chrono::milliseconds whole{};     ///< How long it says that it is; 0: it does not.
  bool done = false;
  std::string error;  ///< Why it will never be done.
};

/// Who waits for a recording.
enum class Urgency { kNow, kBackground };

struct SpeechOptions {
  std::filesystem::path dir;  ///< Recordings until they are heard, and what was heard.
  extract::AudioOptions audio;
  std::string language;  ///< Of recordings whose sender names none; empty: heard.
  std::size_t threads = 1;
};

/// Recordings to text. What comes in is stored before it is worked on, so that a crash loses
/// nothing, and what was heard is stored as it comes, so that a long recording goes on where it
/// stopped. The sound is removed once all of it is heard; the text of long ones is kept.
///
/// Threads: safe. Must outlive its calls.
class Speech {
 public:
  /// Errors: kIo (the folder).
  static Result<std::unique_ptr<Speech>> open(SpeechOptions options, models::Models& models,
                                              service::ComputeLeases& leases,
                                              observe::Registry& metrics);
  virtual ~Speech() = default;

  /// A stored recording whose beginning is read.
  struct Taken {
    std::string id;
    bool is_short = false;
    extract::Audio begin;  ///< Its first kShortMax and a second.
    std::string name;
    Wish wish;
  };
  /// Stores a recording on the disk and reads its beginning. The same bytes with the same wish are
  /// the same recording. Errors: those of decode_audio() (it is then not kept); kFailedPrecondition
  /// (no speech model: says what to do), kInvalidArgument (model), kResourceExhausted (disk), kIo.
  virtual Result<Taken> take(std::string_view bytes, std::string_view name, const Wish& wish,
                             Deadline deadline, const CancelToken& cancel) = 0;

  /// Called after each piece, from the calling thread; false stops (kCancelled).
  using OnProgress = std::function<bool(const Recording&)>;
  /// Hears a recording, from where an earlier call stopped to its end. One that is done already is
  /// returned at once.
  /// Errors: kNotFound, kFailedPrecondition (another call hears it; no model), and those of
  /// decode_audio() and of Transcriber::transcribe().
  virtual Result<Recording> hear(Taken taken, Urgency urgency, Deadline deadline,
                                 const CancelToken& cancel, const OnProgress& on_progress) = 0;
  /// The same for one that was stored before.
  virtual Result<Recording> resume(std::string_view id, Deadline deadline,
                                   const CancelToken& cancel, const OnProgress& on_progress) = 0;

  /// Why hear_file() would hear nothing now: no model (kFailedPrecondition). Cheap.
  virtual Status ready() const = 0;
  /// What hears recordings whose sender wishes nothing: model with revision, language,
  /// kHearingVersion. Equal: the same file gives the same text.
  virtual std::string hearing() const = 0;
  /// Hears a file that lies somewhere else, e.g. in a vault, as background work: its sound is not
  /// kept. What was heard is, so that another call for the same content goes on where this one
  /// stopped, also after a crash; it is removed at the end. Whoever calls keeps the result.
  /// @param file  open for reading only, a regular file; stays the caller's
  /// Errors: kFailedPrecondition (another call hears the same content; no model), kIo, and those
  /// of decode_audio() and of Transcriber::transcribe().
  virtual Result<Recording> hear_file(int file, std::string_view name, Deadline deadline,
                                      const CancelToken& cancel) = 0;

  /// What was heard so far. Errors: kNotFound, kCorruptData.
  virtual Result<Recording> find(std::string_view id) = 0;
  /// Ids of recordings that are not done and did not fail for good, e.g. after a crash.
  virtual std::vector<std::string> unfinished() = 0;
  /// Forgets sound and text. Errors: kNotFound, kFailedPrecondition (it is being heard).
  virtual Status forget(std::string_view id) = 0;
};

/// A stretch of a transcript that reads by itself.
struct Paragraph {
  std::chrono::milliseconds begin{};
  std::string text;
};
/// Segments joined to paragraphs of about half a minute: each ends at a pause or the end of a
/// sentence where there is one, and after a minute in any case.
std::vector<Paragraph> to_paragraphs(const std::vector<models::SpeechSegment>& segments);

/// Formats of a transcript. Times are those of the recording.
std::string to_text(const std::vector<models::SpeechSegment>& segments);
std::string to_srt(const std::vector<models::SpeechSegment>& segments);
std::string to_vtt(const std::vector<models::SpeechSegment>& segments);
/// "1:15:02" or "1:15", for people and for notes; hours only where there are some.
std::string clock_time(std::chrono::milliseconds time);

}  // namespace knap::speech
