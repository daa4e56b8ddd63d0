#include "watch_tree.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <system_error>

#include <fmt/format.h>

#include "knap/base/text.hpp"

namespace knap::vault {
namespace {

// IN_MODIFY and IN_ATTRIB: programs that keep a file open, and those that set times or modes after
// the last write.
constexpr std::uint32_t kMask = IN_CLOSE_WRITE | IN_MODIFY | IN_ATTRIB | IN_CREATE | IN_DELETE |
                                IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF |
                                IN_ONLYDIR | IN_EXCL_UNLINK;
constexpr std::size_t kBufferBytes = 256U << 10;
constexpr std::size_t kReadsMax = 16;  ///< Then what was found is handed on.
constexpr std::size_t kDepthMax = 64;

}  // namespace

WatchTree::WatchTree(std::filesystem::path root, IgnoreRules rules)
    : root_(std::move(root)), rules_(std::move(rules)) {}

Status WatchTree::open() {
  fd_ = FileDescriptor(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (fd_.valid()) return {};
  const int error_number = errno;
  if (error_number == EMFILE) {
    return make_error(
        ErrorCode::kResourceExhausted,
        "the limit of inotify instances is reached; raise fs.inotify.max_user_instances");
  }
  return errno_error(error_number, "start inotify for", root_);
}

void WatchTree::add_folder(const std::string& path, Found& found) {
  if (!fd_.valid()) return;
  struct Open {
    std::string path;
    std::size_t depth;
  };
  std::vector<Open> todo = {
      {path, static_cast<std::size_t>(std::count(path.begin(), path.end(), '/'))}};
  std::vector<Open> linked;
  while (!todo.empty() || !linked.empty()) {
    // Linked folders after real ones: events then carry the real path.
    auto& from = todo.empty() ? linked : todo;
    const Open open = std::move(from.back());
    from.pop_back();
    const std::filesystem::path full = open.path.empty() ? root_ : root_ / open.path;
    const int watch = ::inotify_add_watch(fd_.get(), full.c_str(), kMask);
    if (watch < 0) {
      if (errno == ENOSPC || errno == ENOMEM) {
        if (limit_.empty()) {
          limit_ =
              "the kernel's limit of watched folders is reached; raise fs.inotify.max_user_watches";
          found.rescan = true;
        }
        return;
      }
      continue;  // Gone, or unreadable: the walk tells.
    }
    const auto [known, added] = folders_.emplace(watch, open.path);
    if (!added) {
      // The same folder by another way: a loop of links, or one that was moved and is now here.
      struct stat status {};
      const std::filesystem::path old = known->second.empty() ? root_ : root_ / known->second;
      const bool old_stands = ::stat(old.c_str(), &status) == 0 && known->second != open.path;
      if (old_stands) continue;
      known->second = open.path;
    }
    if (open.path.empty() && settings_watch_ < 0) {
      settings_watch_ = ::inotify_add_watch(fd_.get(), (root_ / ".obsidian").c_str(),
                                            IN_CLOSE_WRITE | IN_MOVED_TO | IN_ONLYDIR);
    }
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(::opendir(full.c_str()), ::closedir);
    if (stream == nullptr) continue;
    while (const dirent* const entry = ::readdir(stream.get())) {
      const std::string_view name = entry->d_name;
      if (name.starts_with('.') || !text::is_valid_utf8(name)) continue;
      const std::string child =
          open.path.empty() ? std::string(name) : open.path + "/" + std::string(name);
      bool folder = entry->d_type == DT_DIR;
      if (entry->d_type == DT_LNK || entry->d_type == DT_UNKNOWN) {
        struct stat status {};
        folder = ::fstatat(::dirfd(stream.get()), entry->d_name, &status, 0) == 0 &&
                 S_ISDIR(status.st_mode);
      }
      if (rules_.ignored(child,
                         folder ? IgnoreRules::EntryKind::kFolder : IgnoreRules::EntryKind::kFile))
        continue;
      if (!folder) {
        found.paths.push_back(child);
      } else if (open.depth < kDepthMax) {
        (entry->d_type == DT_LNK ? linked : todo).push_back({child, open.depth + 1});
      }
    }
  }
}

void WatchTree::remove_folder(const std::string& path) {
  for (auto entry = folders_.begin(); entry != folders_.end();) {
    const std::string& folder = entry->second;
    const bool below = folder == path || (folder.size() > path.size() && folder.starts_with(path) &&
                                          folder[path.size()] == '/');
    if (below) {
      ::inotify_rm_watch(fd_.get(), entry->first);
      entry = folders_.erase(entry);
    } else {
      ++entry;
    }
  }
}

void WatchTree::reload_rules(Found& found) {
  rules_ = IgnoreRules::load(root_);
  // Folders that were hidden are watched from now on; of those hidden now each event is dropped by
  // the new rules.
  Found listed;
  add_folder("", listed);
  found.rescan = true;
}

void WatchTree::event(const inotify_event& event, std::string_view name, Found& found) {
  if ((event.mask & IN_Q_OVERFLOW) != 0) {
    // Folders may have come and gone unseen.
    Found listed;
    add_folder("", listed);
    found.rescan = true;
    return;
  }
  if (event.wd == settings_watch_) {
    if (name == "app.json") reload_rules(found);
    if ((event.mask & IN_IGNORED) != 0) settings_watch_ = -1;
    return;
  }
  const auto known = folders_.find(event.wd);
  if (known == folders_.end()) return;
  const std::string folder = known->second;
  if ((event.mask & (IN_IGNORED | IN_UNMOUNT)) != 0) {
    folders_.erase(known);
    if (folder.empty()) {
      limit_ = "the vault's folder was removed or unmounted; restart when it is back";
      found.rescan = true;
    }
    return;
  }
  if ((event.mask & IN_MOVE_SELF) != 0 && folder.empty()) found.rescan = true;
  if (name.empty()) {
    if ((event.mask & IN_ATTRIB) != 0)
      found.rescan = true;  // A folder's mode: its files may be readable now.
    return;
  }
  const std::string path = folder.empty() ? std::string(name) : folder + "/" + std::string(name);
  if (folder.empty() && name == ".knapignore") {
    if ((event.mask & (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE)) != 0)
      reload_rules(found);
    return;
  }
  if (folder.empty() && name == ".obsidian" && (event.mask & (IN_CREATE | IN_MOVED_TO)) != 0) {
    settings_watch_ = ::inotify_add_watch(fd_.get(), (root_ / name).c_str(),
                                          IN_CLOSE_WRITE | IN_MOVED_TO | IN_ONLYDIR);
    reload_rules(found);
    return;
  }
  if (!text::is_valid_utf8(name)) {
    found.rescan = true;  // Only the walk reports such names.
    return;
  }
  const bool is_folder = (event.mask & IN_ISDIR) != 0;
  if (rules_.ignored(path,
                     is_folder ? IgnoreRules::EntryKind::kFolder : IgnoreRules::EntryKind::kFile))
    return;
  if (!is_folder) {
    found.paths.push_back(path);
    // A new link to a folder comes as a file.
    struct stat status {};
    if ((event.mask & (IN_CREATE | IN_MOVED_TO)) != 0 &&
        ::stat((root_ / path).c_str(), &status) == 0 && S_ISDIR(status.st_mode)) {
      add_folder(path, found);
    }
    return;
  }
  if ((event.mask & (IN_MOVED_FROM | IN_DELETE)) != 0) {
    remove_folder(path);
    // What is deleted was emptied before, file by file; what is moved away takes its files along
    // unsaid.
    if ((event.mask & IN_MOVED_FROM) != 0 || !limit_.empty()) found.rescan = true;
  }
  if ((event.mask & (IN_CREATE | IN_MOVED_TO)) != 0) add_folder(path, found);
  if ((event.mask & IN_ATTRIB) != 0) found.rescan = true;
}

void WatchTree::read_events(Found& found) {
  alignas(inotify_event) static thread_local std::array<char, kBufferBytes> buffer;
  for (std::size_t reads = 0; reads < kReadsMax; ++reads) {
    const ssize_t bytes = ::read(fd_.get(), buffer.data(), buffer.size());
    if (bytes <= 0) return;
    for (std::size_t at = 0; at + sizeof(inotify_event) <= static_cast<std::size_t>(bytes);) {
      const auto* const header = reinterpret_cast<const inotify_event*>(buffer.data() + at);
      const char* const name = buffer.data() + at + sizeof(inotify_event);
      event(*header, header->len > 0 ? std::string_view(name) : std::string_view(), found);
      at += sizeof(inotify_event) + header->len;
    }
  }
}

}  // namespace knap::vault
