#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "knap/base/mutex.hpp"
#include "knap/store/store.hpp"
#include "knap/vault/links.hpp"
#include "knap/vault/note.hpp"

namespace knap::index {

/// The links of one vault in memory. Links are kept as written and resolved when asked, for what a
/// link means changes when files come and go; which notes such a change may touch is known by the
/// last part of the link's path. Threads: all methods are safe from any thread.
class LinkGraph {
 public:
  struct Edge {
    std::string target;  ///< As written.
    std::uint32_t line = 1;
  };
  struct Backlink {
    store::FileId from{};
    std::uint32_t line = 1;
  };
  struct NoteRef {
    store::FileId id{};
    std::string path, title;
  };

  /// Makes a file known to links, before it is read.
  void add_file(store::FileId id, std::string_view path) KNAP_EXCLUDES(mutex_);
  void set_note(store::FileId id, std::string_view path, std::string_view title,
                const std::vector<std::string>& aliases, const std::vector<vault::Link>& links)
      KNAP_EXCLUDES(mutex_);
  void remove(store::FileId id) KNAP_EXCLUDES(mutex_);

  struct Published {
    std::vector<std::string> paths;  ///< That the note links to, each once, in order of first use.
    std::uint64_t fingerprint = 0;   ///< Of the paths.
  };
  /// What the note links to, remembered as what the index was told.
  Published publish_links(store::FileId id) KNAP_EXCLUDES(mutex_);
  /// The index was told so in an earlier run: the next take_changed() compares it with what the
  /// links mean now.
  void set_published(store::FileId id, std::uint64_t fingerprint) KNAP_EXCLUDES(mutex_);
  /// Notes whose links mean something else than what the index was told; forgets which names have
  /// changed.
  std::vector<store::FileId> take_changed() KNAP_EXCLUDES(mutex_);

  std::optional<std::string> resolve(std::string_view target, std::string_view from) const
      KNAP_EXCLUDES(mutex_);
  std::vector<std::string> links_of(store::FileId id) const KNAP_EXCLUDES(mutex_);
  std::vector<Backlink> backlinks(store::FileId id, std::size_t limit) const KNAP_EXCLUDES(mutex_);
  std::optional<NoteRef> note(store::FileId id) const KNAP_EXCLUDES(mutex_);
  std::optional<NoteRef> note(std::string_view path) const KNAP_EXCLUDES(mutex_);

 private:
  struct Node {
    std::string path, title;
    std::vector<std::string> aliases;
    std::vector<Edge> edges;
    std::uint64_t published = 0;  ///< Hash of the paths last published.
  };
  std::vector<std::string> resolved(const Node& node) const KNAP_REQUIRES(mutex_);
  void note_change(std::string_view name) KNAP_REQUIRES(mutex_);
  void drop_edges(store::FileId id, const Node& node) KNAP_REQUIRES(mutex_);

  mutable Mutex mutex_;
  vault::LinkResolver resolver_ KNAP_GUARDED_BY(mutex_);
  std::unordered_map<store::FileId, Node> nodes_ KNAP_GUARDED_BY(mutex_);
  std::unordered_map<std::string, store::FileId> by_path_ KNAP_GUARDED_BY(mutex_);
  /// Last part of a link's path, folded -> notes with such a link.
  std::unordered_map<std::string, std::unordered_set<store::FileId>> linking_
      KNAP_GUARDED_BY(mutex_);
  std::unordered_set<std::string> changed_keys_ KNAP_GUARDED_BY(mutex_);
  std::vector<store::FileId> unchecked_ KNAP_GUARDED_BY(mutex_);  ///< Published in an earlier run.
};

}  // namespace knap::index
