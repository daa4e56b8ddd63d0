#pragma once

#include <chrono>
#include <span>
#include <vector>

#include "knap/models/speech.hpp"
#include "runner/speech_windows.hpp"

namespace knap::models::runner {

/// Gives words times by themselves, for what a model hears without telling times: they follow each
/// other at an even pace by their letters while somebody speaks.
///
/// @param spoken  where somebody speaks, in order, without overlaps; none: words stay as they are
/// Cost: linear. Threads: pure.
void spread_words(std::span<SpeechWord> words, std::span<const Stretch> spoken);

/// A segment cut after each sentence, by its words, which must have times. Without words, or with
/// text that its words do not make up, it stays one.
std::vector<SpeechSegment> cut_sentences(SpeechSegment segment);

}  // namespace knap::models::runner
