#include "runner/speech_engine.hpp"

#include <fmt/format.h>
#include <ggml-backend.h>
#include <whisper_unit.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <mutex>

#include "knap/base/text.hpp"
#include "knap/observe/log.hpp"
#include "runner/idle_cores.hpp"
#include "runner/speech_times.hpp"

namespace knap::models::runner {
namespace {

using std::chrono::milliseconds;

// Most of what whisper-cli's five find, at three fifths of the cost.
constexpr int kBeams = 3;
// A window up to here is heard without asking the model for times, which costs it words and time;
// where somebody speaks is known.
constexpr milliseconds kUntimedMax{12'000};
constexpr int kFallbackCandidates = 2;  // of each hotter try, when the first one failed
// People speak at most some five words a second; a text beyond this many tokens is a loop.
constexpr int kTokensMin = 24;
constexpr int kTokensPerSecond = 12;
constexpr int kTokensMax = 220;
constexpr milliseconds kShortest{100};
constexpr std::size_t kSegmentsMax = 1'000;

void log_engine(ggml_log_level level, const char* text, void*) {
  if (level != GGML_LOG_LEVEL_ERROR || text == nullptr) return;
  std::string_view line = text;
  while (line.ends_with('\n')) line.remove_suffix(1);
  observe::log_error("whisper", line);
}

/// whisper.cpp reads what a file says of itself without a doubt: a short or foreign one keeps it
/// busy for a minute, or worse.
Status check_head(const std::filesystem::path& file) {
  constexpr std::size_t kWords = 12;
  constexpr std::uint32_t kMagic = 0x67676d6c;
  constexpr std::uintmax_t kBytesMin = 10U << 20;
  std::error_code error;
  const std::uintmax_t bytes = std::filesystem::file_size(file, error);
  if (error)
    return make_error(ErrorCode::kNotFound,
                      fmt::format("{} is not there", file.filename().string()));
  std::array<std::uint32_t, kWords> head{};
  std::ifstream in(file, std::ios::binary);
  in.read(reinterpret_cast<char*>(head.data()), sizeof head);
  const bool whisper = in.good() && bytes >= kBytesMin && head[0] == kMagic && head[1] >= 51'864 &&
                       head[1] <= 51'866 && head[2] == 1'500 && head[3] % 64 == 0 &&
                       head[3] <= 1'280 && head[5] <= 32 && head[9] <= 32 &&
                       (head[10] == 80 || head[10] == 128);
  if (whisper) return {};
  return make_error(
      ErrorCode::kCorruptData,
      fmt::format("{} is no Whisper model: pull the model again", file.filename().string()));
}

// One CPU backend for each instruction set lies in that folder; ggml takes the best that this
// machine runs.
void load_backends() {
  static std::once_flag once;
  std::call_once(once, [] {
    whisper_log_set(log_engine, nullptr);
    ggml_backend_load_all_from_path(KNAP_GGML_BACKEND_DIR);
  });
}

milliseconds centiseconds(double value) {
  return milliseconds(static_cast<std::int64_t>(std::llround(value * 10)));
}

milliseconds length_of(std::size_t samples) { return milliseconds(samples * 1'000 / kSpeechRate); }

std::size_t sample_at(milliseconds time, std::size_t count) {
  return std::min(static_cast<std::size_t>(time.count()) * kSpeechRate / 1'000, count);
}

/// The parts of `spoken` that lie in the window; all of it when none does.
std::vector<Stretch> within(Stretch window, std::span<const Stretch> spoken) {
  std::vector<Stretch> out;
  for (Stretch each : spoken) {
    each.begin = std::max(each.begin, window.begin);
    each.end = std::min(each.end, window.end);
    if (each.begin < each.end) out.push_back(each);
  }
  if (out.empty()) out.push_back(window);
  return out;
}

bool asked_to_abort(void* data) { return (*static_cast<const std::function<bool()>*>(data))(); }

whisper_full_params parameters(const SpeechRequest& request, std::size_t threads,
                               milliseconds length) {
  whisper_full_params params = whisper_full_default_params(
      request.careful ? WHISPER_SAMPLING_BEAM_SEARCH : WHISPER_SAMPLING_GREEDY);
  params.n_threads = static_cast<int>(threads);
  params.audio_ctx = audio_context(length);
  params.no_context = true;
  params.print_progress = false;
  params.print_realtime = false;
  params.print_timestamps = false;
  params.no_timestamps = length <= kUntimedMax;
  params.token_timestamps = request.words && !params.no_timestamps;
  params.suppress_nst = false;
  params.greedy.best_of = kFallbackCandidates;
  params.beam_search.beam_size = kBeams;
  const auto tokens = static_cast<int>(length.count() * kTokensPerSecond / 1'000);
  params.max_tokens = std::min(kTokensMax, kTokensMin + tokens);
  return params;
}

}  // namespace

SpeechEngine::~SpeechEngine() = default;

Result<std::unique_ptr<SpeechEngine>> SpeechEngine::open(const Options& options) {
  KNAP_CHECK_OK(check_head(options.model_file));
  load_backends();
  std::unique_ptr<SpeechEngine> engine(new SpeechEngine(options));
  whisper_context_params params = whisper_context_default_params();
  params.use_gpu = false;
  params.flash_attn = true;
  engine->context_ = {
      whisper_init_from_file_with_params_no_state(options.model_file.c_str(), params),
      &whisper_free};
  if (engine->context_ == nullptr)
    return make_error(ErrorCode::kCorruptData,
                      fmt::format("{} cannot be loaded: pull the model again",
                                  options.model_file.filename().string()));
  engine->state_ = {whisper_init_state(engine->context_.get()), &whisper_free_state};
  whisper_vad_context_params vad = whisper_vad_default_context_params();
  vad.n_threads = 1;  // its layers are too small to be shared
  const std::string silero = std::string(KNAP_WHISPER_DATA_DIR) + "/silero-v6.2.0.bin";
  engine->vad_ = {whisper_vad_init_from_file_with_params(silero.c_str(), vad), &whisper_vad_free};
  if (engine->state_ == nullptr || engine->vad_ == nullptr)
    return make_error(ErrorCode::kCorruptData, "the speech engine has no memory or no voice model");
  return engine;
}

bool SpeechEngine::multilingual() const { return whisper_is_multilingual(context_.get()) != 0; }

Status SpeechEngine::warm_up() {
  const std::vector<float> silence(kSpeechRate, 0.F);
  SpeechRequest request;
  request.language = "en";
  Transcript ignored;
  KNAP_TRY(const auto spoken, find_speech(silence));
  request.careful = true;
  return hear(
      silence, {milliseconds(0), milliseconds(1'000)}, {}, request, [] { return false; }, ignored);
}

Result<std::vector<Stretch>> SpeechEngine::find_speech(std::span<const float> samples) {
  whisper_vad_params params = whisper_vad_default_params();
  params.max_speech_duration_s = static_cast<float>(kWindowMax.count()) / 1'000.F;
  const std::unique_ptr<whisper_vad_segments, void (*)(whisper_vad_segments*)> found(
      whisper_vad_segments_from_samples(vad_.get(), params, samples.data(),
                                        static_cast<int>(samples.size())),
      &whisper_vad_free_segments);
  if (found == nullptr)
    return make_error(ErrorCode::kInternal, "the voice model failed at a piece of sound");
  const milliseconds length = length_of(samples.size());
  std::vector<Stretch> spoken;
  for (int i = 0; i < whisper_vad_segments_n_segments(found.get()); ++i) {
    Stretch stretch{centiseconds(whisper_vad_segments_get_segment_t0(found.get(), i)),
                    centiseconds(whisper_vad_segments_get_segment_t1(found.get(), i))};
    const milliseconds before = spoken.empty() ? milliseconds(0) : spoken.back().end;
    stretch.begin = std::clamp(stretch.begin, before, length);
    stretch.end = std::clamp(stretch.end, stretch.begin, length);
    if (stretch.end > stretch.begin) spoken.push_back(stretch);
  }
  return spoken;
}

Result<Transcript> SpeechEngine::transcribe(const SpeechRequest& request,
                                            const std::function<bool()>& should_abort) {
  if (request.samples.empty() ||
      request.samples.size() > kSpeechRate * static_cast<std::size_t>(kSpeechPieceMax.count()))
    return make_error(
        ErrorCode::kInvalidArgument,
        fmt::format("a piece of sound must have 1 sample to {} seconds", kSpeechPieceMax.count()));
  if (!request.language.empty() && whisper_lang_id(request.language.c_str()) < 0)
    return make_error(
        ErrorCode::kInvalidArgument,
        fmt::format("'{}' is no language that the model knows: give its code, as en or de",
                    text::repair_utf8(text::truncate(request.language, 40))));
  std::vector<float> samples(request.samples.size());
  std::ranges::transform(request.samples, samples.begin(),
                         [](std::int16_t value) { return static_cast<float>(value) / 32'768.F; });
  KNAP_TRY(const auto spoken, find_speech(samples));
  const auto plan = make_windows(spoken, length_of(samples.size()), request.last);
  Transcript transcript;
  transcript.consumed = plan.consumed;
  for (const Stretch& stretch : spoken) {
    if (stretch.begin < plan.consumed)
      transcript.spoken += std::min(stretch.end, plan.consumed) - stretch.begin;
  }
  for (const Stretch& window : plan.windows) {
    if (should_abort()) return make_error(ErrorCode::kCancelled, "stopped");
    KNAP_CHECK_OK(hear(samples, window, spoken, request, should_abort, transcript));
  }
  return transcript;
}

// whisper_full() can hear the language too, but does not say how sure it is.
Status SpeechEngine::hear_language(std::span<const float> samples, int threads, int audio_ctx,
                                   Transcript& transcript) {
  knap_whisper_forget(state_.get(), audio_ctx);
  std::vector<float> shares(static_cast<std::size_t>(whisper_lang_max_id()) + 1);
  const int mel = whisper_pcm_to_mel_with_state(context_.get(), state_.get(), samples.data(),
                                                static_cast<int>(samples.size()), threads);
  const int language = mel != 0 ? -1
                                : whisper_lang_auto_detect_with_state(context_.get(), state_.get(),
                                                                      0, threads, shares.data());
  if (language < 0 || static_cast<std::size_t>(language) >= shares.size())
    return make_error(ErrorCode::kInternal, "whisper.cpp failed to hear the language");
  transcript.language = whisper_lang_str(language);
  transcript.language_probability = shares[static_cast<std::size_t>(language)];
  return {};
}

Status SpeechEngine::hear(std::span<const float> samples, Stretch window,
                          std::span<const Stretch> spoken, const SpeechRequest& request,
                          const std::function<bool()>& should_abort, Transcript& transcript) {
  const std::size_t begin = sample_at(window.begin, samples.size());
  const auto part = samples.subspan(begin, sample_at(window.end, samples.size()) - begin);
  const milliseconds length = window.end - window.begin;
  if (length < kShortest) return {};
  const std::size_t wanted = request.threads == 0
                                 ? options_.threads
                                 : std::min<std::size_t>(request.threads, options_.threads);
  whisper_full_params params = parameters(request, threads_for_idle_cores(wanted), length);
  // Heard once: what follows in the same piece is in the same language.
  const bool given = !multilingual() || !request.language.empty();
  if (transcript.language.empty() && !given) {
    KNAP_CHECK_OK(hear_language(part, params.n_threads, params.audio_ctx, transcript));
  } else if (transcript.language.empty()) {
    transcript.language = multilingual() ? request.language : "en";
    transcript.language_probability = 1;
  }
  params.language = transcript.language.c_str();
  params.abort_callback = asked_to_abort;
  params.abort_callback_user_data = const_cast<void*>(static_cast<const void*>(&should_abort));
  knap_whisper_forget(state_.get(), params.audio_ctx);
  const int failed = whisper_full_with_state(context_.get(), state_.get(), params, part.data(),
                                             static_cast<int>(part.size()));
  if (should_abort()) return make_error(ErrorCode::kCancelled, "stopped");
  if (failed != 0)
    return make_error(ErrorCode::kInternal, fmt::format("whisper.cpp failed with code {}", failed));
  take_segments(window, params.no_timestamps ? within(window, spoken) : std::vector<Stretch>(),
                request.words, transcript);
  return {};
}

void SpeechEngine::take_segments(Stretch window, std::span<const Stretch> spoken, bool words,
                                 Transcript& transcript) const {
  whisper_state* state = state_.get();
  const int count = whisper_full_n_segments_from_state(state);
  const auto place = [&](std::int64_t value) {
    return std::clamp(window.begin + centiseconds(static_cast<double>(value)), window.begin,
                      window.end);
  };
  for (int i = 0; i < count && transcript.segments.size() < kSegmentsMax; ++i) {
    SpeechSegment segment;
    const std::string raw = text::repair_utf8(whisper_full_get_segment_text_from_state(state, i));
    segment.text = text::trim(raw);
    if (segment.text.empty()) continue;
    segment.begin = place(whisper_full_get_segment_t0_from_state(state, i));
    segment.end = std::max(segment.begin, place(whisper_full_get_segment_t1_from_state(state, i)));
    segment.no_speech = whisper_full_get_segment_no_speech_prob_from_state(state, i);
    const int tokens = whisper_full_n_tokens_from_state(state, i);
    for (int t = 0; t < tokens; ++t)
      segment.average_logprob += whisper_full_get_token_data_from_state(state, i, t).plog;
    if (tokens > 0) segment.average_logprob /= static_cast<float>(tokens);
    if (spoken.empty()) {
      if (words) segment.words = take_words(i, window);
      transcript.segments.push_back(std::move(segment));
      continue;
    }
    segment.begin = spoken.front().begin;
    segment.end = spoken.back().end;
    segment.words = take_words(i, window);
    spread_words(segment.words, spoken);
    for (SpeechSegment& sentence : cut_sentences(std::move(segment))) {
      if (!words) sentence.words.clear();
      transcript.segments.push_back(std::move(sentence));
    }
  }
}

// A token that begins with a blank begins a word; one may hold part of a character only.
std::vector<SpeechWord> SpeechEngine::take_words(int segment, Stretch window) const {
  whisper_state* state = state_.get();
  const whisper_token end = whisper_token_eot(context_.get());
  std::vector<SpeechWord> words;
  std::string open;
  SpeechWord word;
  int parts = 0;
  const auto close = [&] {
    word.text = text::trim(text::repair_utf8(open));
    word.probability /= static_cast<float>(std::max(parts, 1));
    if (!word.text.empty()) words.push_back(word);
    word = {};
    open.clear();
    parts = 0;
  };
  for (int t = 0; t < whisper_full_n_tokens_from_state(state, segment); ++t) {
    const whisper_token_data data = whisper_full_get_token_data_from_state(state, segment, t);
    if (data.id >= end) continue;
    const std::string_view piece =
        whisper_full_get_token_text_from_state(context_.get(), state, segment, t);
    if (piece.starts_with(' ') || open.empty()) {
      if (!open.empty()) close();
      word.begin = std::clamp(window.begin + centiseconds(static_cast<double>(data.t0)),
                              window.begin, window.end);
    }
    open += piece;
    ++parts;
    word.probability += data.p;
    word.end = std::clamp(window.begin + centiseconds(static_cast<double>(data.t1)), word.begin,
                          window.end);
  }
  close();
  return words;
}

}  // namespace knap::models::runner
