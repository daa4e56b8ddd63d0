#include "disk_cache.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "knap/base/hash.hpp"
#include "knap/observe/log.hpp"

namespace knap::cache {
namespace {

constexpr std::size_t kQueueBytesMax = 16U << 20;
constexpr std::size_t kBatchBytes = 1U << 20;
constexpr std::size_t kBatchTasks = 512;
constexpr std::uint64_t kSegmentBytesMin = 64U << 10;
constexpr std::uint64_t kSegmentBytesMax = 64U << 20;
constexpr std::uint64_t kSegmentBytesAskedMax = 128U << 20;
constexpr std::uint64_t kSegmentsWanted = 16;  // one is given up at a time
/// Each holds a file open. Short runs leave small ones.
constexpr std::size_t kSegmentsMax = 512;
/// Of a segment that is given up, at most so much is written again: else nothing would be won.
constexpr std::uint64_t kRewriteShare = 4;
constexpr std::uint64_t kErasuresPerFlush = 10'000;  // bounds the queue
/// After a failed write (disk full, broken) the cache only reads for a while.
constexpr auto kPause = std::chrono::seconds(10);

std::uint64_t segment_size(const DiskCache::Options& options) {
  if (options.segment_bytes != 0) return std::min(options.segment_bytes, kSegmentBytesAskedMax);
  return std::clamp(options.capacity_bytes / kSegmentsWanted, kSegmentBytesMin, kSegmentBytesMax);
}

std::vector<std::uint64_t> labels_of(const disk::Record& record) {
  std::vector<std::uint64_t> labels(record.labels.size() / sizeof(std::uint64_t));
  if (!labels.empty()) std::memcpy(labels.data(), record.labels.data(), record.labels.size());
  return labels;
}

}  // namespace

DiskCache::DiskCache(Options options)
    : options_(std::move(options)), segment_bytes_(segment_size(options_)) {}

Result<std::unique_ptr<DiskCache>> DiskCache::open(Options options) {
  std::unique_ptr<DiskCache> cache(new DiskCache(std::move(options)));
  KNAP_CHECK_OK(cache->load());
  cache->thread_ = std::thread([raw = cache.get()] { raw->run(); });
  ::pthread_setname_np(cache->thread_.native_handle(), "knap-cache");
  return cache;
}

DiskCache::~DiskCache() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
  const MutexLock writing(write_mutex_);
  if (open_) static_cast<void>(open_->seal(listed_).has_value());  // else the next start scans it
}

Status DiskCache::load() {
  const MutexLock writing(write_mutex_);
  if (::getrandom(&salt_, sizeof salt_, 0) != sizeof salt_)
    return errno_error(errno, "get random bytes for", options_.folder);
  std::error_code error;
  std::filesystem::create_directories(options_.folder, error);
  if (error) return errno_error(error.value(), "create", options_.folder);
  ::chmod(options_.folder.c_str(), 0700);
  const auto lock_file = options_.folder / "lock";
  lock_ = FileDescriptor(::open(lock_file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock_.valid()) return errno_error(errno, "open", lock_file);
  if (::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    return make_error(ErrorCode::kAlreadyExists,
                      fmt::format("another knap uses the cache in {}", options_.folder.string()));
  }
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(options_.folder, error)) {
    if (DiskSegment::number_of(entry.path()) != 0) files.push_back(entry.path());
  }
  if (error) return errno_error(error.value(), "list", options_.folder);
  std::sort(files.begin(), files.end());
  for (const auto& file : files) {
    next_number_ = std::max(next_number_, DiskSegment::number_of(file) + 1);
    std::vector<disk::Listed> records;
    auto segment = DiskSegment::open(file, records);
    if (!segment) {
      observe::log_warning("cache_segment_dropped", segment.error().message);
      std::filesystem::remove(file, error);
      continue;
    }
    const MutexLock lock(mutex_);
    for (const disk::Listed& each : records) note(each, (*segment)->number());
    segments_.emplace((*segment)->number(), std::move(*segment));
  }
  make_room();
  return {};
}

Status DiskCache::begin_segment() {
  KNAP_TRY(open_, DiskSegment::create(options_.folder, {next_number_++, salt_}));
  listed_.clear();
  const MutexLock lock(mutex_);
  segments_.emplace(open_->number(), open_);
  return {};
}

