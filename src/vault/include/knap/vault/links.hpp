#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace knap::vault {

/// Resolves link paths among a vault's files as Obsidian does: path relative to the linking note
/// ("./", "../"), exact path, then the file name anywhere (case-insensitive); among several the
/// linking note's folder first, then the shortest path; then aliases. Extension .md may be left
/// out.
///
/// Threads: const methods are safe together; add and remove need exclusive access.
class LinkResolver {
 public:
  /// Adding a path again replaces its aliases.
  void add(std::string_view path, const std::vector<std::string>& aliases);
  void remove(std::string_view path);

  /// The path of the linked file; nothing when unresolved. An empty target is the linking note
  /// itself.
  std::optional<std::string> resolve(std::string_view target, std::string_view from_path) const;

 private:
  struct Entry {
    std::string path;
    std::vector<std::string> aliases;  ///< Folded.
  };
  using Keys = std::unordered_map<std::string, std::vector<std::string>>;

  const std::string* path_of(const std::string& key, std::string_view exact) const;
  std::optional<std::string> best_of(const std::vector<std::string>& keys, std::string_view suffix,
                                     std::string_view from_folder) const;

  std::unordered_map<std::string, std::vector<Entry>>
      by_path_;    ///< Folded path -> files; several differ in case only.
  Keys by_name_;   ///< Folded file name -> folded paths.
  Keys by_alias_;  ///< Folded alias -> folded paths.
};

}  // namespace knap::vault
