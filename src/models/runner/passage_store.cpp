#include "runner/passage_store.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>
#include <vector>

#include "knap/base/file.hpp"
#include "knap/observe/log.hpp"

namespace knap::models::runner {
namespace {

namespace fs = std::filesystem;
constexpr std::string_view kSuffix = ".kv";
constexpr std::size_t kWritesMax = 16;  ///< Waiting; each holds some megabytes.
constexpr std::uint64_t kFileBytesMax = kPassageBytesMax + (1U << 20);

/// A file's time says when it was used, so that the next start knows. Set by hand: what the system
/// writes is as coarse as its timer, and files of one tick would have no order.
void mark_used(const fs::path& file) {
  std::error_code ignored;
  fs::last_write_time(file, fs::file_time_type::clock::now(), ignored);
}

}  // namespace

PassageStore::PassageStore(Options options)
    : options_(std::move(options)),
      writer_({.name = "passages", .threads = 1, .queue_limit = kWritesMax}) {
  if (enabled() && !options_.folder.empty() && options_.disk_bytes > 0) open_folder();
}

fs::path PassageStore::path_of(const Hash128& text) const {
  return options_.folder / (text.hex() + std::string(kSuffix));
}

void PassageStore::open_folder() {
  std::error_code error;
  fs::create_directories(options_.folder, error);
  fs::permissions(options_.folder, fs::perms::owner_all, error);
  struct Found {
    Hash128 text;
    std::uint64_t bytes;
    fs::file_time_type time;
  };
  std::vector<Found> found;
  fs::directory_iterator each(options_.folder, error);
  for (; !error && each != fs::directory_iterator() && found.size() < kFilesMax;
       each.increment(error)) {
    const auto text = Hash128::from_hex(each->path().stem().string());
    std::error_code ignored;
    if (!text || each->path().extension() != kSuffix || !each->is_regular_file(ignored)) continue;
    found.push_back({*text, each->file_size(ignored), each->last_write_time(ignored)});
  }
  std::ranges::sort(found, {}, &Found::time);
  MutexLock lock(mutex_);
  for (const Found& file : found) {
    on_disk_[file.text] = {file.bytes, ++clock_};
    stats_.disk_bytes += file.bytes;
  }
  trim_disk();
}

PassageStore::State PassageStore::find(const Hash128& text) {
  {
    MutexLock lock(mutex_);
    if (const auto held = held_.find(text); held != held_.end()) {
      held->second.value += 1;
      return held->second.state;
    }
    const auto file = on_disk_.find(text);
    if (file == on_disk_.end()) return nullptr;
    file->second.used = ++clock_;
  }
  const auto bytes = read_file(path_of(text), kFileBytesMax);
  auto read = bytes ? read_passage_state(*bytes, options_.model, text)
                    : Result<PassageState>(bytes.error());
  if (!read) {
    observe::log_error("passages", read.error().message);
    forget(text);
    MutexLock lock(mutex_);
    ++stats_.damaged;
    return nullptr;
  }
  mark_used(path_of(text));
  auto state = std::make_shared<const PassageState>(*std::move(read));
  MutexLock lock(mutex_);
  hold(state);
  return state;
}

bool PassageStore::contains(const Hash128& text) const {
  MutexLock lock(mutex_);
  return held_.contains(text) || on_disk_.contains(text);
}

void PassageStore::put(State state) {
  if (!enabled()) return;
  {
    MutexLock lock(mutex_);
    ++stats_.read_ahead;
    hold(state);
  }
  if (options_.folder.empty() || options_.disk_bytes == 0) return;
  // A full queue: the disk is slower than the model. The state stays in memory.
  static_cast<void>(writer_.submit([this, state] { write(state); }));
}

// A state is worth its uses, and more than the one that went last: what was used much long ago goes
// in time. All have about the same cost and gain a byte, so that their size does not matter.
void PassageStore::hold(State state) {
  const std::uint64_t cost = state->cost();
  if (cost > options_.memory_bytes || held_.contains(state->text)) return;
  while (stats_.memory_bytes + cost > options_.memory_bytes) {
    const auto least =
        std::ranges::min_element(held_, {}, [](const auto& each) { return each.second.value; });
    least_value_ = least->second.value;
    stats_.memory_bytes -= least->second.state->cost();
    ++stats_.evicted;
    held_.erase(least);
  }
  stats_.memory_bytes += cost;
  const Hash128 text = state->text;
  held_[text] = {.state = std::move(state), .value = least_value_ + 1};
}

void PassageStore::write(const State& state) {
  const std::string file = write_passage_state(*state, options_.model);
  if (file.size() > options_.disk_bytes) return;
  if (const Status written = write_file_atomic(path_of(state->text), file); !written) {
    observe::log_error("passages", written.error().message);
    return;
  }
  mark_used(path_of(state->text));
  MutexLock lock(mutex_);
  OnDisk& entry = on_disk_[state->text];
  stats_.disk_bytes += file.size() - entry.bytes;
  entry = {file.size(), ++clock_};
  trim_disk();
}

void PassageStore::trim_disk() {
  while (stats_.disk_bytes > options_.disk_bytes && !on_disk_.empty()) {
    const auto oldest =
        std::ranges::min_element(on_disk_, {}, [](const auto& each) { return each.second.used; });
    std::error_code ignored;
    fs::remove(path_of(oldest->first), ignored);
    stats_.disk_bytes -= oldest->second.bytes;
    on_disk_.erase(oldest);
  }
}

void PassageStore::forget(const Hash128& text) {
  MutexLock lock(mutex_);
  if (const auto held = held_.find(text); held != held_.end()) {
    stats_.memory_bytes -= held->second.state->cost();
    held_.erase(held);
  }
  if (const auto file = on_disk_.find(text); file != on_disk_.end()) {
    std::error_code ignored;
    std::filesystem::remove(path_of(text), ignored);
    stats_.disk_bytes -= file->second.bytes;
    on_disk_.erase(file);
  }
}

void PassageStore::count(bool hit) {
  MutexLock lock(mutex_);
  ++(hit ? stats_.hits : stats_.misses);
}

PassageStore::Stats PassageStore::stats() const {
  MutexLock lock(mutex_);
  Stats stats = stats_;
  stats.held = held_.size();
  stats.on_disk = on_disk_.size();
  return stats;
}

}  // namespace knap::models::runner