void DiskCache::note(const disk::Listed& listed, std::uint64_t segment) {
  if (listed.bytes == 0) {
    places_.erase(listed.hash);
    return;
  }
  Place place;
  place.segment = static_cast<std::uint32_t>(segment);
  place.offset = listed.offset;
  place.bytes = listed.bytes & 0x7FFFFFFFU;
  place.expires_s = static_cast<std::uint32_t>((listed.expires_ms + 999) / 1000);
  places_.insert_or_assign(listed.hash, place);
}

bool DiskCache::too_full() const {
  if (total_bytes() > options_.capacity_bytes) return true;
  const MutexLock lock(mutex_);
  return places_.size() > options_.entries_max || segments_.size() > kSegmentsMax;
}

std::uint64_t DiskCache::total_bytes() const {
  const MutexLock lock(mutex_);
  std::uint64_t total = 0;
  for (const auto& [number, segment] : segments_) total += segment->bytes();
  return total;
}

std::optional<DiskCache::Value> DiskCache::get(std::string_view key, std::uint64_t hash,
                                               std::int64_t now_ms) {
  Place place;
  std::shared_ptr<DiskSegment> segment;
  {
    const MutexLock lock(mutex_);
    const auto found = places_.find(hash);
    if (found == places_.end() || erasing_.contains(hash)) return std::nullopt;
    place = found->second;
    const auto owner = segments_.find(place.segment);
    if (owner == segments_.end() || (place.expires_s != 0 && place.expires_s * 1000LL < now_ms)) {
      places_.erase(found);
      return std::nullopt;
    }
    found->second.asked = 1;
    segment = owner->second;
  }
  const auto bytes = segment->read(std::uint64_t{place.offset} * disk::kAlignment, place.bytes);
  const auto parsed = bytes ? disk::parse_record(*bytes, segment->salt()) : std::nullopt;
  if (!parsed) {
    forget_damaged(hash, place);
    return std::nullopt;
  }
  const disk::Record& record = parsed->record;
  if (record.key != key || record.erased) return std::nullopt;
  if (record.expires_ms != 0 && record.expires_ms <= now_ms) return std::nullopt;
  auto value = disk::value_of(record);
  if (!value) {
    forget_damaged(hash, place);
    return std::nullopt;
  }
  {
    const MutexLock lock(mutex_);
    ++stats_.hits[index_of(record.kind)];
    stats_.saved_us[index_of(record.kind)] += record.cost_us;
  }
  return Value{record.kind,       record.negative,   record.cost_us,   record.written_ms,
               record.expires_ms, std::move(*value), labels_of(record)};
}

void DiskCache::forget_damaged(std::uint64_t hash, const Place& place) {
  const MutexLock lock(mutex_);
  ++stats_.damaged;
  const auto found = places_.find(hash);
  if (found != places_.end() && found->second.segment == place.segment &&
      found->second.offset == place.offset) {
    places_.erase(found);
  }
}

bool DiskCache::put(std::string_view key, std::uint64_t hash, Value value) {
  Task task{std::string(key), hash, std::move(value)};
  const MutexLock lock(mutex_);
  if (key.size() > disk::kKeyBytesMax || task.value.bytes.size() > disk::kValueBytesMax ||
      task.value.labels.size() > disk::kLabelsMax || task.bytes() > segment_bytes_ / 2 ||
      queue_bytes_ + task.bytes() > kQueueBytesMax || stopping_) {
    ++stats_.dropped;
    return false;
  }
  queue_bytes_ += task.bytes();
  queue_.push_back(std::move(task));
  changed_.notify_all();
  return true;
}

void DiskCache::erase(std::string_view key, std::uint64_t hash) {
  Task task{std::string(key), hash, {}, true};
  const MutexLock lock(mutex_);
  places_.erase(hash);
  ++erasing_[hash];
  queue_bytes_ += task.bytes();
  // Not bounded: an erasure must not be lost, and each came with a value or a request of its own.
  queue_.push_back(std::move(task));
  changed_.notify_all();
}

std::uint64_t DiskCache::erase_if(const Question& question) {
  flush();
  std::vector<std::pair<std::uint64_t, Place>> places;
  Segments segments;
  {
    const MutexLock lock(mutex_);
    places.assign(places_.begin(), places_.end());
    segments = segments_;
  }
  std::sort(places.begin(), places.end(), [](const auto& a, const auto& b) {
    return std::pair(a.second.segment, a.second.offset) <
           std::pair(b.second.segment, b.second.offset);
  });
  std::uint64_t erased = 0;
  for (const auto& [hash, place] : places) {
    const auto segment = segments.find(place.segment);
    if (segment == segments.end()) continue;
    const auto bytes =
        segment->second->read(std::uint64_t{place.offset} * disk::kAlignment, place.bytes);
    const auto parsed = bytes ? disk::parse_record(*bytes, segment->second->salt()) : std::nullopt;
    if (!parsed || !question(parsed->record.key, parsed->record.kind, labels_of(parsed->record)))
      continue;
    erase(parsed->record.key, hash);
    if (++erased % kErasuresPerFlush == 0) flush();
  }
  return erased;
}

