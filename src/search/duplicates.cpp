#include "knap/search/duplicates.hpp"

#include <algorithm>

#include "knap/base/hash.hpp"
#include "knap/base/text.hpp"

namespace knap::search {
namespace {

constexpr std::size_t kSketch = 256;
/// Hashes of a long note before they are thinned out to the smallest.
constexpr std::size_t kHashesMax = 1U << 16;
/// Two sketches are compared when they share one of their smallest hashes. Two texts that share 30
/// % of their shingles miss each other with a chance of 0.7^24, 2 in 10,000.
constexpr std::size_t kKeys = 24;
/// A hash that more notes have (a template's line) brings each note together with the first of them
/// only.
constexpr std::size_t kBucketMax = 64;
/// Others that one note is compared with.
constexpr std::size_t kComparedMax = 512;
constexpr std::uint32_t kLookUpEvery = 64;  // notes between two looks at the clock

std::uint64_t mix(std::uint64_t value) {
  value ^= value >> 31;
  value *= 0x9E3779B97F4A7C15ULL;
  return value ^ (value >> 29);
}

/// The most similar first; of equal ones those of older notes.
void keep_best(std::vector<SimilarPair>& pairs, std::size_t limit) {
  std::sort(pairs.begin(), pairs.end(), [](const SimilarPair& a, const SimilarPair& b) {
    if (a.similarity != b.similarity) return a.similarity > b.similarity;
    return std::pair(a.first, a.second) < std::pair(b.first, b.second);
  });
  if (pairs.size() > limit) pairs.resize(limit);
}

void keep_smallest(std::vector<std::uint64_t>& hashes) {
  std::sort(hashes.begin(), hashes.end());
  hashes.erase(std::unique(hashes.begin(), hashes.end()), hashes.end());
  if (hashes.size() > kSketch) hashes.resize(kSketch);
}

}  // namespace

void DuplicateFinder::add(std::string_view text) {
  const std::string folded = text::fold_case(text);
  const auto take = [this](std::string_view word) {
    words_[count_ % 4] = hash64(word);
    if (++count_ < 4) return;
    std::uint64_t shingle = 0;
    for (std::size_t i = 0; i < 4; ++i) shingle = mix(shingle + words_[(count_ + i) % 4]);
    hashes_.push_back(shingle);
    if (hashes_.size() >= kHashesMax) keep_smallest(hashes_);
  };
  std::size_t begin = 0;
  for (std::size_t at = 0; at < folded.size();) {
    const std::size_t here = at;
    const char32_t c = text::decode(folded, at);
    if (text::is_alphanumeric(c) && !text::is_cjk(c)) continue;
    if (here > begin) take(std::string_view(folded).substr(begin, here - begin));
    if (text::is_cjk(c)) take(std::string_view(folded).substr(here, at - here));
    begin = at;
  }
  if (begin < folded.size()) take(std::string_view(folded).substr(begin));
}

void DuplicateFinder::finish(NoteId note) {
  if (count_ >= kWordsMin) {
    keep_smallest(hashes_);
    sketches_.push_back({note, {hashes_.begin(), hashes_.end()}});
  }
  hashes_.clear();
  count_ = 0;
}

float DuplicateFinder::similarity(const Sketch& a, const Sketch& b) {
  // Walks the smallest kSketch hashes of both together: the share that both have estimates that of
  // all.
  std::size_t i = 0, j = 0, seen = 0, shared = 0;
  while (seen < kSketch && i < a.smallest.size() && j < b.smallest.size()) {
    const std::uint64_t x = a.smallest[i], y = b.smallest[j];
    shared += static_cast<std::size_t>(x == y);
    i += static_cast<std::size_t>(x <= y);
    j += static_cast<std::size_t>(y <= x);
    ++seen;
  }
  const bool whole = a.smallest.size() < kSketch && b.smallest.size() < kSketch;
  const std::size_t rest = (a.smallest.size() - i) + (b.smallest.size() - j);
  if (whole) {
    seen += rest;
  } else {
    seen = std::min(kSketch, seen + rest);
  }
  return seen == 0 ? 0 : static_cast<float>(shared) / static_cast<float>(seen);
}

Result<std::vector<SimilarPair>> DuplicateFinder::pairs(float threshold, std::size_t limit,
                                                        Deadline deadline,
                                                        const CancelToken& cancel) const {
  std::unordered_map<std::uint64_t, std::vector<std::uint32_t>> buckets;
  std::vector<SimilarPair> out;
  std::vector<std::uint32_t> met;
  for (std::uint32_t n = 0; n < sketches_.size(); ++n) {
    if (n % kLookUpEvery == 0) KNAP_CHECK_OK(still_wanted(cancel, deadline));
    const Sketch& sketch = sketches_[n];
    met.clear();
    for (std::size_t k = 0; k < std::min(kKeys, sketch.smallest.size()); ++k) {
      auto& bucket = buckets[sketch.smallest[k]];
      met.insert(met.end(), bucket.begin(), bucket.end());
      if (bucket.size() < kBucketMax) bucket.push_back(n);
    }
    std::sort(met.begin(), met.end());
    met.erase(std::unique(met.begin(), met.end()), met.end());
    if (met.size() > kComparedMax) met.resize(kComparedMax);
    for (const std::uint32_t other : met) {
      const float value = similarity(sketches_[other], sketch);
      if (value >= threshold) out.push_back({sketches_[other].note, sketch.note, value});
    }
    if (out.size() > 2 * limit + kComparedMax) keep_best(out, limit);
  }
  keep_best(out, limit);
  return out;
}

}  // namespace knap::search
