#include "snapshot_keeper.hpp"

#include <algorithm>

#include <pthread.h>

#include "knap/base/file.hpp"
#include "knap/observe/log.hpp"
#include "load.hpp"

namespace knap::index {
namespace {

constexpr auto kLookEvery = std::chrono::seconds(5);
/// A vault that never comes to rest is saved all the same.
constexpr auto kUnsavedMax = std::chrono::minutes(5);
/// Saving takes at most one part in so many of the time, and at most one write a minute.
constexpr int kShareOfTime = 100;
constexpr auto kPauseMin = std::chrono::minutes(1);

}  // namespace

SnapshotKeeper::SnapshotKeeper(std::filesystem::path folder, store::Store& store,
                               const Vaults& vaults, EmbedQueue& embed_queue,
                               observe::Registry& metrics)
    : folder_(std::move(folder)),
      store_(store),
      vaults_(vaults),
      embed_queue_(embed_queue),
      seconds_(metrics.histogram("knap_index_snapshot_seconds",
                                 "Time to leave one vault's search snapshot")),
      watched_(vaults.size()) {}

std::filesystem::path SnapshotKeeper::file_of(const VaultState& vault) const {
  return folder_ / ("search-" + std::to_string(static_cast<std::int64_t>(vault.id)) + ".snapshot");
}

void SnapshotKeeper::start() {
  if (thread_.joinable()) return;
  thread_ = std::thread([this] { run(); });
  ::pthread_setname_np(thread_.native_handle(), "knap-snapshot");
}

void SnapshotKeeper::stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    wake_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void SnapshotKeeper::run() {
  for (;;) {
    {
      MutexLock lock(mutex_);
      const Deadline until = Deadline::after(kLookEvery);
      while (!stopping_ && !until.expired()) wake_.wait_until(mutex_, until);
      if (stopping_) return;
    }
    for (std::size_t i = 0; i < vaults_.size(); ++i) look_at(*vaults_[i], watched_[i]);
  }
}

void SnapshotKeeper::look_at(VaultState& vault, Watched& watched) {
  const auto changes = store_.changes(vault.id);
  if (!changes) return;  // the store's own errors are reported by those who need it
  const auto now = SteadyClock::now();
  const bool at_rest = *changes == watched.changes;
  watched.changes = *changes;
  if (vault.saved_changes == *changes) {
    watched.unsaved_since = {};
    return;
  }
  if (watched.unsaved_since == SteadyClock::time_point{}) watched.unsaved_since = now;
  if (now < watched.next || (!at_rest && now - watched.unsaved_since < kUnsavedMax)) return;
  if (const Status saved = save(vault); !saved) {
    observe::log_warning("snapshot_not_saved", saved.error().message,
                         {{"vault", vault.config.name}});
  }
  const auto took = SteadyClock::now() - now;
  watched.next =
      SteadyClock::now() + std::max<SteadyClock::duration>(kPauseMin, took * kShareOfTime);
  watched.unsaved_since = {};
}

Status SnapshotKeeper::save(VaultState& vault) {
  const auto begin = SteadyClock::now();
  store::Mark mark;
  search::Index::Frozen frozen;
  {
    // Store and index show the same while nobody publishes.
    MutexLock publishing(embed_queue_.publish_mutex());
    KNAP_CHECK_OK(relink(store_, vault));
    KNAP_TRY(mark, store_.mark(vault.id));
    frozen = vault.index.get()->freeze();
  }
  KNAP_TRY(auto file, AtomicFile::create(file_of(vault)));
  KNAP_CHECK_OK(frozen(mark.stamp, [&](std::string_view piece) { return file.write(piece); }));
  KNAP_CHECK_OK(file.commit());
  vault.saved_changes = mark.changes;
  seconds_.record(SteadyClock::now() - begin);
  return {};
}

void SnapshotKeeper::save_all() {
  for (const auto& vault : vaults_) {
    const auto changes = store_.changes(vault->id);
    if (!changes || vault->saved_changes == *changes) continue;
    if (const Status saved = save(*vault); !saved) {
      // At the end whoever runs the program reads what matters; this only makes a start slower.
      observe::log_info("snapshot_not_saved", saved.error().message,
                        {{"vault", vault->config.name}});
    }
  }
}

}  // namespace knap::index
