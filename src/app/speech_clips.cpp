#include "speech_clips.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>

#include "engine.hpp"
#include "knap/base/file.hpp"
#include "knap/base/text.hpp"
#include "knap/extract/audio.hpp"

namespace knap::app {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kManifestBytesMax = 4U << 20;
constexpr std::uint64_t kTranscriptBytesMax = 64U << 10;
constexpr std::size_t kClipsMax = 2'000;
constexpr std::size_t kSamplesMax = std::size_t{models::kSpeechRate} * 3'600;
constexpr std::chrono::seconds kDecodePatience{60};

struct Named {
  fs::path file;
  std::string text;
};

std::vector<std::string> split(std::string_view line, char by) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0;;) {
    const std::size_t end = line.find(by, begin);
    parts.emplace_back(text::trim(line.substr(begin, end - begin)));
    if (end == std::string_view::npos) return parts;
    begin = end + 1;
  }
}

Result<std::vector<Named>> read_manifest(const fs::path& file) {
  KNAP_TRY(const std::string whole, read_file(file, kManifestBytesMax));
  const auto lines = split(whole, '\n');
  const auto head = split(lines.front(), '\t');
  const auto column = [&](std::string_view name) {
    return static_cast<std::size_t>(std::ranges::find(head, name) - head.begin());
  };
  const std::size_t path = column("file"), said = column("transcript");
  const auto wrong = [&](std::size_t line, std::string_view what) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("{}, line {}: {}", file.string(), line + 1, what));
  };
  if (path == head.size() || said == head.size())
    return wrong(0, "the first line must name the columns, file and transcript among them");
  std::vector<Named> named;
  for (std::size_t i = 1; i < lines.size(); ++i) {
    if (lines[i].empty()) continue;
    const auto cells = split(lines[i], '\t');
    if (cells.size() <= std::max(path, said)) return wrong(i, "too few columns");
    named.push_back({file.parent_path() / cells[path], cells[said]});
  }
  return named;
}

Result<std::vector<Named>> read_pairs(const fs::path& folder) {
  std::vector<Named> named;
  std::error_code error;
  for (fs::directory_iterator each(folder, error), end; !error && each != end;
       each.increment(error)) {
    if (each->path().extension() == ".txt" || !each->is_regular_file(error)) continue;
    fs::path said = each->path();
    said.replace_extension(".txt");
    if (!fs::exists(said, error)) continue;
    KNAP_TRY(std::string text, read_file(said, kTranscriptBytesMax));
    named.push_back({each->path(), std::move(text)});
  }
  if (error) return errno_error(error.value(), "cannot read", folder);
  std::ranges::sort(named, {}, &Named::file);
  return named;
}

}  // namespace

Result<std::vector<models::SpeechClip>> read_speech_clips(const fs::path& folder,
                                                          const Config& config) {
  std::error_code error;
  if (!fs::is_directory(folder, error))
    return make_error(ErrorCode::kNotFound, fmt::format("{} is no folder", folder.string()));
  const fs::path manifest = folder / "manifest.tsv";
  KNAP_TRY(const auto named,
           fs::exists(manifest, error) ? read_manifest(manifest) : read_pairs(folder));
  const extract::AudioOptions options = audio_options(config);
  std::vector<models::SpeechClip> clips;
  std::size_t samples = 0;
  for (const Named& each : named) {
    if (clips.size() == kClipsMax) break;
    const FileDescriptor file(::open(each.file.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file.valid()) return errno_error(errno, "cannot read", each.file);
    auto audio = extract::decode_audio(
        file.get(), std::chrono::milliseconds(0),
        std::chrono::duration_cast<std::chrono::milliseconds>(models::kSpeechPieceMax), options,
        Deadline::after(kDecodePatience), CancelToken());
    if (!audio) return with_context(std::move(audio).error(), each.file.string());
    if (!audio->ended || audio->samples.empty()) continue;
    samples += audio->samples.size();
    if (samples > kSamplesMax) {
      return make_error(
          ErrorCode::kResourceExhausted,
          fmt::format("{} holds more than an hour: take fewer recordings", folder.string()));
    }
    clips.push_back({std::move(audio->samples), each.text});
  }
  if (clips.empty()) {
    return make_error(ErrorCode::kNotFound,
                      fmt::format("{} holds no recording of at most {} s with its text: "
                                  "manifest.tsv, or NAME.txt beside NAME.wav",
                                  folder.string(), models::kSpeechPieceMax.count()));
  }
  return clips;
}

}  // namespace knap::app
