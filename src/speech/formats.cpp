#include <fmt/format.h>

#include "knap/speech/speech.hpp"

namespace knap::speech {
namespace {

using models::SpeechSegment;
using std::chrono::milliseconds;

// A pause so long between two segments is a paragraph's end.
constexpr milliseconds kParagraphPause{2'000};
// Of a paragraph that is looked for and cited: a hundred words or so, and near to what is cited.
constexpr milliseconds kParagraphMin{10'000};
constexpr milliseconds kLongPause{5'000};  // divides even what is shorter
constexpr milliseconds kParagraphGoal{30'000};
constexpr milliseconds kParagraphMax{60'000};

std::string stamp(milliseconds time, char point) {
  const auto total = time.count();
  return fmt::format("{:02}:{:02}:{:02}{}{:03}", total / 3'600'000, total / 60'000 % 60,
                     total / 1'000 % 60, point, total % 1'000);
}

/// Subtitles end at an empty line, and an arrow would be read as times.
std::string cue_text(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const bool arrow = c == '>' && out.ends_with("--");
    if (arrow) out.resize(out.size() - 2);
    if (arrow) {
      out += "→";
    } else {
      out += c == '\n' || c == '\r' ? ' ' : c;
    }
  }
  return out;
}

bool ends_sentence(std::string_view text) {
  constexpr std::string_view kFullStop = "\xE3\x80\x82";  // of Chinese and Japanese
  return text.ends_with('.') || text.ends_with('!') || text.ends_with('?') ||
         text.ends_with(kFullStop);
}

}  // namespace

std::vector<Paragraph> to_paragraphs(const std::vector<SpeechSegment>& segments) {
  std::vector<Paragraph> out;
  milliseconds end{};
  for (const SpeechSegment& segment : segments) {
    bool begins = out.empty();
    if (!begins) {
      const milliseconds length = end - out.back().begin;
      const milliseconds pause = segment.begin - end;
      begins = pause >= kLongPause || (length >= kParagraphMin && pause >= kParagraphPause) ||
               (length >= kParagraphGoal && ends_sentence(out.back().text)) ||
               segment.end - out.back().begin > kParagraphMax;
    }
    if (begins) {
      out.push_back({segment.begin, segment.text});
    } else {
      out.back().text += ' ' + segment.text;
    }
    end = segment.end;
  }
  return out;
}

std::string to_text(const std::vector<SpeechSegment>& segments) {
  std::string out;
  milliseconds end{};
  for (const SpeechSegment& segment : segments) {
    if (!out.empty()) out += segment.begin - end >= kParagraphPause ? "\n\n" : " ";
    out += segment.text;
    end = segment.end;
  }
  return out;
}

std::string to_srt(const std::vector<SpeechSegment>& segments) {
  std::string out;
  std::size_t number = 0;
  for (const SpeechSegment& segment : segments)
    out += fmt::format("{}\n{} --> {}\n{}\n\n", ++number, stamp(segment.begin, ','),
                       stamp(segment.end, ','), cue_text(segment.text));
  return out;
}

std::string to_vtt(const std::vector<SpeechSegment>& segments) {
  std::string out = "WEBVTT\n\n";
  for (const SpeechSegment& segment : segments)
    out += fmt::format("{} --> {}\n{}\n\n", stamp(segment.begin, '.'), stamp(segment.end, '.'),
                       cue_text(segment.text));
  return out;
}

std::string clock_time(milliseconds time) {
  const auto seconds = time.count() / 1'000;
  if (seconds >= 3'600)
    return fmt::format("{}:{:02}:{:02}", seconds / 3'600, seconds / 60 % 60, seconds % 60);
  return fmt::format("{}:{:02}", seconds / 60, seconds % 60);
}

}  // namespace knap::speech
