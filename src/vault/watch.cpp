#include "knap/vault/watch.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <thread>
#include <unordered_map>
#include <unordered_set>

#include <fmt/format.h>

#include "knap/base/file.hpp"
#include "knap/base/mutex.hpp"
#include "watch_tree.hpp"

namespace knap::vault {
namespace {

std::string_view network_drive(const std::filesystem::path& root) {
  struct statfs status {};
  if (::statfs(root.c_str(), &status) != 0) return {};
  struct Known {
    long magic;
    std::string_view name;
  };
  constexpr std::array<Known, 7> kKnown = {{{0x6969, "nfs"},
                                            {0x517B, "smb"},
                                            {0xFF534D42, "cifs"},
                                            {0xFE534D42, "smb2"},
                                            {0x01021997, "9p"},
                                            {0x5346414F, "afs"},
                                            {0x00C36400, "ceph"}}};
  for (const Known& known : kKnown) {
    if (status.f_type == known.magic) return known.name;
  }
  return {};
}

/// Two threads: one empties the kernel's queue and never waits for the user, the other reports what
/// has settled.
class InotifyWatcher : public Watcher {
 public:
  InotifyWatcher(std::filesystem::path root, IgnoreRules rules, Options options,
                 std::function<void(Changes)> on_changes)
      : root_(std::move(root)),
        options_(options),
        on_changes_(std::move(on_changes)),
        tree_(root_, std::move(rules)) {}

  Status start() {
    stop_event_ = FileDescriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!stop_event_.valid()) return errno_error(errno, "create an event for", root_);
    const std::string_view drive = network_drive(root_);
    if (auto opened = tree_.open(); !opened) {
      // No inotify at all: the periodic scan still serves.
      set_mode(fmt::format("scan only: {}", opened.error().message));
    } else if (!drive.empty()) {
      set_mode(fmt::format("scan only: {} drive (changes made on this machine are seen at once)",
                           drive));
    }
    WatchTree::Found ignored;
    tree_.add_folder("", ignored);
    note_limit();
    {
      const MutexLock lock(mutex_);
      next_scan_ = SteadyClock::now() + options_.scan_interval;
    }
    reader_ = std::thread([this] { read_loop(); });
    reporter_ = std::thread([this] { report_loop(); });
    return {};
  }

  ~InotifyWatcher() override {
    {
      const MutexLock lock(mutex_);
      stopping_ = true;
      wake_.notify_all();
    }
    const std::uint64_t one = 1;
    if (stop_event_.valid() && ::write(stop_event_.get(), &one, sizeof one) < 0) {
      // The counter is full: the event is set already.
    }
    if (reader_.joinable()) reader_.join();
    if (reporter_.joinable()) reporter_.join();
  }

  std::string mode() const override {
    const MutexLock lock(mutex_);
    return mode_;
  }

 private:
  void set_mode(std::string mode) KNAP_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    mode_ = std::move(mode);
  }

  void note_limit() KNAP_EXCLUDES(mutex_) {
    if (const std::string& limit = tree_.limit(); !limit.empty()) set_mode("scan only: " + limit);
  }

  void read_loop() {
    while (true) {
      std::array<pollfd, 2> fds = {{{stop_event_.get(), POLLIN, 0}, {tree_.fd(), POLLIN, 0}}};
      const nfds_t count = tree_.fd() >= 0 ? 2 : 1;
      if (::poll(fds.data(), count, -1) < 0 && errno != EINTR) return;
      if (fds[0].revents != 0) return;
      if (count < 2 || fds[1].revents == 0) continue;
      WatchTree::Found found;
      tree_.read_events(found);
      note_limit();
      add(std::move(found));
    }
  }

  void add(WatchTree::Found found) KNAP_EXCLUDES(mutex_) {
    if (found.paths.empty() && !found.rescan) return;
    const MutexLock lock(mutex_);
    const auto now = SteadyClock::now();
    if (pending_.empty() && !rescan_) first_event_ = now;
    last_event_ = now;
    rescan_ = rescan_ || found.rescan;
    for (std::string& path : found.paths) pending_.insert(std::move(path));
    if (pending_.size() > options_.max_pending_paths) {
      pending_.clear();
      rescan_ = true;
    }
    wake_.notify_all();
  }

  void report_loop() KNAP_EXCLUDES(mutex_) {
    while (true) {
      Changes changes;
      {
        const MutexLock lock(mutex_);
        while (!stopping_ && !due()) wake_.wait_until(mutex_, Deadline::at(next_due()));
        if (stopping_) return;
        if (SteadyClock::now() >= next_scan_) rescan_ = true;
        if (rescan_) next_scan_ = SteadyClock::now() + options_.scan_interval;
        changes.rescan = rescan_;
        changes.paths.assign(pending_.begin(), pending_.end());
        pending_.clear();
        rescan_ = false;
      }
      on_changes_(std::move(changes));
    }
  }

  SteadyClock::time_point next_due() const KNAP_REQUIRES(mutex_) {
    if (pending_.empty() && !rescan_) return next_scan_;
    return std::min(
        {last_event_ + options_.settle, first_event_ + options_.settle_max, next_scan_});
  }
  bool due() const KNAP_REQUIRES(mutex_) { return SteadyClock::now() >= next_due(); }

  const std::filesystem::path root_;
  const Options options_;
  const std::function<void(Changes)> on_changes_;
  WatchTree tree_;  ///< Of the reader's thread, once that runs.
  FileDescriptor stop_event_;

  mutable Mutex mutex_;
  CondVar wake_;
  std::string mode_ KNAP_GUARDED_BY(mutex_) = "inotify";
  std::unordered_set<std::string> pending_ KNAP_GUARDED_BY(mutex_);
  bool rescan_ KNAP_GUARDED_BY(mutex_) = false;
  bool stopping_ KNAP_GUARDED_BY(mutex_) = false;
  SteadyClock::time_point first_event_ KNAP_GUARDED_BY(mutex_);
  SteadyClock::time_point last_event_ KNAP_GUARDED_BY(mutex_);
  SteadyClock::time_point next_scan_ KNAP_GUARDED_BY(mutex_);
  std::thread reader_;
  std::thread reporter_;
};

}  // namespace

Result<std::unique_ptr<Watcher>> Watcher::start(const std::filesystem::path& root,
                                                IgnoreRules rules, Options options,
                                                std::function<void(Changes)> on_changes) {
  {
    const FileDescriptor folder(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder.valid()) return errno_error(errno, "watch folder", root);
  }
  auto watcher =
      std::make_unique<InotifyWatcher>(root, std::move(rules), options, std::move(on_changes));
  KNAP_CHECK_OK(watcher->start());
  return std::unique_ptr<Watcher>(std::move(watcher));
}

}  // namespace knap::vault
