// Any bytes as notes and as query: analysis, indexing, search, phrases and snippets.
#include <cstdint>
#include <string>

#include "knap/base/assert.hpp"
#include "knap/base/text.hpp"
#include "test_notes.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace knap;
  using namespace knap::search;
  if (size < 2 || size > 4096) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  static constexpr const char* kLanguages[] = {"en", "de", "ru", "zh", "", "fr", "tr", "hi"};
  const std::string language = kLanguages[data[0] % 8];
  const std::size_t half = bytes.size() / 2;
  const std::string query(bytes.substr(0, half)), body(bytes.substr(half));
  const auto index = Index::create({.dimensions = 4});
  index->apply(testing_notes::upsert({testing_notes::note(1, query, {body, query}, language),
                                      testing_notes::note(2, body, {body + query}, "en")}));
  if ((data[0] & 8) != 0)
    index->apply(testing_notes::upsert({testing_notes::note(1, body, {query}, language)}));
  for (const Group group : {Group::kNote, Group::kPassage}) {
    Query request{.text = query, .group = group, .explain = true};
    const auto result = index->search(request, Deadline::never());
    KNAP_ASSERT(result.has_value());
    for (const Hit& hit : result->hits) KNAP_ASSERT(hit.score >= 0 && hit.score <= 1);
    const Snippet snippet = make_snippet(body, result->terms, language, data[0]);
    KNAP_ASSERT(text::is_valid_utf8(snippet.text));
    std::uint32_t last = 0;
    for (const auto& [begin, end] : snippet.highlights) {
      KNAP_ASSERT(begin >= last && end > begin);
      last = end;
    }
  }
  (void)analyse(bytes, language);
  return 0;
}
