#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "knap/search/filter.hpp"

namespace knap::search {

/// NoteFacts as filters compare them: folded once when a note is indexed, not at each query.
struct FoldedFacts {
  struct Property {
    std::string name;
    std::vector<std::variant<std::monostate, bool, double, std::string>> values;
  };
  std::string path, name, title, type, language;
  std::vector<std::string> tags, headings, links_to;
  std::uint64_t path_hash = 0;  ///< Of the folded path, and of those linked to, in the
  std::vector<std::uint64_t>
      link_hashes;  ///< order of links_to: by these the link graph is walked.
  std::int64_t modified_s = 0, created_s = 0;
  bool has_open_task = false, has_done_task = false;
  std::vector<Property> properties;

  std::uint64_t bytes() const;
};

FoldedFacts fold_facts(const NoteFacts& facts);
/// Fills path_hash and link_hashes.
void hash_links(FoldedFacts& facts);

}  // namespace knap::search
