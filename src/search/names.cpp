#include "names.hpp"

#include <algorithm>

#include "knap/base/hash.hpp"
#include "knap/base/text.hpp"

namespace knap::search {
namespace {

struct Word {
  std::size_t begin, end;
  std::string folded;
};

std::vector<Word> words_of(std::string_view text) {
  std::vector<Word> words;
  for_each_token(text, [&](const Token& token) {
    if (token.kind == TokenKind::kWhole || token.kind == TokenKind::kBigram) return;
    const auto begin = static_cast<std::size_t>(token.source.data() - text.data());
    words.push_back({begin, begin + token.source.size(), text::fold(token.source)});
  });
  return words;
}

void add_named(const State& state, std::uint64_t hash, std::vector<NoteId>& out) {
  for (const SegmentView& view : state.segments) {
    const auto& names = view.segment->names;
    for (auto it = std::lower_bound(names.begin(), names.end(), std::pair{hash, 0U});
         it != names.end() && it->first == hash; ++it)
      if (view.live(it->second)) out.push_back(view.segment->ids[it->second]);
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
}

bool too_common(const Word& word) {
  return word.folded.size() < kNameLettersMin || is_stop_word(word.folded, language_of("en"));
}

}  // namespace

std::vector<NameMention> find_names(const State& state, std::string_view text) {
  std::vector<NameMention> found;
  const std::vector<Word> words = words_of(text);
  for (std::size_t first = 0; first < words.size();) {
    NameMention longest;
    std::size_t next = first + 1;
    std::string name;
    for (std::size_t last = first; last < std::min(words.size(), first + kNameWordsMax); ++last) {
      const std::size_t begin = words[first].begin, end = words[last].end;
      // A name stands in one line.
      if (text.substr(begin, end - begin).find('\n') != std::string_view::npos) break;
      name += words[last].folded + ' ';
      if (last == first && too_common(words[first])) continue;
      std::vector<NoteId> notes;
      add_named(state, hash64(name), notes);
      if (notes.empty()) continue;
      longest = {begin, end, std::move(notes)};
      next = last + 1;
    }
    if (!longest.notes.empty()) found.push_back(std::move(longest));
    first = next;
  }
  return found;
}

}  // namespace knap::search
