#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "knap/base/result.hpp"
#include "knap/vault/walk.hpp"

namespace knap::vault {

/// Changes since the last call, settled for a short while so that an atomic save or a rename is one
/// change.
struct Changes {
  std::vector<std::string>
      paths;            ///< Relative paths of files that appeared, changed or vanished; no doubles.
  bool rescan = false;  ///< Events were lost or a folder moved: only a walk tells. Then paths may
                        ///< be incomplete.
};

/// Watches a vault with inotify, new folders included. Where inotify cannot serve (network drives,
/// the kernel's limit of watches) it says so once and asks for a rescan at every scan_interval.
///
/// Threads: on_changes is called from one thread of the watcher's own, never concurrently.
/// Destruction stops and joins.
class Watcher {
 public:
  struct Options {
    std::chrono::milliseconds settle{60};  ///< Quiet time before changes are reported.
    std::chrono::milliseconds settle_max{
        400};  ///< Reported at the latest after this, under a steady stream of changes.
    std::chrono::seconds scan_interval{
        300};  ///< A rescan is asked for at least this often, whatever inotify says.
    std::size_t max_pending_paths = 100'000;  ///< More: rescan instead.
  };
  /// Errors: kNotFound, kPermissionDenied (root); kIo.
  static Result<std::unique_ptr<Watcher>> start(const std::filesystem::path& root,
                                                IgnoreRules rules, Options options,
                                                std::function<void(Changes)> on_changes);
  virtual ~Watcher() = default;

  /// "inotify", or "scan only: REASON".
  virtual std::string mode() const = 0;
};

}  // namespace knap::vault
