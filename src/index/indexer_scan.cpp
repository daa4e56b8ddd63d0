#include <algorithm>
#include <filesystem>
#include <utility>

#include "indexer.hpp"
#include "knap/observe/log.hpp"
#include "knap/vault/parse.hpp"

namespace knap::index {
namespace {

constexpr std::size_t kBatchFiles = 512;
constexpr std::uint64_t kBatchBytes = 4U << 20;
constexpr auto kBatchAge = std::chrono::milliseconds(100);
constexpr std::size_t kReadingFiles = 128;          // given to the readers at a time
constexpr std::uint64_t kReadingBytes = 16U << 20;  // one larger file alone may pass
constexpr std::size_t kWalkStep = 512;              // entries between looks at small changes

/// Ignored itself, or inside an ignored folder.
bool is_ignored(const vault::IgnoreRules& rules, const std::string& path) {
  using Kind = vault::IgnoreRules::EntryKind;
  for (std::size_t slash = path.find('/'); slash != std::string::npos;
       slash = path.find('/', slash + 1)) {
    if (rules.ignored(std::string_view(path).substr(0, slash), Kind::kFolder)) return true;
  }
  return rules.ignored(path, Kind::kFile).has_value();
}

}  // namespace

/// What the readers have finished. Outlives a stop in the middle: the tasks share it.
struct Indexer::Results {
  Mutex mutex;
  CondVar arrived;
  std::vector<Prepared> ready KNAP_GUARDED_BY(mutex);

