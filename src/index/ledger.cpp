#include "ledger.hpp"

#include <algorithm>

#include "knap/base/text.hpp"

namespace knap::index {
namespace {

FileState from_store(store::FileState state) {
  switch (state) {
    case store::FileState::kIndexed: return FileState::kIndexed;
    case store::FileState::kSkipped: return FileState::kSkipped;
    case store::FileState::kFailed: return FileState::kFailed;
    case store::FileState::kStale: return FileState::kStale;
  }
  return FileState::kStale;
}

}  // namespace

std::string_view to_string(FileState state) {
  switch (state) {
    case FileState::kIndexed: return "indexed";
    case FileState::kSkipped: return "skipped";
    case FileState::kFailed: return "failed";
    case FileState::kPending: return "pending";
    case FileState::kStale: return "stale";
  }
  return "unknown";
}

std::int64_t unix_now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

void Ledger::set_state(LedgerEntry& entry, FileState state) {
  --counts_.by_state[static_cast<std::size_t>(entry.state)];
  ++counts_.by_state[static_cast<std::size_t>(state)];
  entry.state = state;
}

void Ledger::plan_retry(LedgerEntry& entry, std::int64_t at_ms) {
  entry.retry_at_ms = at_ms;
  if (at_ms != 0 && (next_retry_ms_ == 0 || at_ms < next_retry_ms_)) next_retry_ms_ = at_ms;
}

void Ledger::load(const store::FileRecord& record, bool has_content) {
  MutexLock lock(mutex_);
  LedgerEntry entry;
  entry.id = record.id;
  entry.fingerprint = {record.size_bytes, record.mtime_ns, record.inode};
  entry.hash = record.hash;
  entry.state = from_store(record.state);
  entry.reason = record.reason;
  entry.attempts = record.attempts;
  entry.indexed_at_ms = record.indexed_at_ms;
  entry.parser_version = record.parser_version;
  entry.has_content = has_content;
  plan_retry(entry, record.retry_at_ms);
  ++counts_.by_state[static_cast<std::size_t>(entry.state)];
  if (const auto old = entries_.find(record.path); old != entries_.end()) {
    --counts_.by_state[static_cast<std::size_t>(old->second.state)];
  }
  entries_.insert_or_assign(record.path, std::move(entry));
}

std::optional<FileTask> Ledger::notice(std::string_view path, const vault::Fingerprint& fingerprint,
                                       std::uint64_t walk, Recheck recheck, const NewId& new_id,
                                       std::uint32_t parser_version) {
  MutexLock lock(mutex_);
  auto found = entries_.find(path);
  const bool is_new = found == entries_.end();
  if (is_new) {
    LedgerEntry entry;
    entry.id = new_id();
    found = entries_.emplace(std::string(path), std::move(entry)).first;
    ++counts_.by_state[static_cast<std::size_t>(FileState::kPending)];
  }
  LedgerEntry& entry = found->second;
  entry.seen_in = std::max(entry.seen_in, walk);
  const bool known =
      !is_new && entry.fingerprint == fingerprint && entry.parser_version == parser_version;
  const bool waiting = entry.ticket != 0;
  const bool settled = entry.state != FileState::kPending && entry.state != FileState::kStale;
  const bool due = entry.retry_at_ms != 0 && entry.retry_at_ms <= unix_now_ms();
  if (known && recheck == Recheck::kIfChanged && !due && (settled || waiting)) return std::nullopt;
  if (entry.state != FileState::kPending && entry.state != FileState::kStale)
    entry.noticed = SteadyClock::now();
  if (is_new) entry.noticed = SteadyClock::now();
  FileTask task{found->first,      entry.id,       fingerprint, ++tickets_,    std::nullopt,
                entry.has_content, entry.attempts, is_new,      parser_version};
  // Content whose hash is the same as before needs no parsing, unless the parser is another one.
  if (recheck == Recheck::kIfChanged && entry.has_content &&
      entry.parser_version == parser_version) {
    task.known_hash = entry.hash;
  }
  if (!(entry.fingerprint == fingerprint)) task.attempts = 0;
  entry.fingerprint = fingerprint;
  entry.ticket = task.ticket;
  entry.retry_at_ms = 0;
  set_state(entry, entry.has_content ? FileState::kStale : FileState::kPending);
  return task;
}

bool Ledger::current(const FileTask& task) const {
  MutexLock lock(mutex_);
  const auto found = entries_.find(task.path);
  return found != entries_.end() && found->second.ticket == task.ticket;
}

void Ledger::settle(const FileTask& task, const store::FileRecord& record, bool has_content) {
  MutexLock lock(mutex_);
  const auto found = entries_.find(task.path);
  if (found == entries_.end() || found->second.ticket != task.ticket) return;
  LedgerEntry& entry = found->second;
  entry.fingerprint = {record.size_bytes, record.mtime_ns, record.inode};
  entry.hash = record.hash;
  entry.reason = record.reason;
  entry.attempts = record.attempts;
  entry.indexed_at_ms = record.indexed_at_ms;
  entry.parser_version = record.parser_version;
  entry.has_content = has_content;
  entry.ticket = 0;
  plan_retry(entry, record.retry_at_ms);
  set_state(entry, from_store(record.state));
}

void Ledger::hold(const FileTask& task) {
  MutexLock lock(mutex_);
  const auto found = entries_.find(task.path);
  if (found != entries_.end() && found->second.ticket == task.ticket)
    found->second.has_content = true;
}

void Ledger::postpone(const FileTask& task, std::string reason, std::int64_t retry_at_ms) {
  MutexLock lock(mutex_);
  const auto found = entries_.find(task.path);
  if (found == entries_.end() || found->second.ticket != task.ticket) return;
  found->second.reason = std::move(reason);
  found->second.ticket = 0;
  plan_retry(found->second, retry_at_ms);
}

void Ledger::release(std::string_view path) {
  MutexLock lock(mutex_);
  if (const auto found = entries_.find(path); found != entries_.end()) found->second.ticket = 0;
}

std::optional<store::FileId> Ledger::remove(std::string_view path) {
  MutexLock lock(mutex_);
  const auto found = entries_.find(path);
  if (found == entries_.end()) return std::nullopt;
  const store::FileId id = found->second.id;
  --counts_.by_state[static_cast<std::size_t>(found->second.state)];
  entries_.erase(found);
  return id;
}

std::optional<LedgerEntry> Ledger::find(std::string_view path) const {
  MutexLock lock(mutex_);
  const auto found = entries_.find(path);
  if (found == entries_.end()) return std::nullopt;
  return found->second;
}

std::optional<std::string> Ledger::find_path(std::string_view path) const {
  MutexLock lock(mutex_);
  if (entries_.contains(path)) return std::string(path);
  // Rare: the caller writes é as one character, the disk as two, or the other way round.
  const std::string wanted = text::nfc(path);
  for (const auto& [candidate, entry] : entries_) {
    if (text::nfc(candidate) == wanted) return candidate;
  }
  return std::nullopt;
}

std::vector<std::string> Ledger::unseen(std::uint64_t walk) const {
  MutexLock lock(mutex_);
  std::vector<std::string> paths;
  for (const auto& [path, entry] : entries_) {
    if (entry.seen_in < walk) paths.push_back(path);
  }
  return paths;
}

std::vector<std::string> Ledger::below(std::string_view folder) const {
  MutexLock lock(mutex_);
  const std::string prefix = std::string(folder) + "/";
  std::vector<std::string> paths;
  for (auto at = entries_.lower_bound(prefix);
       at != entries_.end() && at->first.starts_with(prefix); ++at) {
    paths.push_back(at->first);
  }
  return paths;
}

std::vector<std::string> Ledger::due(std::int64_t now_ms) {
  MutexLock lock(mutex_);
  std::vector<std::string> paths;
  if (next_retry_ms_ == 0 || next_retry_ms_ > now_ms) return paths;
  next_retry_ms_ = 0;
  for (const auto& [path, entry] : entries_) {
    if (entry.retry_at_ms == 0) continue;
    if (entry.retry_at_ms <= now_ms) {
      paths.push_back(path);
    } else if (next_retry_ms_ == 0 || entry.retry_at_ms < next_retry_ms_) {
      next_retry_ms_ = entry.retry_at_ms;
    }
  }
  return paths;
}

std::int64_t Ledger::next_retry_ms() const {
  MutexLock lock(mutex_);
  return next_retry_ms_;
}

LedgerCounts Ledger::counts() const {
  MutexLock lock(mutex_);
  return counts_;
}

std::chrono::milliseconds Ledger::lag() const {
  MutexLock lock(mutex_);
  if (counts_.of(FileState::kPending) + counts_.of(FileState::kStale) == 0) return {};
  const auto now = SteadyClock::now();
  auto oldest = now;
  for (const auto& [path, entry] : entries_) {
    const bool waits = entry.state == FileState::kPending || entry.state == FileState::kStale;
    if (waits && entry.noticed != SteadyClock::time_point{})
      oldest = std::min(oldest, entry.noticed);
  }
  return std::chrono::duration_cast<std::chrono::milliseconds>(now - oldest);
}

std::vector<std::pair<std::string, LedgerEntry>> Ledger::page(
    std::optional<FileState> state, const std::optional<std::string>& after,
    std::size_t limit) const {
  MutexLock lock(mutex_);
  std::vector<std::pair<std::string, LedgerEntry>> out;
  auto at = after ? entries_.upper_bound(*after) : entries_.begin();
  for (; at != entries_.end() && out.size() < limit; ++at) {
    if (!state || at->second.state == *state) out.emplace_back(at->first, at->second);
  }
  return out;
}

}  // namespace knap::index
