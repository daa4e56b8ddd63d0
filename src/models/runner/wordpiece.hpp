#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "knap/base/result.hpp"
#include "runner/tokenizer.hpp"

namespace knap::models::runner {

/// The uncased BERT tokenizer: control characters dropped, Han characters set apart, accents
/// stripped, lower case, split at white space and punctuation, then greedy longest pieces of a
/// vocabulary. Any bytes are accepted; ill-formed UTF-8 counts as U+FFFD, which the model's own
/// tokenizer drops.
class Wordpiece final : public Tokenizer {
 public:
  /// @param vocabulary  one piece a line; the line number is the id. Errors: kCorruptData (special
  /// pieces missing, too large).
  static Result<Wordpiece> parse(std::string vocabulary);
  static Result<Wordpiece> open(const std::filesystem::path& vocabulary_file);

  /// [CLS] ... [SEP]
  Tokens encode(std::string_view text, std::size_t max_tokens) const override;

  std::size_t size() const override { return size_; }
  std::int32_t pad_id() const override { return pad_; }

 private:
  class Encoder;
  Wordpiece() = default;

  // Pieces point into text_, which unique_ptr keeps in place when the tokenizer is moved.
  std::unique_ptr<const std::string> text_;
  std::unordered_map<std::string_view, std::int32_t> starts_;  ///< Pieces that begin a word.
  std::unordered_map<std::string_view, std::int32_t>
      continues_;  ///< "##" pieces, without the "##".
  std::size_t size_ = 0;
  std::size_t longest_bytes_ = 0;
  std::int32_t unknown_ = 0, begin_ = 0, end_ = 0, pad_ = 0;
};

}  // namespace knap::models::runner
