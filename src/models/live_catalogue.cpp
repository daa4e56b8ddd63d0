#include "live_catalogue.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include "knap/observe/log.hpp"

namespace knap::models {

std::string LiveCatalogue::stamp() const {
  std::string text;
  for (const auto& file : {imported_catalogue(models_dir_), user_file_}) {
    struct stat status {};
    if (file.empty() || ::stat(file.c_str(), &status) != 0) {
      text += "none;";
      continue;
    }
    text += fmt::format("{} {} {}.{:09};", status.st_ino, status.st_size, status.st_mtim.tv_sec,
                        status.st_mtim.tv_nsec);
  }
  return text;
}

Result<std::unique_ptr<LiveCatalogue>> LiveCatalogue::open(std::filesystem::path user_file,
                                                           std::filesystem::path models_dir) {
  std::unique_ptr<LiveCatalogue> live(
      new LiveCatalogue(std::move(user_file), std::move(models_dir)));
  std::string stamp = live->stamp();
  KNAP_TRY(Catalogue catalogue, Catalogue::open(live->user_file_, live->models_dir_));
  MutexLock lock(live->mutex_);
  live->stamp_ = std::move(stamp);
  live->catalogue_ = std::make_shared<const Catalogue>(std::move(catalogue));
  return live;
}

std::shared_ptr<const Catalogue> LiveCatalogue::current() {
  std::string now = stamp();
  MutexLock lock(mutex_);
  if (now == stamp_) return catalogue_;
  auto read = Catalogue::open(user_file_, models_dir_);
  // Kept also when it is wrong, so that it is read and logged once.
  stamp_ = std::move(now);
  if (read) {
    catalogue_ = std::make_shared<const Catalogue>(*std::move(read));
  } else {
    observe::log_warning("catalogue_wrong", read.error().message + "; the one before stays");
  }
  return catalogue_;
}

}  // namespace knap::models
