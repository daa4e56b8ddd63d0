#include "runner/quantize_speech.hpp"

#include <fmt/format.h>

#include <boost/json.hpp>

#include "knap/base/file.hpp"
#include "runner/measure_speech.hpp"
#include "runner/whisper_levels.hpp"
#include "word_errors.hpp"

namespace knap::models::runner {
namespace {

namespace fs = std::filesystem;

Status write_clips(const std::vector<SpeechClip>& clips, const fs::path& folder) {
  std::error_code error;
  if (!fs::create_directory(folder, error))
    return errno_error(error.value(), "cannot make the folder", folder);
  for (std::size_t i = 0; i < clips.size(); ++i) {
    const auto& samples = clips[i].samples;
    KNAP_CHECK_OK(write_file_atomic(
        clip_file(folder, i), {reinterpret_cast<const char*>(samples.data()), samples.size() * 2}));
  }
  return {};
}

Result<LevelFigures> measure(const QuantizeOptions& options, const MeasuringFolder& folder,
                             const fs::path& file, QuantizeReport& report,
                             const CancelToken& cancel) {
  std::vector<std::string> arguments = {"--file",    file.string(),
                                        "--clips",   (folder.path() / "clips").string(),
                                        "--threads", fmt::format("{}", options.threads)};
  if (!options.language.empty()) {
    arguments.emplace_back("--language");
    arguments.push_back(options.language);
  }
  KNAP_TRY(const auto figures, run_measuring(options.program, arguments, folder, cancel));
  const auto* texts = figures.if_contains("texts");
  if (texts == nullptr || !texts->is_array() || texts->get_array().size() != options.clips.size())
    return make_error(ErrorCode::kInternal, "the model heard another number of clips");
  WordErrors sum;
  for (std::size_t i = 0; i < options.clips.size(); ++i)
    sum += count_word_errors(options.clips[i].text,
                             std::string_view(texts->get_array()[i].as_string()));
  report.words = sum.words;
  report.sound_seconds = figure(figures, "sound_seconds");
  LevelFigures row;
  std::error_code error;
  row.bytes = fs::file_size(file, error);
  row.resident_bytes = static_cast<std::uint64_t>(figure(figures, "resident_bytes"));
  row.load_ms = figure(figures, "load_ms");
  const double took = figure(figures, "took_seconds");
  row.times_real_time = took > 0 ? report.sound_seconds / took : 0;
  row.word_error_rate = sum.rate();
  return row;
}

}  // namespace

Result<QuantizeReport> quantize_speech(const QuantizeOptions& options,
                                       const MeasuringFolder& folder,
                                       const Models::Progress& progress,
                                       const CancelToken& cancel) {
  QuantizeReport report;
  report.speech = true;
  report.clips = options.clips.size();
  KNAP_CHECK_OK(write_clips(options.clips, folder.path() / "clips"));
  fs::path source = options.source;
  if (source.empty()) {
    source = folder.path() / "source.bin";
    KNAP_CHECK_OK(options.fetch_source(source));
  }
  const auto say = [&](std::string_view doing, std::string_view level) {
    if (progress) progress(fmt::format("{} {}", doing, level), 0, 0);
  };
  say("measuring", "original");
  KNAP_TRY(LevelFigures original, measure(options, folder, source, report, cancel));
  original.level = "original";
  report.levels.push_back(std::move(original));
  for (const std::string& level : options.levels) {
    const fs::path file = folder.path() / "level.bin";
    say("quantising to", level);
    // Of 16 bits, F32 makes the most: the file twice over.
    std::error_code unknown;
    const std::uintmax_t bytes = fs::file_size(source, unknown);
    if (!unknown) KNAP_CHECK_OK(check_space(folder, level, bytes * (level == "F32" ? 2 : 1)));
    const auto name = write_whisper_level(source, level, file, cancel);
    if (!name && name.error().code == ErrorCode::kUnsupported) {
      report.left_out.push_back(fmt::format("{}: {}", level, name.error().message));
      continue;
    }
    if (!name) return name.error();
    say("measuring", *name);
    KNAP_TRY(LevelFigures row, measure(options, folder, file, report, cancel));
    row.level = *name;
    report.levels.push_back(std::move(row));
  }
  return report;
}

}  // namespace knap::models::runner
