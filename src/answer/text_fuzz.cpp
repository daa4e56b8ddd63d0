// Note text and model output are any bytes: splitting, cleaning, fencing and checking must stay in
// bounds.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "knap/answer/answer.hpp"
#include "knap/base/assert.hpp"
#include "prompt.hpp"
#include "sentences.hpp"
#include "statements.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace knap::answer;
  constexpr std::size_t kMaxInput = 1 << 16;
  if (size > kMaxInput) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto sentences = split_sentences(text, 1, size % 2 == 0 ? "de" : "en");
  KNAP_ASSERT(sentences.size() <= kMaxSentences);
  for (const Sentence& sentence : sentences) {
    KNAP_ASSERT(sentence.begin < sentence.end && sentence.end <= text.size());
    KNAP_ASSERT(sentence.lines.first <= sentence.lines.last);
  }
  const std::string safe = neutralise(text, 512);
  KNAP_ASSERT(safe.size() <= 512 && safe.find('\n') == std::string::npos &&
              safe.find("<|") == std::string::npos);

  StatementGate gate("en");
  for (std::size_t at = 0; at < text.size(); at += 7) {
    for (const std::string& one : gate.add(text.substr(at, 7))) {
      for (const std::uint32_t mark : read_statement(one, 3).marks)
        KNAP_ASSERT(mark >= 1 && mark <= 3);
    }
  }
  gate.finish(size % 3 == 0);
  Citation citation;
  citation.id = 1;
  citation.quote = std::string(text.substr(0, size / 2));
  const Claim claim = check_claim(text.substr(size / 2), {citation}, "en");
  KNAP_ASSERT(claim.score >= 0 && claim.score <= 1.001F);
  return 0;
}
