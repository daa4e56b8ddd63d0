#include "runner/speech_times.hpp"

#include <algorithm>
#include <string_view>

namespace knap::models::runner {
namespace {

using std::chrono::milliseconds;

/// Where in the speech its share `part` (0-1) is reached. At the edge between two stretches: the
/// end of the first, or the begin of the second.
enum class Edge { kEnd, kBegin };
milliseconds time_at(double part, std::span<const Stretch> spoken, milliseconds all, Edge edge) {
  auto left = milliseconds(static_cast<std::int64_t>(part * static_cast<double>(all.count())));
  for (const Stretch& each : spoken) {
    const milliseconds length = each.end - each.begin;
    if (left < length || (left == length && edge == Edge::kEnd)) return each.begin + left;
    left -= length;
  }
  return spoken.back().end;
}

bool ends_sentence(std::string_view word) {
  while (word.ends_with('"') || word.ends_with('\'') || word.ends_with(')')) word.remove_suffix(1);
  return word.ends_with('.') || word.ends_with('!') || word.ends_with('?');
}

}  // namespace

void spread_words(std::span<SpeechWord> words, std::span<const Stretch> spoken) {
  if (spoken.empty()) return;
  milliseconds all{};
  for (const Stretch& each : spoken) all += each.end - each.begin;
  std::size_t letters = 0;
  for (const SpeechWord& word : words) letters += word.text.size() + 1;
  std::size_t before = 0;
  for (SpeechWord& word : words) {
    const auto share = [&](std::size_t count) {
      return static_cast<double>(count) / static_cast<double>(letters);
    };
    word.begin = time_at(share(before), spoken, all, Edge::kBegin);
    before += word.text.size() + 1;
    word.end = std::max(word.begin, time_at(share(before), spoken, all, Edge::kEnd));
  }
}

std::vector<SpeechSegment> cut_sentences(SpeechSegment segment) {
  std::vector<SpeechSegment> sentences;
  std::string joined;
  for (const SpeechWord& word : segment.words) {
    const bool begins = sentences.empty() || ends_sentence(sentences.back().words.back().text);
    if (begins) {
      SpeechSegment next;
      next.begin = word.begin;
      next.average_logprob = segment.average_logprob;
      next.no_speech = segment.no_speech;
      sentences.push_back(std::move(next));
    }
    SpeechSegment& sentence = sentences.back();
    if (!sentence.text.empty()) sentence.text += ' ';
    sentence.text += word.text;
    sentence.end = word.end;
    sentence.words.push_back(word);
    if (!joined.empty()) joined += ' ';
    joined += word.text;
  }
  if (joined == segment.text && !sentences.empty()) return sentences;
  return {std::move(segment)};
}

}  // namespace knap::models::runner
