#pragma once

#include <array>
#include <filesystem>
#include <memory>
#include <string>

#include "catalogue.hpp"
#include "knap/base/mutex.hpp"
#include "knap/base/result.hpp"

namespace knap::models {

/// The catalogue as its files say now: imports and the user's entries may change while a server
/// runs. Threads: safe. Cost of current(): two file status calls.
class LiveCatalogue {
 public:
  /// Errors: as Catalogue::open().
  static Result<std::unique_ptr<LiveCatalogue>> open(std::filesystem::path user_file,
                                                     std::filesystem::path models_dir);
  /// Reads again when a file has changed. One that is wrong now is logged, and what was right
  /// before stays.
  std::shared_ptr<const Catalogue> current() KNAP_EXCLUDES(mutex_);

 private:
  LiveCatalogue(std::filesystem::path user_file, std::filesystem::path models_dir)
      : user_file_(std::move(user_file)), models_dir_(std::move(models_dir)) {}
  std::string stamp() const;

  const std::filesystem::path user_file_, models_dir_;
  Mutex mutex_;
  std::string stamp_ KNAP_GUARDED_BY(mutex_);
  std::shared_ptr<const Catalogue> catalogue_ KNAP_GUARDED_BY(mutex_);
};

}  // namespace knap::models
