#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "knap/base/deadline.hpp"
#include "knap/base/result.hpp"
#include "knap/extract/sandbox.hpp"

namespace knap::extract {

inline constexpr std::uint32_t kAudioRate = 16'000;  ///< Of what comes out, samples a second.

/// Formats that are told apart by their first bytes. What a file is called does not matter.
enum class AudioFormat { kUnknown, kWav, kMp3, kFlac, kOgg, kMp4, kWebm };
std::string_view to_string(AudioFormat format);  ///< "wav", "mp3", ...

/// @param head  at least the first 64 bytes of a file, or all of a shorter one
AudioFormat sniff_audio(std::string_view head);

/// A stretch of a recording, mono, 16 bits, kAudioRate.
struct Audio {
  std::vector<std::int16_t> samples;
  bool ended = false;  ///< Nothing comes after it.
  /// Of the whole recording, as the file says, which may be wrong; 0: it does not say.
  std::chrono::milliseconds whole{};
};

struct AudioOptions {
  WeakSandbox weak = WeakSandbox::kRefuse;
  /// Reads WAV, MP3, FLAC and Ogg: the program knap-audio, which lies beside knap.
  std::filesystem::path decoder;
  std::filesystem::path ffmpeg = "/usr/bin/ffmpeg";  ///< Reads M4A and WebM.
  bool urgent = false;                               ///< Somebody waits for it.
};

/// The longest stretch that is read at once.
inline constexpr std::chrono::seconds kAudioPieceMax{600};

/// Decodes a stretch of a recording. All that reads its bytes runs in the sandbox: a small program
/// over libsndfile, or ffmpeg for the formats that only it knows, held to the formats and protocols
/// named in audio.cpp. Playlists and lists of files are refused before it starts.
///
/// @param file    open for reading only, a regular file; stays the caller's
/// @param begin   where the stretch begins
/// @param length  at most kAudioPieceMax; less comes back at the end
/// Errors, final for these bytes: kUnsupported (no format that is read: says which are),
/// kCorruptData (no sound can be read from it). Others, which may pass: kFailedPrecondition (a
/// helper is not installed, or the kernel cannot contain it), kResourceExhausted,
/// kDeadlineExceeded, kCancelled, kIo, kInvalidArgument (length).
/// Cost: a few milliseconds to start and about 3 a minute of sound; ffmpeg about 80 to start.
/// Threads: safe from any thread. Blocks.
Result<Audio> decode_audio(int file, std::chrono::milliseconds begin,
                           std::chrono::milliseconds length, const AudioOptions& options,
                           Deadline deadline, const CancelToken& cancel);

}  // namespace knap::extract
