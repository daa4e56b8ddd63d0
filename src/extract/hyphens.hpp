#pragma once

#include <string>
#include <string_view>
#include <unordered_set>

namespace knap::extract {

/// Puts the lines of a paragraph together again, with the hyphens of divided words removed and
/// those of compounds kept. Which is which, the document's own words tell: a word that it writes
/// elsewhere in one piece was divided; one whose two parts stand alone elsewhere is a compound.
class Hyphens {
 public:
  /// Takes in the words of a line, but for the last one when it ends with a hyphen.
  void learn(std::string_view line);

  /// Appends `line` to `paragraph`.
  void join(std::string& paragraph, std::string_view line) const;

 private:
  bool divided(std::string_view before, std::string_view after) const;

  std::unordered_set<std::string> words_;  ///< Case-folded; with and without inner hyphens.
};

}  // namespace knap::extract
