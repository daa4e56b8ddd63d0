#pragma once

#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "knap/base/deadline.hpp"
#include "knap/base/result.hpp"
#include "knap/search/index.hpp"

namespace knap::search {

/// Two notes and the share of their shingles that both have (Jaccard index), 0-1.
struct SimilarPair {
  NoteId first{}, second{};  ///< first was added before second.
  float similarity = 0;
};

/// Finds notes whose texts are nearly the same, by the runs of four words (shingles) that they
/// share. Of each text the 256 shingles with the smallest hashes are kept: exact for texts of up to
/// that many shingles, else an estimate with a standard error below 0.032. Source: Broder, On the
/// resemblance and containment of documents, 1997; bottom-k sketches: Cohen and Kaplan, 2007.
///
/// Memory: at most 2 KB a note. Threads: one at a time.
class DuplicateFinder {
 public:
  /// Words below which a text says too little to be called alike.
  static constexpr std::size_t kWordsMin = 12;

  /// Takes in the text of a note; call again for its further parts, then finish().
  void add(std::string_view text);
  /// Ends the note. Notes of less than kWordsMin words are left out.
  void finish(NoteId note);

  std::size_t notes() const { return sketches_.size(); }

  /// The pairs of at least this similarity, the most similar first, at most `limit`. Each note is
  /// compared with at most a few hundred others that share a rare run of words with it.
  /// @param threshold  0.3-1; below it pairs would be missed
  /// Errors: kDeadlineExceeded, kCancelled.
  Result<std::vector<SimilarPair>> pairs(float threshold, std::size_t limit, Deadline deadline,
                                         const CancelToken& cancel) const;

 private:
  struct Sketch {
    NoteId note{};
    std::vector<std::uint64_t> smallest;  ///< Hashes of shingles, rising, each once.
  };
  static float similarity(const Sketch& a, const Sketch& b);

  std::vector<Sketch> sketches_;
  std::vector<std::uint64_t> hashes_;  ///< Of the note being taken in.
  std::uint64_t words_[4] = {};        ///< Hashes of its last words.
  std::size_t count_ = 0;              ///< Of its words.
};

}  // namespace knap::search
