#pragma once

#include <chrono>
#include <span>
#include <vector>

namespace knap::models::runner {

/// A stretch of time in a piece of sound.
struct Stretch {
  std::chrono::milliseconds begin{}, end{};
  bool operator==(const Stretch&) const = default;
};

/// What a speech model is given at once, and how far that goes.
struct Windows {
  std::vector<Stretch> windows;
  std::chrono::milliseconds consumed{};
};

/// Cuts a piece at its silences into windows that a model hears in one go (at most kWindowMax).
///
/// @param spoken    where somebody speaks, in order, without overlaps, within `length`
/// @param last      nothing follows: all of it is consumed. Else speech that reaches the end is
/// left
///                  for the next piece, unless nothing else is there
/// Windows have a margin of silence around them, so that no sound is cut off.
Windows make_windows(std::span<const Stretch> spoken, std::chrono::milliseconds length, bool last);

/// Whisper hears 30 s; a margin on both sides is taken off.
inline constexpr std::chrono::milliseconds kWindowMax{28'000};

/// How many positions of sound the encoder computes for so long a clip: 50 a second and a margin,
/// as a multiple of 256, at least 768 and at most 1,500. With flash attention any other value reads
/// padding that holds the clip before; below 768, clips of a second or two end in loops.
int audio_context(std::chrono::milliseconds length);

}  // namespace knap::models::runner
