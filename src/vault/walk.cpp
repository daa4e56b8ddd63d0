#include "knap/vault/walk.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <set>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "knap/base/file.hpp"
#include "knap/base/text.hpp"

namespace knap::vault {
namespace {

Fingerprint fingerprint_of(const struct stat& status) {
  return {.size_bytes = static_cast<std::uint64_t>(status.st_size),
          .mtime_ns = static_cast<std::int64_t>(status.st_mtim.tv_sec) * 1'000'000'000 +
                      status.st_mtim.tv_nsec,
          .inode = static_cast<std::uint64_t>(status.st_ino)};
}

std::string_view special_kind(mode_t mode) {
  if (S_ISFIFO(mode)) return "named pipe";
  if (S_ISSOCK(mode)) return "socket";
  if (S_ISCHR(mode) || S_ISBLK(mode)) return "device";
  return "no regular file";
}

std::string error_text(int error_number) { return std::generic_category().message(error_number); }

class Walker {
 public:
  Walker(const IgnoreRules& rules, const WalkOptions& options, const CancelToken& cancel,
         const std::function<void(const WalkEntry&)>& visit)
      : rules_(rules), options_(options), cancel_(cancel), visit_(visit) {}

  Status run(const std::filesystem::path& root) {
    FileDescriptor fd(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd.valid()) return errno_error(errno, "open folder", root);
    struct stat status {};
    if (::fstat(fd.get(), &status) != 0) return errno_error(errno, "read folder", root);
    root_ = fd.get();
    folders_.insert({status.st_dev, status.st_ino});
    const int duplicate = ::dup(fd.get());
    if (duplicate < 0) return errno_error(errno, "open folder", root);
    KNAP_CHECK_OK(folder(FileDescriptor(duplicate), "", 0));
    // Linked folders come last: a folder that also stands in the vault is known by its real path.
    for (std::size_t i = 0; i < links_.size(); ++i) {
      const Linked link = links_[i];
      KNAP_CHECK_OK(linked_folder(link.path, link.depth));
    }
    return {};
  }

 private:
  struct Linked {
    std::string path;
    std::uint32_t depth = 0;
  };
  using FolderId = std::pair<dev_t, ino_t>;

  Status count() {
    if (cancel_.cancelled()) return make_error(ErrorCode::kCancelled, "the walk was stopped");
    if (++entries_ > options_.max_entries) {
      return make_error(ErrorCode::kResourceExhausted,
                        fmt::format("the vault holds more than {} entries", options_.max_entries));
    }
    return {};
  }

  void problem(const std::string& path, std::string text) {
    visit_({.path = path, .fingerprint = {}, .problem = std::move(text)});
  }

  Status linked_folder(const std::string& path, std::uint32_t depth) {
    FileDescriptor fd(::openat(root_, path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd.valid()) {
      if (errno != ENOENT) problem(path, "unreadable folder: " + error_text(errno));
      return {};
    }
    struct stat status {};
    if (::fstat(fd.get(), &status) != 0) return {};
    if (!folders_.insert({status.st_dev, status.st_ino}).second) {
      problem(path, "symbolic link loop");
      return {};
    }
    return folder(std::move(fd), path, depth);
  }

  Status folder(FileDescriptor fd, const std::string& prefix, std::uint32_t depth) {
    const int folder_fd = fd.get();
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(folder_fd), ::closedir);
    if (stream == nullptr) {
      problem(prefix, "unreadable folder: " + error_text(errno));
      return {};
    }
    fd.release();
    while (true) {
      errno = 0;
      const dirent* const entry = ::readdir(stream.get());
      if (entry == nullptr) {
        if (errno != 0 && errno != ENOENT)
          problem(prefix, "unreadable folder: " + error_text(errno));
        return {};
      }
      const std::string_view name = entry->d_name;
      if (name == "." || name == "..") continue;
      KNAP_CHECK_OK(count());
      KNAP_CHECK_OK(visit_entry(
          folder_fd, entry->d_name,
          prefix.empty() ? std::string(name) : prefix + "/" + std::string(name), depth));
    }
  }

  Status visit_entry(int folder_fd, const char* name, const std::string& path,
                     std::uint32_t depth) {
    if (name[0] == '.') return {};
    struct stat status {};
    if (::fstatat(folder_fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno != ENOENT) problem(path, "unreadable: " + error_text(errno));
      return {};
    }
    const bool link = S_ISLNK(status.st_mode);
    if (link && ::fstatat(folder_fd, name, &status, 0) != 0) {
      const int error_number = errno;
      if (!rules_.ignored(path, IgnoreRules::EntryKind::kFile)) {
        problem(path, error_number == ELOOP    ? "symbolic link loop"
                      : error_number == ENOENT ? "symbolic link to nothing"
                                               : "unreadable: " + error_text(error_number));
      }
      return {};
    }
    const bool is_folder = S_ISDIR(status.st_mode);
    if (rules_.ignored(path,
                       is_folder ? IgnoreRules::EntryKind::kFolder : IgnoreRules::EntryKind::kFile))
      return {};
    if (!text::is_valid_utf8(name)) {
      problem(path, "name is not UTF-8");
      return {};
    }
    if (!is_folder) {
      if (S_ISREG(status.st_mode)) {
        visit_({.path = path, .fingerprint = fingerprint_of(status), .problem = {}});
      } else {
        problem(path, std::string(special_kind(status.st_mode)));
      }
      return {};
    }
    if (depth + 1 > options_.max_depth) {
      problem(path, fmt::format("path deeper than {} folders", options_.max_depth));
      return {};
    }
    if (link) {
      links_.push_back({.path = path, .depth = depth + 1});
      return {};
    }
    // A real folder seen before can only have come through a link that was followed already.
    if (!folders_.insert({status.st_dev, status.st_ino}).second) return {};
    FileDescriptor fd(::openat(folder_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
    if (!fd.valid()) {
      if (errno != ENOENT && errno != ENOTDIR)
        problem(path, "unreadable folder: " + error_text(errno));
      return {};
    }
    return folder(std::move(fd), path, depth + 1);
  }

  const IgnoreRules& rules_;
  const WalkOptions& options_;
  const CancelToken& cancel_;
  const std::function<void(const WalkEntry&)>& visit_;
  int root_ = -1;
  std::uint64_t entries_ = 0;
  std::set<FolderId> folders_;
  std::vector<Linked> links_;
};

}  // namespace

Status walk(const std::filesystem::path& root, const IgnoreRules& rules, const WalkOptions& options,
            const CancelToken& cancel, const std::function<void(const WalkEntry&)>& visit) {
  return Walker(rules, options, cancel, visit).run(root);
}

std::optional<Fingerprint> fingerprint(const std::filesystem::path& file) {
  struct stat status {};
  if (::stat(file.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return std::nullopt;
  return fingerprint_of(status);
}

}  // namespace knap::vault
