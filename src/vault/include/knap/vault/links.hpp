#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace knap::vault {

/// Resolves link paths among a vault's files as Obsidian does: exact path, path relative to the
/// linking note ("./", "../"), then the file name anywhere (case-insensitive); among several the
/// shortest path wins, the linking note's folder first; then aliases. Extension .md may be left
/// out.
///
/// Threads: const methods are safe together; add and remove need exclusive access.
class LinkResolver {
 public:
  void add(std::string_view path, const std::vector<std::string>& aliases);
  void remove(std::string_view path);

  /// The path of the linked file; nothing when unresolved. An empty target is the linking note
  /// itself.
  std::optional<std::string> resolve(std::string_view target, std::string_view from_path) const;

 private:
  struct Entry {
    std::string path;
    std::vector<std::string> aliases;
  };
  std::unordered_map<std::string, Entry> by_path_;  ///< folded path -> entry
  std::unordered_map<std::string, std::vector<std::string>>
      by_name_;  ///< folded file name -> folded paths
  std::unordered_map<std::string, std::vector<std::string>>
      by_alias_;  ///< folded alias -> folded paths
};

}  // namespace knap::vault