  void push(Prepared prepared) {
    MutexLock lock(mutex);
    ready.push_back(std::move(prepared));
    arrived.notify_one();
  }
  std::vector<Prepared> take(Deadline deadline) {
    MutexLock lock(mutex);
    while (ready.empty() && !deadline.expired()) arrived.wait_until(mutex, deadline);
    return std::exchange(ready, {});
  }
};

Status Indexer::scan_vault(VaultState& vault, Ledger::Recheck recheck) {
  report("scan", 0, 0);
  const vault::IgnoreRules rules = vault::IgnoreRules::load(vault.config.root);
  for (const std::string& warning : rules.warnings()) {
    observe::log_warning("ignore_rules", warning, {{"vault", vault.config.name}});
  }
  {
    MutexLock lock(vault.mutex);
    vault.rules = rules;
  }
  Work work;
  KNAP_CHECK_OK(walk_vault(vault, rules, recheck, work));
  vault.walked = true;
  add_unseen(vault, rules, work);
  prepare_learning(vault, work);
  return read_all(vault, std::move(work));
}

Status Indexer::walk_vault(VaultState& vault, const vault::IgnoreRules& rules,
                           Ledger::Recheck recheck, Work& work) {
  ++vault.walks;
  std::size_t seen = 0;
  return vault::walk(vault.config.root, rules, {}, stop_, [&](const vault::WalkEntry& entry) {
    if (auto task = notice(vault, entry.path, entry.fingerprint, recheck)) {
      if (!entry.problem.empty()) {
        work.batch.files.push_back(prepare_problem(std::move(*task), entry.problem));
      } else {
        if (task->is_new) vault.graph.add_file(task->id, task->path);
        work.tasks.push_back(std::move(*task));
      }
    }
    if (++seen % kWalkStep == 0) {
      run_documents();
      run_small_changes();
    }
  });
}

void Indexer::add_unseen(VaultState& vault, const vault::IgnoreRules& rules, Work& work) {
  std::uint64_t unexplained = 0;
  for (std::string& path : vault.ledger.unseen(vault.walks)) {
    // A file made after the walk had passed its folder is not lost: the watcher has told, or the
    // next walk does.
    const bool there = vault::fingerprint(vault.config.root / path).has_value();
    if (there && !is_ignored(rules, path)) {
      ++unexplained;
      continue;
    }
    work.batch.vanished.push_back(std::move(path));
  }
  check_ledger(vault, unexplained);
}

/// The ledger must hold what the walk saw and nothing else. Files made meanwhile differ once; what
/// differs twice in a row is a fault.
void Indexer::check_ledger(VaultState& vault, std::uint64_t unexplained) {
  const std::uint64_t before = std::exchange(vault.unexplained, unexplained);
  std::uint64_t all = 0;
  for (const auto& each : vaults_) all += each->unexplained;
  unexplained_.set(static_cast<double>(all));
  if (before == 0 || unexplained == 0) return;
  observe::log_warning("ledger_differs",
                       "the ledger lists files that two walks in a row did not meet",
                       {{"vault", vault.config.name}, {"files", std::to_string(unexplained)}});
}

Indexer::Work Indexer::examine(VaultState& vault, const std::vector<std::string>& paths) {
  vault::IgnoreRules rules;
  {
    MutexLock lock(vault.mutex);
    rules = vault.rules;
  }
  Work work;
  for (const std::string& path : paths) examine_one(vault, rules, path, work);
  return work;
}

void Indexer::examine_one(VaultState& vault, const vault::IgnoreRules& rules,
                          const std::string& path, Work& work) {
  const std::filesystem::path file = vault.config.root / path;
  const auto fingerprint = vault::fingerprint(file);
  if (fingerprint && !is_ignored(rules, path)) {
    auto task = notice(vault, path, *fingerprint, Ledger::Recheck::kIfChanged);
    if (!task) return;
    if (task->is_new) vault.graph.add_file(task->id, task->path);
    work.tasks.push_back(std::move(*task));
    return;
  }
  if (vault.ledger.find(path)) work.batch.vanished.push_back(path);
  for (std::string& below : vault.ledger.below(path))
    work.batch.vanished.push_back(std::move(below));
  std::error_code failed;
  const auto status = std::filesystem::symlink_status(file, failed);
  const bool odd =
      !fingerprint && std::filesystem::exists(status) && !std::filesystem::is_directory(status);
  if (!odd || is_ignored(rules, path)) return;
  // A named pipe, a broken link: only a walk says what stands in the ledger for it.
  vault::Changes changes;
  changes.rescan = true;
  changed(vault, std::move(changes));
}

/// Where most of a vault is read anyway, some of its notes from all folders go first: what repeats
/// in them is known before anything of it is searched or embedded.
void Indexer::prepare_learning(const VaultState& vault, Work& work) const {
  constexpr std::uint64_t kLearnedFileBytesMax = 256U << 10;
  if (!options_.learn_boilerplate || work.tasks.size() < Boilerplate::kNotesMin) return;
  if (work.tasks.size() < vault.ledger.counts().total() / 2) return;
  const auto fit =
      std::stable_partition(work.tasks.begin(), work.tasks.end(), [](const FileTask& task) {
        return vault::file_type(task.path) == vault::FileType::kMarkdown &&
               task.fingerprint.size_bytes <= kLearnedFileBytesMax;
      });
  const auto count = static_cast<std::size_t>(fit - work.tasks.begin());
  work.sample = std::min(count, Boilerplate::kNotesMax);
  // The same notes each time: what is learned must not change without a reason.
  for (std::size_t i = 0; i < work.sample; ++i)
    std::swap(work.tasks[i], work.tasks[i * count / work.sample]);
}

void Indexer::learn_boilerplate(VaultState& vault, std::vector<Prepared>& sample) {
  Boilerplate::Learner learner;
  for (const Prepared& prepared : sample) {
    std::vector<std::string_view> texts;
    for (const store::PassageRecord& passage : prepared.change.passages)
      texts.push_back(passage.plain);
    if (!texts.empty()) learner.add(texts);
  }
  auto learned = std::make_shared<const Boilerplate>(learner.finish());
  for (Prepared& prepared : sample) set_boilerplate_aside(prepared, *learned);
  if (const Status kept = store_.set_boilerplate(vault.id, learned->encode()); !kept)
    observe::log_warning("boilerplate_not_kept", kept.error().message);
  MutexLock lock(vault.mutex);
  vault.boilerplate = std::move(learned);
}

Status Indexer::read_all(VaultState& vault, Work work) {
  const auto results = std::make_shared<Results>();
  const std::size_t total = work.tasks.size();
  Publisher::Batch batch = std::move(work.batch);
  Status result;
  std::size_t next = 0, reading = 0, done = 0;
  std::vector<Prepared> sample;  // held until all of it is read
  std::shared_ptr<const Boilerplate> boilerplate =
      work.sample == 0 ? vault.known_boilerplate() : nullptr;
  std::uint64_t reading_bytes = 0, batch_bytes = 0;
  auto batch_begin = SteadyClock::now();
  const auto flush = [&] {
    Status published = publish(vault, std::exchange(batch, {}), EmbedQueue::Urgency::kBulk);
    if (!published) result = std::move(published);
    batch_bytes = 0;
    batch_begin = SteadyClock::now();
    report("keyword", done, total);
  };
  while (next < total || reading > 0) {
    const std::size_t until = boilerplate ? total : work.sample;
    while (next < until && !stop_.cancelled() && reading < kReadingFiles &&
           batch.files.size() < kBatchFiles) {
      FileTask& task = work.tasks[next];
      if (queue_document(vault, task, DocumentQueue::Urgency::kBulk, batch)) {
        ++next;
        ++done;
        continue;
      }
      const std::uint64_t size = task.fingerprint.size_bytes;
      if (reading > 0 && reading_bytes + size > kReadingBytes) break;
      const Status submitted =
          readers_->submit([results, &vault, task, boilerplate, limit = options_.max_file_bytes] {
            Prepared prepared = prepare(vault.config.root, task, limit);
            if (boilerplate) set_boilerplate_aside(prepared, *boilerplate);
            results->push(std::move(prepared));
          });
      if (!submitted) break;
      ++next;
      ++reading;
      reading_bytes += size;
    }
    if (stop_.cancelled() && reading == 0) break;
    // Names of documents need no reading.
    const auto wait = reading > 0 ? Deadline::after(kBatchAge) : Deadline::after({});
    for (Prepared& prepared : results->take(wait)) {
      --reading;
      ++done;
      reading_bytes -= prepared.task.fingerprint.size_bytes;
      batch_bytes += prepared.bytes;
      (boilerplate ? batch.files : sample).push_back(std::move(prepared));
    }
    if (!boilerplate && sample.size() == work.sample) {
      learn_boilerplate(vault, sample);
      boilerplate = vault.known_boilerplate();
      std::move(sample.begin(), sample.end(), std::back_inserter(batch.files));
    }
    const bool late = SteadyClock::now() - batch_begin >= kBatchAge;
    if (late || batch.files.size() >= kBatchFiles || batch_bytes >= kBatchBytes) flush();
    run_documents();
    run_small_changes();
  }
  if (stop_.cancelled()) return make_error(ErrorCode::kCancelled, "the index is stopping");
  flush();
  KNAP_CHECK_OK(std::move(result));
  return relink_notes(vault);
}

}  // namespace knap::index
