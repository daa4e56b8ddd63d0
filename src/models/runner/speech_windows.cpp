#include "runner/speech_windows.hpp"

#include <algorithm>

namespace knap::models::runner {
namespace {

using std::chrono::milliseconds;

// As a model is taught with: what begins at once or is cut off at once costs the word there.
constexpr milliseconds kMargin{1'000};
constexpr milliseconds kLongSilence{2'000};  // what follows it is another window
constexpr milliseconds kEndNear{
    300};  // speech that ends so near the piece's end may go on after it
constexpr int kPositionsPerSecond = 50;
constexpr int kContextMargin = 128;
constexpr int kContextStep = 256;
constexpr int kContextMin = 768;
constexpr int kContextMax = 1'500;

/// Speech without a silence may be longer than a window: cut where it must be.
std::vector<Stretch> cut_long(std::span<const Stretch> spoken) {
  std::vector<Stretch> pieces;
  for (Stretch each : spoken) {
    while (each.end - each.begin > kWindowMax) {
      pieces.push_back({each.begin, each.begin + kWindowMax});
      each.begin += kWindowMax;
    }
    pieces.push_back(each);
  }
  return pieces;
}

}  // namespace

Windows make_windows(std::span<const Stretch> spoken, milliseconds length, bool last) {
  Windows result;
  std::vector<Stretch> pieces = cut_long(spoken);
  const bool open = !last && !pieces.empty() && pieces.back().end + kEndNear >= length;
  // What goes on in the next piece is heard there whole.
  if (open && pieces.size() > 1) {
    result.consumed = std::max(pieces.back().begin - kMargin, pieces[pieces.size() - 2].end);
    pieces.pop_back();
  } else if (open || last) {
    result.consumed = length;
  } else {
    // A first sound too short to be called speech may lie at the end.
    const milliseconds heard = pieces.empty() ? milliseconds(0) : pieces.back().end;
    result.consumed = std::max(heard, length - kEndNear);
  }
  std::vector<Stretch>& windows = result.windows;
  for (const Stretch& each : pieces) {
    const bool joins = !windows.empty() && each.begin - windows.back().end <= kLongSilence &&
                       each.end - windows.back().begin <= kWindowMax;
    if (joins) {
      windows.back().end = each.end;
    } else {
      windows.push_back(each);
    }
  }
  for (std::size_t i = 0; i < windows.size(); ++i) {
    const milliseconds before = i == 0 ? milliseconds(0) : windows[i - 1].end;
    const milliseconds after = i + 1 == windows.size() ? length : windows[i + 1].begin;
    windows[i].begin = std::max(windows[i].begin - kMargin, before);
    windows[i].end = std::min(windows[i].end + kMargin, after);
  }
  return result;
}

int audio_context(milliseconds length) {
  const auto positions = static_cast<int>(length.count() * kPositionsPerSecond / 1'000);
  const int rounded = (positions + kContextMargin + kContextStep - 1) / kContextStep * kContextStep;
  return std::clamp(rounded, kContextMin, kContextMax);
}

}  // namespace knap::models::runner