void DiskCache::clear() {
  const MutexLock writing(write_mutex_);
  {
    const MutexLock lock(mutex_);
    queue_.clear();
    queue_bytes_ = 0;
    erasing_.clear();
    ++generation_;
    changed_.notify_all();
  }
  forget_all();
}

void DiskCache::forget_all() {
  Segments segments;
  {
    const MutexLock lock(mutex_);
    places_.clear();
    segments.swap(segments_);
  }
  for (const auto& [number, segment] : segments) segment->forget();
  open_.reset();
  const FileDescriptor folder(::open(options_.folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  ::fsync(folder.get());  // a power cut does not bring them back
}

void DiskCache::flush() {
  const MutexLock lock(mutex_);
  while (writing_ || !queue_.empty()) changed_.wait(mutex_);
}

DiskCache::Stats DiskCache::stats() const {
  const std::uint64_t bytes = total_bytes();
  const MutexLock lock(mutex_);
  Stats out = stats_;
  out.entries = places_.size();
  out.segments = segments_.size();
  out.bytes = bytes;
  return out;
}

void DiskCache::run() {
  for (;;) {
    std::vector<Task> batch;
    std::uint64_t generation = 0;
    {
      const MutexLock lock(mutex_);
      while (queue_.empty() && !stopping_) changed_.wait(mutex_);
      if (queue_.empty()) return;
      std::size_t bytes = 0;
      while (!queue_.empty() && bytes < kBatchBytes && batch.size() < kBatchTasks) {
        bytes += queue_.front().bytes();
        batch.push_back(std::move(queue_.front()));
        queue_.pop_front();
      }
      queue_bytes_ -= bytes;
      writing_ = true;
      generation = generation_;
    }
    write(batch, generation);
    settle(batch, generation);
    const MutexLock lock(mutex_);
    writing_ = false;
    changed_.notify_all();
  }
}

/// Written, or given up with all that stood under their keys.
void DiskCache::settle(const std::vector<Task>& batch, std::uint64_t generation) {
  const MutexLock lock(mutex_);
  if (generation != generation_) return;
  for (const Task& task : batch) {
    if (!task.erased) continue;
    const auto found = erasing_.find(task.hash);
    if (found != erasing_.end() && --found->second == 0) erasing_.erase(found);
  }
}

void DiskCache::encode(const Task& task, std::string& out) const {
  disk::Record record;
  record.kind = task.value.kind;
  record.negative = task.value.negative;
  record.erased = task.erased;
  record.cost_us = task.value.cost_us;
  record.written_ms = task.value.written_ms;
  record.expires_ms = task.value.expires_ms;
  record.hash = task.hash;
  record.key = task.key;
  record.labels = {reinterpret_cast<const char*>(task.value.labels.data()),
                   task.value.labels.size() * sizeof(std::uint64_t)};
  record.stored = task.value.bytes;
  record.value_bytes = static_cast<std::uint32_t>(task.value.bytes.size());
  std::optional<std::string> compressed;
  if (task.value.bytes.size() > options_.compress_above)
    compressed = disk::compress(task.value.bytes);
  if (compressed) {
    record.stored = *compressed;
    record.compressed = true;
  }
  disk::append_record(record, salt_, out);
}

void DiskCache::write(const std::vector<Task>& batch, std::uint64_t generation) {
  std::string bytes;
  std::vector<disk::Listed> listed;
  for (const Task& task : batch) {
    const std::size_t at = bytes.size();
    encode(task, bytes);
    // The offset within the batch; append() adds the segment's.
    listed.push_back({task.hash, static_cast<std::uint32_t>(at / disk::kAlignment),
                      task.erased ? 0 : static_cast<std::uint32_t>(bytes.size() - at),
                      task.value.expires_ms});
  }
  const MutexLock writing(write_mutex_);
  {
    const MutexLock lock(mutex_);
    if (generation != generation_) return;
  }
  if (!paused_.expired()) return give_up(batch);
  if (const Status written = append(bytes, listed, Origin::kQueue); !written) {
    observe::log_warning("cache_write_failed", written.error().message);
    paused_ = Deadline::after(kPause);
    {
      const MutexLock lock(mutex_);
      ++stats_.write_errors;
    }
    return give_up(batch);
  }
  make_room();
}

/// What cannot be written is not cached. An erasure that cannot be written takes all with it, or
/// the next start would bring back what was erased.
void DiskCache::give_up(const std::vector<Task>& batch) {
  if (std::any_of(batch.begin(), batch.end(), [](const Task& task) { return task.erased; }))
    forget_all();
  const MutexLock lock(mutex_);
  stats_.dropped += batch.size();
}

Status DiskCache::append(const std::string& bytes, const std::vector<disk::Listed>& listed,
                         Origin origin) {
  if (!open_) KNAP_CHECK_OK(begin_segment());
  const auto base = static_cast<std::uint32_t>(open_->bytes() / disk::kAlignment);
  KNAP_CHECK_OK(open_->append(bytes));
  {
    const MutexLock lock(mutex_);
    for (disk::Listed each : listed) {
      each.offset += base;
      // Erased while it was read: the erasure waits in the queue.
      if (origin == Origin::kRewrite && !places_.contains(each.hash)) each.bytes = 0;
      listed_.push_back(each);
      note(each, open_->number());
    }
    if (origin == Origin::kQueue) stats_.puts += listed.size();
  }
  const bool erases = std::any_of(listed.begin(), listed.end(),
                                  [](const disk::Listed& each) { return each.bytes == 0; });
  if (erases) KNAP_CHECK_OK(open_->sync());
  if (open_->bytes() < segment_bytes_) return {};
  const Status sealed = open_->seal(listed_);
  open_.reset();
  return sealed;
}

/// Gives up the oldest segments until the bound holds.
void DiskCache::make_room() {
  while (too_full()) {
    std::shared_ptr<DiskSegment> oldest;
    {
      const MutexLock lock(mutex_);
      if (segments_.size() < 2) return;
      oldest = segments_.begin()->second;
    }
    const auto places = places_in(*oldest);
    rewrite_asked(*oldest, places);
    const MutexLock lock(mutex_);
    for (const auto& [hash, place] : places) {
      const auto found = places_.find(hash);
      if (found == places_.end() || found->second.segment != oldest->number()) continue;
      places_.erase(found);
      ++stats_.evicted;
    }
    segments_.erase(oldest->number());
    oldest->forget();
  }
}

/// What is still current of a segment's records.
std::vector<std::pair<std::uint64_t, DiskCache::Place>> DiskCache::places_in(
    const DiskSegment& segment) const {
  std::vector<std::pair<std::uint64_t, Place>> out;
  const auto list = segment.list();
  const MutexLock lock(mutex_);
  if (list) {
    for (const disk::Listed& each : *list) {
      const auto found = places_.find(each.hash);
      if (found != places_.end() && found->second.segment == segment.number() &&
          found->second.offset == each.offset) {
        out.emplace_back(each.hash, found->second);
      }
    }
  } else {  // damaged since it was opened
    for (const auto& [hash, place] : places_)
      if (place.segment == segment.number()) out.emplace_back(hash, place);
  }
  return out;
}

void DiskCache::rewrite_asked(const DiskSegment& segment,
                              const std::vector<std::pair<std::uint64_t, Place>>& places) {
  std::string bytes;
  std::vector<disk::Listed> listed;
  for (const auto& [hash, place] : places) {
    if (place.asked == 0) continue;
    if (bytes.size() + place.bytes > segment_bytes_ / kRewriteShare) break;
    const auto read = segment.read(std::uint64_t{place.offset} * disk::kAlignment, place.bytes);
    const auto parsed = read ? disk::parse_record(*read, segment.salt()) : std::nullopt;
    if (!parsed) continue;
    listed.push_back({hash, static_cast<std::uint32_t>(bytes.size() / disk::kAlignment),
                      place.bytes, parsed->record.expires_ms});
    disk::append_record(parsed->record, salt_, bytes);
  }
  if (listed.empty()) return;
  const bool done = append(bytes, listed, Origin::kRewrite)
                        .has_value();  // else they are forgotten with the segment
  const MutexLock lock(mutex_);
  if (done) stats_.rewritten += listed.size();
}

}  // namespace knap::cache
