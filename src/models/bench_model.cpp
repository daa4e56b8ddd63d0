#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "knap/models/measure.hpp"
#include "word_errors.hpp"

namespace knap::models {
namespace {

constexpr std::size_t kEmbedTexts = 64;
constexpr std::size_t kQueries = 60;
constexpr std::uint32_t kPromptWordsMax = 4'000;

double seconds_since(SteadyClock::time_point begin) {
  return std::chrono::duration<double>(SteadyClock::now() - begin).count();
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// Plain English in changing order: no two texts begin alike, so nothing that was read before
/// helps.
std::string plain_text(std::size_t words, std::uint32_t seed) {
  static const std::vector<std::string> kWords = {
      "the",  "note",  "links",   "to",     "a",       "heading",  "in",    "another",
      "file", "and",   "shows",   "each",   "task",    "with",     "its",   "date",
      "so",   "that",  "people",  "find",   "what",    "they",     "wrote", "years",
      "ago",  "about", "gardens", "rivers", "budgets", "meetings", "or",    "music"};
  std::uint32_t state = seed * 2654435761U + 1;
  std::string text;
  for (std::size_t w = 0; w < words; ++w) {
    state = state * 1664525U + 1013904223U;
    text += kWords[(state >> 16) % kWords.size()] + (w % 12 == 11 ? ". " : " ");
  }
  return text;
}

Status bench_answers(Generator& generator, const BenchModelOptions& options,
                     const CancelToken& cancel, ModelFigures& figures) {
  const auto begin = SteadyClock::now();
  KNAP_TRY(const Hold hold, generator.load(options.deadline, cancel));
  figures.load_ms = seconds_since(begin) * 1e3;
  std::vector<double> reading, writing;
  for (std::uint32_t i = 0; i < options.repeats; ++i) {
    GenerateRequest request;
    request.messages = {
        {"user", plain_text(std::clamp(options.prompt_words, 16U, kPromptWordsMax), i + 1) +
                     "\n\nGo on with this text for many pages."}};
    request.max_tokens = options.write_tokens;
    request.hold = hold;
    const auto started = SteadyClock::now();
    SteadyClock::time_point first{};
    KNAP_TRY(const GenerateResult result,
             generator.generate(request, options.deadline, cancel, [&](std::string_view) {
               if (first == SteadyClock::time_point{}) first = SteadyClock::now();
               return true;
             }));
    figures.read_tokens += result.prompt_tokens;
    figures.written_tokens += result.completion_tokens;
    if (result.completion_tokens == 0) continue;
    const double until_first = std::chrono::duration<double>(first - started).count();
    reading.push_back(static_cast<double>(result.prompt_tokens) / until_first);
    if (result.completion_tokens > 1) {
      writing.push_back(static_cast<double>(result.completion_tokens - 1) /
                        (seconds_since(started) - until_first));
    }
  }
  figures.read_tokens_per_second = median(reading);
  figures.write_tokens_per_second = median(writing);
  return {};
}

Status bench_vectors(Embedder& embedder, const BenchModelOptions& options,
                     const CancelToken& cancel, ModelFigures& figures) {
  const std::vector<std::string> query = {plain_text(6, 1)};
  const auto begin = SteadyClock::now();
  KNAP_CHECK_OK(
      embedder.embed(query, InputKind::kQuery, Priority::kSearch, options.deadline, cancel));
  figures.load_ms = seconds_since(begin) * 1e3;
  std::vector<double> reading;
  for (std::uint32_t i = 0; i < options.repeats; ++i) {
    std::vector<std::string> texts;
    for (std::size_t t = 0; t < kEmbedTexts; ++t)
      texts.push_back(
          plain_text(50 + (t * 37) % 120, static_cast<std::uint32_t>(i * kEmbedTexts + t)));
    const auto started = SteadyClock::now();
    KNAP_TRY(const Embeddings result,
             embedder.embed(texts, InputKind::kPassage, Priority::kBackground, options.deadline,
                            cancel));
    reading.push_back(static_cast<double>(result.tokens) / seconds_since(started));
    figures.read_tokens += result.tokens;
  }
  std::vector<double> waits;
  for (std::size_t i = 0; i < kQueries; ++i) {
    const std::vector<std::string> text = {plain_text(3 + i % 10, static_cast<std::uint32_t>(i))};
    const auto started = SteadyClock::now();
    KNAP_CHECK_OK(
        embedder.embed(text, InputKind::kQuery, Priority::kInteractive, options.deadline, cancel));
    waits.push_back(seconds_since(started) * 1e3);
  }
  figures.read_tokens_per_second = median(reading);
  figures.query_ms = median(waits);
  return {};
}

Status bench_speech(Transcriber& transcriber, const BenchModelOptions& options,
                    const CancelToken& cancel, ModelFigures& figures) {
  if (options.clips.empty()) {
    return make_error(
        ErrorCode::kUnsupported,
        fmt::format("{} is measured on recordings: name a folder with --clips", figures.name));
  }
  const auto hear = [&](std::span<const std::int16_t> samples) {
    SpeechRequest request;
    request.samples = samples;
    request.language = options.language;
    request.careful = true;  // as recordings are heard
    request.priority = Priority::kInteractive;
    return transcriber.transcribe(request, options.deadline, cancel);
  };
  // Silence loads the model and is heard in no time.
  const std::vector<std::int16_t> silence(kSpeechRate / 10, 0);
  auto begin = SteadyClock::now();
  KNAP_CHECK_OK(hear(silence));
  figures.load_ms = seconds_since(begin) * 1e3;
  WordErrors errors;
  double sound = 0, took = 0;
  for (const SpeechClip& clip : options.clips) {
    begin = SteadyClock::now();
    KNAP_TRY(const Transcript transcript, hear(clip.samples));
    took += seconds_since(begin);
    sound += static_cast<double>(clip.samples.size()) / kSpeechRate;
    std::string text;
    for (const SpeechSegment& segment : transcript.segments) text += segment.text + " ";
    errors += count_word_errors(clip.text, text);
  }
  figures.times_real_time = took > 0 ? sound / took : 0;
  figures.word_error_rate = errors.rate();
  return {};
}

}  // namespace

Result<ModelFigures> bench_model(Models& models, std::string_view name,
                                 const BenchModelOptions& options, const CancelToken& cancel) {
  const auto find = [&]() -> ModelInfo {
    for (ModelInfo& info : models.list())
      if (info.name == name) return std::move(info);
    return {};
  };
  const ModelInfo before = find();
  if (!before.installed) {
    return make_error(ErrorCode::kNotFound,
                      fmt::format("{} is not installed: run `knap models pull {}`", name, name));
  }
  ModelFigures figures;
  figures.name = name;
  figures.role = before.role;
  figures.bytes = before.bytes;
  figures.expected_bytes = before.memory_bytes;
  if (const auto generator = models.generator(name)) {
    KNAP_CHECK_OK(bench_answers(*generator, options, cancel, figures));
  } else if (const auto embedder = models.embedder(name)) {
    KNAP_CHECK_OK(bench_vectors(*embedder, options, cancel, figures));
  } else if (const auto transcriber = models.transcriber(name)) {
    KNAP_CHECK_OK(bench_speech(*transcriber, options, cancel, figures));
  } else {
    return make_error(ErrorCode::kUnsupported,
                      fmt::format("{} has the role {}, which is not measured by this command", name,
                                  before.role));
  }
  figures.resident_bytes = find().resident_bytes;
  return figures;
}

}  // namespace knap::models
