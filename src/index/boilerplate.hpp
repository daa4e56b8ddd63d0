#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace knap::index {

/// Lines that stand in so many notes of a vault that they say nothing about any: of templates,
/// navigation, footers, query blocks. Learned by frequency, never from a list.
///
/// Lines compare by their plain text, white space aside. Only lines of kLineWordsMin words or more
/// count: shorter ones ("Python", "Done") are as likely to be what a note is about. Numbers count:
/// what differs by them alone may be a table's rows.
///
/// Threads: const, safe from any thread.
class Boilerplate {
 public:
  static constexpr std::size_t kLineWordsMin = 3;
  static constexpr std::size_t kLineBytesMin = 12;
  static constexpr std::size_t kLinesMax = 4'096;  ///< Kept; the most frequent ones.
  /// Notes to learn from, at least and at most.
  static constexpr std::size_t kNotesMin = 64, kNotesMax = 1'000;
  /// A line is boilerplate from so many notes on, and from this share of them.
  static constexpr std::uint32_t kRepeatsMin = 8;
  static constexpr double kShareMin = 0.01;

  struct Parts {
    std::string plain;  ///< Without boilerplate.
    std::string faint;  ///< The boilerplate, lines joined by '\n'.
  };
  /// Nothing when no line of the text is boilerplate. A text of nothing else comes back whole in
  /// both parts: a passage is never empty.
  std::optional<Parts> split(std::string_view plain) const;

  bool empty() const { return lines_.empty(); }
  std::size_t size() const { return lines_.size(); }

  std::string encode() const;
  /// Errors read as nothing learned: the next full reading learns again.
  static Boilerplate decode(std::string_view bytes);

  /// Counts in how many notes each line stands.
  class Learner {
   public:
    static constexpr std::size_t kDistinctMax = 1U << 20;  ///< Lines counted; later ones are not.
    /// @param texts  plain texts of the passages of one note
    void add(std::span<const std::string_view> texts);
    Boilerplate finish() const;

   private:
    struct Count {
      std::uint32_t notes = 0, last = 0;
    };
    std::unordered_map<std::uint64_t, Count> counts_;
    std::uint32_t notes_ = 0;
  };

 private:
  std::vector<std::uint64_t> lines_;  ///< Hashes, sorted.
};

}  // namespace knap::index
