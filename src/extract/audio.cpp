#include "knap/extract/audio.hpp"

#include <unistd.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstring>
#include <optional>

namespace knap::extract {
namespace {

using std::chrono::milliseconds;

static_assert(std::endian::native == std::endian::little, "samples come as they lie in memory");

constexpr std::size_t kHeadBytes = 64;
constexpr std::size_t kSampleBytes = sizeof(std::int16_t);
constexpr milliseconds kMoreThanAsked{1'000};  // room in the output's limit
constexpr std::uint64_t kMemoryBytes = 1'024ULL << 20;
// Exit codes of knap-audio.
constexpr int kNotReadable = 3;

constexpr std::string_view kFormats = "WAV, MP3, FLAC, Ogg (Vorbis, Opus), M4A or WebM";

std::string_view at(std::string_view head, std::size_t offset, std::size_t length) {
  return head.size() < offset + length ? std::string_view() : head.substr(offset, length);
}

/// MPEG audio begins with eleven set bits, then a version, layer, bit rate and rate that exist.
bool is_mpeg_frame(std::string_view head) {
  if (head.size() < 4) return false;
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(head[i]); };
  const bool sync = byte(0) == 0xFF && (byte(1) & 0xE0U) == 0xE0U;
  const bool version = (byte(1) & 0x18U) != 0x08U;
  const bool layer = (byte(1) & 0x06U) != 0;
  const bool rates = (byte(2) & 0xF0U) != 0xF0U && (byte(2) & 0x0CU) != 0x0CU;
  return sync && version && layer && rates;
}

Result<HelperResult> run(HelperRun& helper, int file, milliseconds length, Deadline deadline,
                         const AudioOptions& options, const CancelToken& cancel) {
  KNAP_CHECK_OK(still_wanted(cancel, deadline));
  if (::lseek(file, 0, SEEK_SET) != 0)
    return make_error(ErrorCode::kIo, "a recording must be a regular file");
  helper.input = file;
  helper.weak = options.weak;
  helper.urgent = options.urgent;
  helper.limits.memory_bytes = kMemoryBytes;
  helper.limits.output_bytes = static_cast<std::uint64_t>((length + kMoreThanAsked).count()) *
                               kAudioRate / 1'000 * kSampleBytes;
  helper.limits.wall_time = std::min(helper.limits.wall_time, deadline.remaining_ms());
  return run_helper(helper, cancel);
}

Error not_installed(const std::filesystem::path& program, std::string_view what) {
  return make_error(ErrorCode::kFailedPrecondition,
                    fmt::format("{} is not there: {}", program.string(), what));
}

Result<HelperResult> by_library(int file, milliseconds begin, milliseconds length,
                                const AudioOptions& options, Deadline deadline,
                                const CancelToken& cancel) {
  if (::access(options.decoder.c_str(), X_OK) != 0)
    return not_installed(options.decoder, "it is built together with knap; put it back beside it");
  HelperRun helper;
  helper.program = options.decoder;
  helper.arguments = {std::to_string(begin.count()), std::to_string(length.count())};
  KNAP_TRY(HelperResult result, run(helper, file, length, deadline, options, cancel));
  if (result.exit_code == 0) return result;
  return make_error(ErrorCode::kCorruptData,
                    result.exit_code == kNotReadable
                        ? "the recording is damaged, or of a kind that is not read"
                        : "the recording made its decoder fail");
}

/// ffmpeg knows hundreds of formats, some of which name other files and addresses. It gets to read
/// this one file as this one format, and only with these decoders.
Result<HelperResult> by_ffmpeg(int file, AudioFormat format, milliseconds begin,
                               milliseconds length, const AudioOptions& options, Deadline deadline,
                               const CancelToken& cancel) {
  if (::access(options.ffmpeg.c_str(), X_OK) != 0)
    return not_installed(options.ffmpeg, "install the package ffmpeg to read M4A and WebM");
  HelperRun helper;
  helper.program = options.ffmpeg;
  // The index of an M4A file may stand at its end: it needs a file in which it can go to and fro.
  helper.readable = {fmt::format("/proc/self/fd/{}", file)};
  helper.arguments = {"-nostdin", "-hide_banner", "-loglevel", "info", "-nostats", "-threads", "1",
                      "-protocol_whitelist", "file", "-format_whitelist",
                      format == AudioFormat::kMp4 ? "mov" : "matroska,webm", "-codec_whitelist",
                      "aac,aac_latm,alac,mp3,mp3float,opus,libopus,vorbis,flac,pcm_s16le", "-f",
                      format == AudioFormat::kMp4 ? "mov" : "matroska",
                      // References in MOV files to other files stay closed.
                      "-ss", fmt::format("{:.3f}", static_cast<double>(begin.count()) / 1'000),
                      "-t", fmt::format("{:.3f}", static_cast<double>(length.count()) / 1'000),
                      "-i", "/proc/self/fd/0", "-map", "0:a:0", "-vn", "-sn", "-dn", "-ac", "1",
                      "-ar", std::to_string(kAudioRate), "-f", "s16le", "-filter_threads", "1",
                      "-threads", "1", "pipe:1"};
  KNAP_TRY(HelperResult result, run(helper, file, length, deadline, options, cancel));
  // Beyond the end there is nothing, which it calls a failure.
  if (result.exit_code == 0 || (result.exit_code > 0 && !result.output.empty())) return result;
  return make_error(ErrorCode::kCorruptData,
                    "the recording is damaged, has no sound, or is of a kind that is not read");
}

/// A whole number at the begin of `text`, which goes on behind it.
std::optional<std::int64_t> take_number(std::string_view& text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || value < 0) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

/// How long the recording says that it is: "whole_ms 75040" of knap-audio, "Duration: 00:01:15.04,"
/// of ffmpeg. Both are printed about a hostile file, so any of it may be missing or wrong.
milliseconds read_whole(std::string_view said) {
  constexpr std::string_view kOurs = "whole_ms ", kFfmpeg = "Duration: ";
  constexpr std::int64_t kLongest = 1'000LL * 3'600'000;
  std::int64_t total = 0;
  if (const auto at = said.find(kOurs); at == 0) {
    said.remove_prefix(kOurs.size());
    total = take_number(said).value_or(0);
  } else if (const auto found = said.find(kFfmpeg); found != std::string_view::npos) {
    said.remove_prefix(found + kFfmpeg.size());
    for (const std::int64_t part : {3'600'000, 60'000, 1'000}) {
      const auto value = take_number(said);
      if (!value || *value > kLongest) return {};
      total += *value * part;
      if (!said.empty()) said.remove_prefix(1);
    }
  }
  return milliseconds(total > kLongest ? 0 : total);
}

}  // namespace

std::string_view to_string(AudioFormat format) {
  switch (format) {
    case AudioFormat::kWav: return "wav";
    case AudioFormat::kMp3: return "mp3";
    case AudioFormat::kFlac: return "flac";
    case AudioFormat::kOgg: return "ogg";
    case AudioFormat::kMp4: return "m4a";
    case AudioFormat::kWebm: return "webm";
    case AudioFormat::kUnknown: break;
  }
  return "unknown";
}

AudioFormat sniff_audio(std::string_view head) {
  const bool riff = at(head, 0, 4) == "RIFF" || at(head, 0, 4) == "RF64";
  if (riff && at(head, 8, 4) == "WAVE") return AudioFormat::kWav;
  if (at(head, 0, 4) == "fLaC") return AudioFormat::kFlac;
  if (at(head, 0, 4) == "OggS") return AudioFormat::kOgg;
  if (at(head, 4, 4) == "ftyp") return AudioFormat::kMp4;
  if (at(head, 0, 4) == "\x1A\x45\xDF\xA3") return AudioFormat::kWebm;
  if (at(head, 0, 3) == "ID3" || is_mpeg_frame(head)) return AudioFormat::kMp3;
  return AudioFormat::kUnknown;
}

Result<Audio> decode_audio(int file, milliseconds begin, milliseconds length,
                           const AudioOptions& options, Deadline deadline,
                           const CancelToken& cancel) {
  if (length <= milliseconds(0) || length > kAudioPieceMax || begin < milliseconds(0))
    return make_error(
        ErrorCode::kInvalidArgument,
        fmt::format("a stretch of a recording has at most {} s", kAudioPieceMax.count()));
  std::array<char, kHeadBytes> head{};
  const ssize_t got = ::pread(file, head.data(), head.size(), 0);
  if (got < 0) return make_error(ErrorCode::kIo, "the recording cannot be read");
  if (got == 0) return make_error(ErrorCode::kCorruptData, "the recording is empty");
  const AudioFormat format =
      sniff_audio(std::string_view(head.data(), static_cast<std::size_t>(got)));
  if (format == AudioFormat::kUnknown)
    return make_error(ErrorCode::kUnsupported,
                      fmt::format("no recording that is read: it must be {}", kFormats));
  const bool foreign = format == AudioFormat::kMp4 || format == AudioFormat::kWebm;
  KNAP_TRY(const HelperResult result,
           foreign ? by_ffmpeg(file, format, begin, length, options, deadline, cancel)
                   : by_library(file, begin, length, options, deadline, cancel));
  const std::string& bytes = result.output;
  Audio audio;
  audio.whole = read_whole(result.diagnostics);
  audio.samples.resize(bytes.size() / kSampleBytes);
  std::memcpy(audio.samples.data(), bytes.data(), audio.samples.size() * kSampleBytes);
  const auto wanted = static_cast<std::size_t>(length.count()) * kAudioRate / 1'000;
  // Resampling rounds: some samples fewer are not the end.
  audio.ended = audio.samples.size() + kAudioRate / 50 < wanted;
  if (begin == milliseconds(0) && audio.samples.empty())
    return make_error(ErrorCode::kCorruptData, "the recording holds no sound");
  return audio;
}

}  // namespace knap::extract
