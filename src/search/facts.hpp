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
  std::int64_t modified_s = 0, created_s = 0;
  bool has_open_task = false, has_done_task = false;
  std::vector<Property> properties;

  std::uint64_t bytes() const;
};

FoldedFacts fold_facts(const NoteFacts& facts);

}  // namespace knap::search
