#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "knap/base/result.hpp"

namespace knap::search {

/// What filters can ask about a note. Strings as written; matching folds case.
struct NoteFacts {
  std::string path;  ///< Relative, '/'-separated.
  std::string name;  ///< File name without extension.
  std::string title;
  std::string type;  ///< "md", "canvas", "pdf", ...
  std::string language;
  std::vector<std::string> tags;  ///< Without '#'.
  std::vector<std::string> headings;
  std::vector<std::string> links_to;  ///< Resolved paths.
  std::int64_t modified_s = 0;        ///< Unix time.
  std::int64_t created_s = 0;         ///< 0: unknown.
  bool has_open_task = false;
  bool has_done_task = false;
  struct Property {
    std::string name;
    std::vector<std::variant<std::monostate, bool, double, std::string>>
        values;  ///< Dates as ISO text.
  };
  std::vector<Property> properties;
};

/// A mistake in a filter, and where: byte offset and 1-based character of the filter text.
struct FilterError {
  std::string message;
  std::size_t offset = 0;
  std::size_t character = 1;
};

/// A parsed filter: terms side by side are AND; OR, -term, parentheses, quotes (api.md names the
/// terms). Immutable, cheap to copy, safe from any thread.
class Filter {
 public:
  /// An empty text matches everything. Relative dates count from now_s (Unix time, UTC).
  static tl::expected<Filter, FilterError> parse(std::string_view text, std::int64_t now_s);
  /// One note alone: linked-from: and near: need all notes' links and match nothing here.
  /// Index::search knows them.
  bool matches(const NoteFacts& facts) const;
  std::string canonical() const;  ///< Equal filters give equal texts: for cache keys.

  struct Node;
  const Node& root() const { return *root_; }

 private:
  explicit Filter(std::shared_ptr<const Node> root) : root_(std::move(root)) {}
  std::shared_ptr<const Node> root_;
};

}  // namespace knap::search
