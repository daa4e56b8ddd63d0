#include "indexer.hpp"

#include <algorithm>

#include <malloc.h>
#include <pthread.h>

#include "knap/observe/log.hpp"
#include "load.hpp"

namespace knap::index {
namespace {

constexpr std::size_t kSmallChangePaths =
    64;  // read and published at once by the indexing thread itself
constexpr std::size_t kQueuedPathsMax = 200'000;  // more: a walk tells
constexpr auto kIdleCheck = std::chrono::seconds(5);
constexpr std::size_t kDocumentsReadMax = 8;  // wait to be published; more hold up their readers

}  // namespace

Indexer::Indexer(const ServiceOptions& options, store::Store& store, const Vaults& vaults,
                 EmbedQueue& embed_queue, service::ComputeLeases& leases,
                 observe::Registry& metrics, std::int64_t next_file_id)
    : options_(options),
      store_(store),
      vaults_(vaults),
      embed_queue_(embed_queue),
      publisher_(store, embed_queue, metrics),
      queue_length_(metrics.gauge("knap_index_queue_length", "Files waiting to be read")),
      unexplained_(metrics.gauge("knap_index_ledger_unexplained_files",
                                 "Files in the ledger that the last walk did not meet; 0 but for "
                                 "files made meanwhile")),
      next_file_id_(next_file_id),
      new_id_([this] { return static_cast<store::FileId>(next_file_id_.fetch_add(1)); }) {
  for (const DocumentReader& reader : options_.documents) {
    document_queues_.push_back(std::make_unique<DocumentQueue>(
        reader, store_, leases, metrics, [this](VaultState& vault, Prepared prepared) {
          document_read(vault, std::move(prepared));
        }));
  }
}

Indexer::~Indexer() { stop(); }

void Indexer::start() {
  if (thread_.joinable()) return;
  readers_ = std::make_unique<ThreadPool>(ThreadPool::Options{.name = "knap-read", .threads = 2});
  thread_ = std::thread([this] { run(); });
  ::pthread_setname_np(thread_.native_handle(), "knap-index");
  for (const auto& queue : document_queues_) queue->start();
}

void Indexer::stop() {
  stop_.cancel();
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  for (const auto& queue : document_queues_) queue->stop();
  if (thread_.joinable()) thread_.join();
  readers_.reset();
}

void Indexer::changed(VaultState& vault, vault::Changes changes) {
  MutexLock lock(mutex_);
  if (changes.rescan || large_[&vault].size() + changes.paths.size() > kQueuedPathsMax) {
    scans_.insert(&vault);
    ++scans_requested_;
  } else {
    auto& queue = changes.paths.size() <= kSmallChangePaths ? small_ : large_;
    queue[&vault].insert(changes.paths.begin(), changes.paths.end());
  }
  changed_.notify_all();
}

std::uint64_t Indexer::request_scan(Ledger::Recheck recheck) {
  MutexLock lock(mutex_);
  for (const auto& vault : vaults_) scans_.insert(vault.get());
  if (recheck == Ledger::Recheck::kAlways) recheck_ = recheck;
  changed_.notify_all();
  return ++scans_requested_;
}

std::optional<Status> Indexer::finished(std::uint64_t scan) const {
  MutexLock lock(mutex_);
  if (scans_finished_ < scan) return std::nullopt;
  return scan_result_;
}

void Indexer::wait_changed(Deadline deadline) {
  MutexLock lock(mutex_);
  changed_.wait_until(mutex_, deadline);
}

Progress Indexer::progress() const {
  MutexLock lock(mutex_);
  Progress progress = progress_;
  const std::chrono::duration<double> spent = SteadyClock::now() - phase_begin_;
  if (progress.done > 0 && spent.count() > 0) {
    progress.per_second = static_cast<double>(progress.done) / spent.count();
    const double left =
        static_cast<double>(progress.total - std::min(progress.done, progress.total));
    progress.left = std::chrono::seconds(static_cast<std::int64_t>(left / progress.per_second));
  }
  return progress;
}

void Indexer::report(std::string phase, std::uint64_t done, std::uint64_t total) {
  queue_length_.set(static_cast<double>(total - std::min(done, total)));
  MutexLock lock(mutex_);
  if (progress_.phase != phase) phase_begin_ = SteadyClock::now();
  progress_.phase = std::move(phase);
  progress_.done = done;
  progress_.total = total;
  changed_.notify_all();
}

void Indexer::run() {
  for (;;) {
    wait_for_work();
    {
      MutexLock lock(mutex_);
      if (stopping_) return;
    }
    queue_retries();
    run_documents();
    run_small_changes();
    run_scans();
    run_large_changes();
  }
}

void Indexer::wait_for_work() {
  Deadline until = Deadline::after(kIdleCheck).earlier(next_periodic_);
  if (const auto retry = next_retry_ms()) {
    const auto wait = std::chrono::milliseconds(std::max<std::int64_t>(0, *retry - unix_now_ms()));
    until = until.earlier(Deadline::after(wait));
  }
  MutexLock lock(mutex_);
  while (!stopping_ && small_.empty() && large_.empty() && scans_.empty() && documents_.empty() &&
         !until.expired()) {
    changed_.wait_until(mutex_, until);
  }
  if (next_periodic_.expired()) {
    next_periodic_ = Deadline::never();
    for (const auto& vault : vaults_) scans_.insert(vault.get());
    ++scans_requested_;
  }
}

std::optional<std::int64_t> Indexer::next_retry_ms() const {
  std::optional<std::int64_t> next;
  for (const auto& vault : vaults_) {
    const std::int64_t at = vault->ledger.next_retry_ms();
    if (at != 0 && (!next || at < *next)) next = at;
  }
  return next;
}

void Indexer::queue_retries() {
  for (const auto& vault : vaults_) {
    const std::vector<std::string> due = vault->ledger.due(unix_now_ms());
    if (due.empty()) continue;
    MutexLock lock(mutex_);
    auto& queue = due.size() <= kSmallChangePaths ? small_ : large_;
    queue[vault.get()].insert(due.begin(), due.end());
  }
}

void Indexer::run_scans() {
  std::set<VaultState*> vaults;
  std::uint64_t number = 0;
  Ledger::Recheck recheck = Ledger::Recheck::kIfChanged;
  {
    MutexLock lock(mutex_);
    if (scans_.empty()) return;
    vaults.swap(scans_);
    number = scans_requested_;
    std::swap(recheck, recheck_);
    recheck_ = Ledger::Recheck::kIfChanged;
  }
  Status result;
  for (VaultState* vault : vaults) {
    const Status scanned = scan_vault(*vault, recheck);
    if (stop_.cancelled()) return;
    if (!scanned) {
      observe::log_warning("scan_failed", scanned.error().message, {{"vault", vault->config.name}});
      result = Status(with_context(scanned.error(), "vault " + vault->config.name));
    }
  }
  ::malloc_trim(0);  // a walk over everything leaves much freed memory with the allocator
  bool watched = true;
  for (const auto& vault : vaults_) {
    MutexLock lock(vault->mutex);
    if (!vault->watcher) watched = false;
  }
  if (!watched && options_.watch == ServiceOptions::Watch::kOn) {
    next_periodic_ = Deadline::after(options_.scan_interval);
  }
  report("done", 0, 0);
  MutexLock lock(mutex_);
  scans_finished_ = number;
  scan_result_ = std::move(result);
  changed_.notify_all();
}

void Indexer::run_large_changes() {
  std::map<VaultState*, std::set<std::string>> changes;
  {
    MutexLock lock(mutex_);
    changes.swap(large_);
  }
  for (auto& [vault, paths] : changes) {
    const Status done = read_all(*vault, examine(*vault, {paths.begin(), paths.end()}));
    if (!done && !stop_.cancelled())
      observe::log_warning("changes_not_indexed", done.error().message);
  }
  if (!changes.empty()) report("done", 0, 0);
}

void Indexer::run_small_changes() {
  std::map<VaultState*, std::set<std::string>> changes;
  {
    MutexLock lock(mutex_);
    changes.swap(small_);
  }
  for (auto& [vault, paths] : changes) {
    Work work = examine(*vault, {paths.begin(), paths.end()});
    const auto boilerplate = vault->known_boilerplate();
    for (FileTask& task : work.tasks) {
      if (queue_document(*vault, task, DocumentQueue::Urgency::kFirst, work.batch)) continue;
      work.batch.files.push_back(
          prepare(vault->config.root, std::move(task), options_.max_file_bytes));
      set_boilerplate_aside(work.batch.files.back(), *boilerplate);
    }
    // Errors are logged and the files stay pending with the reason.
    if (publish(*vault, std::move(work.batch), EmbedQueue::Urgency::kFirst)) {
      static_cast<void>(relink_notes(*vault).has_value());
    }
  }
}

std::size_t Indexer::documents_left() const {
  std::size_t left = 0;
  // The queues first: what leaves one stands in documents_ before.
  for (const auto& queue : document_queues_) left += queue->left();
  MutexLock lock(mutex_);
  return left + documents_.size() + (publishing_documents_ ? 1 : 0);
}

void Indexer::document_read(VaultState& vault, Prepared prepared) {
  MutexLock lock(mutex_);
  while (!stopping_ && documents_.size() >= kDocumentsReadMax) changed_.wait(mutex_);
  documents_.emplace_back(&vault, std::move(prepared));
  changed_.notify_all();
}

void Indexer::run_documents() {
  std::map<VaultState*, Publisher::Batch> batches;
  {
    MutexLock lock(mutex_);
    if (documents_.empty()) return;
    for (auto& [vault, prepared] : documents_) batches[vault].files.push_back(std::move(prepared));
    documents_.clear();
    publishing_documents_ = true;
    changed_.notify_all();
  }
  for (auto& [vault, batch] : batches) {
    // Errors are logged and the files stay pending with the reason.
    if (publish(*vault, std::move(batch), EmbedQueue::Urgency::kBulk))
      static_cast<void>(relink_notes(*vault).has_value());
  }
  MutexLock lock(mutex_);
  publishing_documents_ = false;
  changed_.notify_all();
}

bool Indexer::queue_document(VaultState& vault, FileTask& task, DocumentQueue::Urgency urgency,
                             Publisher::Batch& batch) {
  const DocumentReader* reader = find_reader(options_.documents, task.path);
  if (reader == nullptr) return false;
  if (!reader->off.empty()) {
    batch.files.push_back(name_only(std::move(task), Prepared::Outcome::kIndexed,
                                    store::FileState::kSkipped, reader->off));
    return true;
  }
  if (!task.had_content) {
    batch.files.push_back(name_only(task, Prepared::Outcome::kNamed, store::FileState::kStale, {}));
  }
  const auto queue =
      std::find_if(document_queues_.begin(), document_queues_.end(),
                   [&](const auto& candidate) { return &candidate->reader() == reader; });
  (*queue)->add(vault, std::move(task), urgency);
  return true;
}

std::optional<FileTask> Indexer::notice(VaultState& vault, const std::string& path,
                                        const vault::Fingerprint& fingerprint,
                                        Ledger::Recheck recheck) {
  return vault.ledger.notice(path, fingerprint, vault.walks, recheck, new_id_,
                             parser_version_of(find_reader(options_.documents, path)));
}

Status Indexer::publish(VaultState& vault, Publisher::Batch batch, EmbedQueue::Urgency urgency) {
  if (batch.files.empty() && batch.vanished.empty()) return {};
  return publisher_.publish(vault, std::move(batch), urgency);
}

Status Indexer::relink_notes(VaultState& vault) {
  MutexLock publishing(embed_queue_.publish_mutex());
  return relink(store_, vault);
}

}  // namespace knap::index
