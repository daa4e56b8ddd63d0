#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace knap::vault {

/// The patterns of one file in gitignore's syntax: negation, anchoring, folders only, "**",
/// classes, escapes.
class IgnorePatterns {
 public:
  static constexpr std::size_t kPatternsMax = 2'000;
  static constexpr std::size_t kPatternBytesMax = 1'024;

  /// Lines that are too long, or too many, are left out; returns how many.
  std::size_t load(std::string_view text);

  /// The line of the pattern that hides this entry; 0: none. Parents are the caller's to check,
  /// from the root down.
  std::uint32_t match(std::string_view path, bool folder) const;

  /// Shell pattern against a whole text: '*' and '?' stop at '/', "**" does not. Linear in text
  /// times pattern.
  static bool glob(std::string_view pattern, std::string_view text);

 private:
  struct Pattern {
    std::string glob;
    std::uint32_t line = 0;
    bool negated = false;
    bool folders_only = false;
    bool name_only = false;  ///< No slash: matches the last part of the path.
  };
  std::vector<Pattern> patterns_;
};

}  // namespace knap::vault
