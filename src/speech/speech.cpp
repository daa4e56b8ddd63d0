#include "knap/speech/speech.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "kept.hpp"
#include "knap/base/file.hpp"
#include "knap/base/hash.hpp"
#include "knap/base/mutex.hpp"
#include "knap/base/text.hpp"

namespace knap::speech {
namespace {

using std::chrono::milliseconds;

static_assert(extract::kAudioRate == models::kSpeechRate,
              "decoded sound goes to the model as it is");

constexpr milliseconds kPiece{30'000};      // what a model is given at once
constexpr milliseconds kRead{120'000};      // what is decoded at once
constexpr milliseconds kFirstRead{31'000};  // tells a short recording from a long one
constexpr milliseconds kStoreEvery{3'000};
constexpr std::size_t kNameMax = 200;
// A deadline nearer than this, and than this part of the sound, is met with less care.
constexpr milliseconds kHurry{1'000};
constexpr int kHurryPart = 4;
constexpr std::size_t kSegmentsMax = 200'000;
constexpr std::size_t kSamplesPerMs = extract::kAudioRate / 1'000;
constexpr std::uint64_t kFileBytesMax = 64ULL << 30;  // of one that lies somewhere else
constexpr int kTriesMax = 3;  // of one piece, when the model's process ended

milliseconds length_of(std::size_t samples) { return milliseconds(samples / kSamplesPerMs); }

/// Errors that the same bytes will always give.
bool is_final(ErrorCode code) {
  return code == ErrorCode::kCorruptData || code == ErrorCode::kUnsupported ||
         code == ErrorCode::kInvalidArgument || code == ErrorCode::kResourceExhausted;
}

/// Whether there is time to weigh several readings of so much sound against each other.
bool has_time(milliseconds length, Deadline deadline) {
  return deadline.is_never() || deadline.remaining_ms() > kHurry + length / kHurryPart;
}

void shift(models::SpeechSegment& segment, milliseconds by) {
  segment.begin += by;
  segment.end += by;
  for (models::SpeechWord& word : segment.words) {
    word.begin += by;
    word.end += by;
  }
}

class LocalSpeech final : public Speech {
 public:
  LocalSpeech(SpeechOptions options, Kept kept, models::Models& models,
              service::ComputeLeases& leases, observe::Registry& metrics)
      : options_(std::move(options)),
        kept_(std::move(kept)),
        models_(models),
        leases_(leases),
        heard_ms_(metrics.counter("knap_speech_heard_ms_total", "Milliseconds of sound heard")),
        recordings_(
            metrics.counter("knap_speech_recordings_total", "Recordings heard to their end")) {}

  Result<Taken> take(std::string_view bytes, std::string_view name, const Wish& wish,
                     Deadline deadline, const CancelToken& cancel) override {
    KNAP_TRY(const auto model, find_model(wish));
    Taken taken;
    taken.id = hash128(fmt::format("{}\n{}\n{}\n{}", hash128(bytes).hex(), model->id(),
                                   language_of(wish), wish.words))
                   .hex();
    taken.name = text::repair_utf8(text::truncate(name, kNameMax));
    taken.wish = wish;
    if (const auto known = kept_.find(taken.id); known && known->done) return taken;
    KNAP_CHECK_OK(kept_.store_sound(taken.id, bytes));
    auto begin = source_of(taken.id, Urgency::kNow, deadline, cancel)(milliseconds(0), kFirstRead);
    if (!begin) {
      if (is_final(begin.error().code)) kept_.remove(taken.id);
      return std::move(begin).error();
    }
    taken.begin = *std::move(begin);
    taken.is_short = taken.begin.ended && length_of(taken.begin.samples.size()) <= kShortMax;
    if (taken.is_short) return taken;
    Recording recording;
    if (const auto known = kept_.find(taken.id); known) recording = *known;
    recording.id = taken.id;
    recording.name = taken.name;
    recording.wish = wish;
    recording.whole = taken.begin.whole;
    KNAP_CHECK_OK(kept_.store(recording));
    return taken;
  }

  Result<Recording> hear(Taken taken, Urgency urgency, Deadline deadline, const CancelToken& cancel,
                         const OnProgress& on_progress) override {
    KNAP_TRY(const Claim claim, Claim::take(*this, taken.id));
    KNAP_TRY(Recording recording, kept_.find(taken.id));
    if (recording.done) return recording;
    if (taken.is_short) {
      recording.name = taken.name;
      recording.wish = taken.wish;
    }
    if (recording.position > milliseconds(0)) taken.begin = {};
    const bool keep_text = !taken.is_short;
    const Source source = source_of(taken.id, urgency, deadline, cancel);
    const Status heard = listen(recording, std::move(taken.begin), source, urgency, keep_text,
                                deadline, cancel, on_progress);
    if (!heard) {
      if (!is_final(heard.error().code)) return heard.error();
      recording.error = heard.error().message;
      if (keep_text) static_cast<void>(kept_.store(recording).has_value());
      kept_.remove_sound(recording.id);
      return heard.error();
    }
    if (keep_text) {
      KNAP_CHECK_OK(kept_.store(recording));
      kept_.trim();
    }
    kept_.remove_sound(recording.id);
    return recording;
  }

  Status ready() const override {
    const auto model = find_model({});
    return model ? Status() : Status(model.error());
  }

  std::string hearing() const override {
    const auto model = models_.transcriber();
    return fmt::format("{} {} {}", model == nullptr ? "none" : model->id(), options_.language,
                       kHearingVersion);
  }

  Result<Recording> hear_file(int file, std::string_view name, Deadline deadline,
                              const CancelToken& cancel) override {
    KNAP_CHECK_OK(ready());
    KNAP_TRY(const Hash128 content, hash128_file(file, kFileBytesMax));
    const std::string id = hash128(fmt::format("file\n{}\n{}", content.hex(), hearing())).hex();
    KNAP_TRY(const Claim claim, Claim::take(*this, id));
    Recording recording = kept_.find(id).value_or(Recording{});
    recording.id = id;
    recording.name = text::repair_utf8(text::truncate(name, kNameMax));
    const Source source = [&](milliseconds begin, milliseconds length) {
      return decode(file, begin, length, Urgency::kBackground, deadline, cancel);
    };
    constexpr bool kKeepText = true;
    const Status heard =
        listen(recording, {}, source, Urgency::kBackground, kKeepText, deadline, cancel, nullptr);
    if (heard || is_final(heard.error().code)) {
      kept_.remove(id);
    } else if (recording.position > milliseconds(0)) {
      static_cast<void>(kept_.store(recording).has_value());
    }
    kept_.trim();
    if (!heard) return heard.error();
    return recording;
  }

  Result<Recording> resume(std::string_view id, Deadline deadline, const CancelToken& cancel,
                           const OnProgress& on_progress) override {
    KNAP_TRY(const Recording recording, kept_.find(id));
    if (recording.done) return recording;
    if (!kept_.has_sound(id))
      return make_error(ErrorCode::kNotFound,
                        recording.error.empty() ? "its sound is gone" : recording.error);
    Taken taken;
    taken.id = id;
    return hear(std::move(taken), Urgency::kBackground, deadline, cancel, on_progress);
  }

  Result<Recording> find(std::string_view id) override { return kept_.find(id); }

  std::vector<std::string> unfinished() override {
    std::vector<std::string> ids = kept_.with_sound();
    std::erase_if(ids, [&](const std::string& id) {
      const auto recording = kept_.find(id);
      if (recording && !recording->done && recording->error.empty()) return false;
      kept_.remove_sound(id);  // the process ended between the text and this
      return true;
    });
    return ids;
  }

  Status forget(std::string_view id) override {
    if (!is_recording_id(id)) return make_error(ErrorCode::kNotFound, "no such recording");
    KNAP_TRY(const Claim claim, Claim::take(*this, std::string(id)));
    if (kept_.remove(id)) return {};
    return make_error(ErrorCode::kNotFound, "no such recording");
  }

 private:
  /// One call hears a recording at a time.
  class Claim {
   public:
    static Result<Claim> take(LocalSpeech& owner, const std::string& id) {
      const MutexLock lock(owner.mutex_);
      if (!owner.claimed_.insert(id).second)
        return make_error(ErrorCode::kFailedPrecondition,
                          "this recording is being heard already: wait for it");
      return Claim(owner, id);
    }
    Claim(Claim&& other) noexcept
        : owner_(std::exchange(other.owner_, nullptr)), id_(std::move(other.id_)) {}
    Claim& operator=(Claim&&) = delete;
    ~Claim() {
      if (owner_ == nullptr) return;
      const MutexLock lock(owner_->mutex_);
      owner_->claimed_.erase(id_);
    }

   private:
    Claim(LocalSpeech& owner, std::string id) : owner_(&owner), id_(std::move(id)) {}
    LocalSpeech* owner_;
    std::string id_;
  };

  const std::string& language_of(const Wish& wish) const {
    return wish.language.empty() ? options_.language : wish.language;
  }

  Result<std::shared_ptr<models::Transcriber>> find_model(const Wish& wish) const {
    auto model = wish.model.empty() ? models_.transcriber() : models_.transcriber(wish.model);
    if (model != nullptr) return model;
    if (!wish.model.empty())
      return make_error(
          ErrorCode::kInvalidArgument,
          fmt::format("no speech model '{}' is installed: `knap models list` shows which are",
                      text::repair_utf8(text::truncate(wish.model, 100))));
    return make_error(ErrorCode::kFailedPrecondition,
                      "no speech model is installed: run `knap models pull whisper-base`");
  }

  /// Decodes a stretch of a recording.
  using Source = std::function<Result<extract::Audio>(milliseconds begin, milliseconds length)>;

  Result<extract::Audio> decode(int file, milliseconds begin, milliseconds length, Urgency urgency,
                                Deadline deadline, const CancelToken& cancel) const {
    extract::AudioOptions audio = options_.audio;
    audio.urgent = urgency == Urgency::kNow;
    return extract::decode_audio(file, begin, length, audio, deadline, cancel);
  }

  /// Of one whose sound is kept.
  Source source_of(const std::string& id, Urgency urgency, Deadline deadline,
                   const CancelToken& cancel) const {
    return [this, path = kept_.sound(id), urgency, deadline, &cancel](
               milliseconds begin, milliseconds length) -> Result<extract::Audio> {
      const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
      if (!file.valid()) return errno_error(errno, "cannot open", path);
      return decode(file.get(), begin, length, urgency, deadline, cancel);
    };
  }

  /// Hears from recording.position to the end; what was heard stands in it whatever comes back.
  /// @param first  the sound from there on, where it was read already
  Status listen(Recording& recording, extract::Audio first, const Source& source, Urgency urgency,
                bool keep_text, Deadline deadline, const CancelToken& cancel,
                const OnProgress& on_progress) {
    KNAP_TRY(const auto model, find_model(recording.wish));
    std::vector<std::int16_t> samples = std::move(first.samples);
    bool ended = first.ended;
    milliseconds read_up_to = recording.position;
    if (!samples.empty()) read_up_to += kFirstRead;
    auto stored = SteadyClock::now();
    while (true) {
      while (!ended && length_of(samples.size()) < kPiece) {
        KNAP_TRY(const auto more, source(read_up_to, kRead));
        samples.insert(samples.end(), more.samples.begin(), more.samples.end());
        read_up_to += kRead;
        ended = more.ended;
        recording.whole = more.whole;
      }
      if (samples.size() < kSamplesPerMs) break;
      if (recording.position > kLengthMax)
        return make_error(ErrorCode::kResourceExhausted, "the recording is longer than 12 hours");
      const std::size_t count =
          std::min(samples.size(), static_cast<std::size_t>(kPiece.count()) * kSamplesPerMs);
      const bool last = ended && count == samples.size();
      KNAP_TRY(const auto heard, hear_piece(*model, recording, std::span(samples).first(count),
                                            last, urgency, deadline, cancel));
      add(recording, heard);
      const auto used =
          std::min(count, static_cast<std::size_t>(heard.consumed.count()) * kSamplesPerMs);
      if (!last && used == 0)
        return make_error(ErrorCode::kInternal, "the speech model takes no sound");
      samples.erase(samples.begin(),
                    samples.begin() + static_cast<std::ptrdiff_t>(last ? count : used));
      if (keep_text && SteadyClock::now() - stored > kStoreEvery) {
        KNAP_CHECK_OK(kept_.store(recording));
        stored = SteadyClock::now();
      }
      if (on_progress && !on_progress(recording))
        return make_error(ErrorCode::kCancelled, "stopped");
    }
    recording.done = true;
    recordings_.add(1);
    return {};
  }

  Result<models::Transcript> hear_piece(models::Transcriber& model, const Recording& recording,
                                        std::span<const std::int16_t> samples, bool last,
                                        Urgency urgency, Deadline deadline,
                                        const CancelToken& cancel) {
    const bool now = urgency == Urgency::kNow;
    models::SpeechRequest request;
    request.samples = samples;
    request.language =
        recording.language.empty() ? language_of(recording.wish) : recording.language;
    request.words = recording.wish.words;
    request.last = last;
    request.careful = has_time(length_of(samples.size()), deadline);
    request.priority = now ? models::Priority::kInteractive : models::Priority::kBackground;
    for (int tries = 1;; ++tries) {
      const auto lane = now ? service::Lane::kInteractive : service::Lane::kBackground;
      KNAP_TRY(const auto lease, leases_.acquire(lane, options_.threads, deadline, cancel));
      request.threads = static_cast<std::uint32_t>(lease.threads());
      auto heard = model.transcribe(request, deadline, cancel);
      // A model whose process ended is started again by its supervisor.
      if (heard || heard.error().code != ErrorCode::kUnavailable || tries == kTriesMax)
        return heard;
    }
  }

  void add(Recording& recording, const models::Transcript& heard) {
    if (recording.language.empty()) {
      recording.language = heard.language;
      recording.language_probability = heard.language_probability;
    }
    for (models::SpeechSegment segment : heard.segments) {
      if (recording.segments.size() >= kSegmentsMax) break;
      shift(segment, recording.position);
      recording.segments.push_back(std::move(segment));
    }
    recording.position += heard.consumed;
    heard_ms_.add(static_cast<std::uint64_t>(heard.consumed.count()));
  }

  const SpeechOptions options_;
  const Kept kept_;
  models::Models& models_;
  service::ComputeLeases& leases_;
  observe::Counter& heard_ms_;
  observe::Counter& recordings_;
  Mutex mutex_;
  std::set<std::string> claimed_ KNAP_GUARDED_BY(mutex_);
};

}  // namespace

Result<std::unique_ptr<Speech>> Speech::open(SpeechOptions options, models::Models& models,
                                             service::ComputeLeases& leases,
                                             observe::Registry& metrics) {
  KNAP_TRY(Kept kept, Kept::open(options.dir));
  return std::make_unique<LocalSpeech>(std::move(options), std::move(kept), models, leases,
                                       metrics);
}

}  // namespace knap::speech
