#pragma once

#include <filesystem>
#include <string>
#include <unordered_map>
#include <vector>

#include "knap/base/file.hpp"
#include "knap/base/result.hpp"
#include "knap/vault/walk.hpp"

struct inotify_event;

namespace knap::vault {

/// The inotify watches of a vault's folders, one each, and what their events mean.
///
/// Threads: used by one at a time.
class WatchTree {
 public:
  struct Found {
    std::vector<std::string> paths;
    bool rescan = false;
  };

  WatchTree(std::filesystem::path root, IgnoreRules rules);

  /// Errors: kIo, kResourceExhausted (the user's limit of inotify instances).
  Status open();
  int fd() const { return fd_.get(); }

  /// Watches a folder and all below. Each is listed after its watch stands, so that what appears
  /// meanwhile is in `found` or in a later event, never lost.
  void add_folder(const std::string& path, Found& found);

  /// Reads what the kernel has queued, a bounded amount at a time.
  void read_events(Found& found);

  /// Why some folders cannot be watched; empty: all are.
  const std::string& limit() const { return limit_; }

 private:
  void event(const inotify_event& event, std::string_view name, Found& found);
  void remove_folder(const std::string& path);
  void reload_rules(Found& found);

  const std::filesystem::path root_;
  IgnoreRules rules_;
  FileDescriptor fd_;
  std::unordered_map<int, std::string> folders_;  ///< Watch -> path; the root is "".
  int settings_watch_ = -1;  ///< Of .obsidian, for the excluded files in app.json.
  std::string limit_;
};

}  // namespace knap::vault
