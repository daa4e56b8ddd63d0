#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace knap::models::runner {

/// Text to the token ids of a model. Any bytes are accepted. Threads: const and safe.
class Tokenizer {
 public:
  struct Tokens {
    std::vector<std::int32_t> ids;  ///< Begin ... end.
    bool cut = false;               ///< The text was longer than the window.
  };

  virtual ~Tokenizer() = default;

  /// At most max_tokens ids, the two special ones included; stops reading the text there.
  /// @pre max_tokens >= 2
  virtual Tokens encode(std::string_view text, std::size_t max_tokens) const = 0;

  virtual std::size_t size() const = 0;  ///< Ids are below this.
  virtual std::int32_t pad_id() const = 0;
};

}  // namespace knap::models::runner
