#include "publisher.hpp"

#include <unordered_set>

#include "knap/observe/log.hpp"

namespace knap::index {
namespace {

constexpr std::int64_t kStoreRetryMs = 5'000;

}  // namespace

/// One batch on its way: `files[i]` belongs to `writes.changes[i]`.
struct Publisher::Plan {
  std::vector<Prepared> files;
  store::WriteBatch writes;
  std::vector<store::FileId> gone;  ///< Leave links and index.
  std::vector<std::string> vanished;
};

Publisher::Publisher(store::Store& store, EmbedQueue& embed_queue, observe::Registry& metrics)
    : store_(store),
      embed_queue_(embed_queue),
      read_(metrics.counter("knap_index_files_read_total", "Files read")),
      parsed_(metrics.counter("knap_index_notes_parsed_total", "Files parsed")),
      unchanged_(metrics.counter("knap_index_files_unchanged_total",
                                 "Files whose fingerprint or content was the same as before")),
      publish_seconds_(
          metrics.histogram("knap_index_publish_seconds", "Time to store and publish one batch")) {}

void Publisher::add(VaultState& vault, Prepared& prepared, Plan& plan) {
  if (prepared.was_read) read_.add();
  if (prepared.was_parsed) parsed_.add();
  if (!vault.ledger.current(prepared.task)) return;
  switch (prepared.outcome) {
    case Prepared::Outcome::kVanished: plan.vanished.push_back(prepared.task.path); return;
    case Prepared::Outcome::kUnchanged: unchanged_.add(); break;
    case Prepared::Outcome::kDropped: plan.gone.push_back(prepared.task.id); break;
    case Prepared::Outcome::kIndexed:
    case Prepared::Outcome::kNamed:
    case Prepared::Outcome::kKept: break;
  }
  plan.writes.changes.push_back(std::move(prepared.change));
  plan.files.push_back(std::move(prepared));
}

Status Publisher::publish(VaultState& vault, Batch batch, EmbedQueue::Urgency urgency) {
  const auto begin = SteadyClock::now();
  Plan plan;
  plan.vanished = std::move(batch.vanished);
  for (Prepared& prepared : batch.files) add(vault, prepared, plan);
  for (const std::string& path : plan.vanished) {
    const auto entry = vault.ledger.find(path);
    if (!entry) continue;
    plan.writes.deletes.push_back(entry->id);
    plan.gone.push_back(entry->id);
  }
  if (plan.files.empty() && plan.gone.empty()) return {};
  MutexLock publishing(embed_queue_.publish_mutex());
  const Status written = write(vault, plan, urgency);
  if (!written) {
    const std::int64_t retry_at_ms = unix_now_ms() + kStoreRetryMs;
    for (const Prepared& file : plan.files)
      vault.ledger.postpone(file.task, written.error().message, retry_at_ms);
    for (const std::string& path : plan.vanished) vault.ledger.release(path);
    observe::log_error("index_write_failed", written.error().message,
                       {{"files", static_cast<std::int64_t>(plan.files.size())}});
  }
  publish_seconds_.record(SteadyClock::now() - begin);
  return written;
}

Status Publisher::write(VaultState& vault, Plan& plan, EmbedQueue::Urgency urgency) {
  const auto passages = new_passages(plan);
  const LiveIndex::Change changing(vault.index);  // hits are read from the store, which goes ahead
  KNAP_CHECK_OK(store_.apply(vault.id, plan.writes));

  // From here on the store has it: links first, then the index, the ledger last.
  for (const std::string& path : plan.vanished) vault.ledger.remove(path);
  for (const store::FileId id : plan.gone) {
    vault.graph.remove(id);
    vault.prints.remove(id);
  }
  for (std::size_t i = 0; i < plan.files.size(); ++i) {
    const Prepared& file = plan.files[i];
    if (!file.has_content()) continue;
    vault.graph.set_note(file.task.id, file.task.path, plan.writes.changes[i].note.title,
                         file.meta.aliases, file.meta.links);
  }
  search::Index::Batch batch;
  for (const store::FileId id : plan.gone) batch.deletes.push_back(static_cast<search::NoteId>(id));
  for (std::size_t i = 0; i < plan.files.size(); ++i) {
    const Prepared& file = plan.files[i];
    store::FileChange& change = plan.writes.changes[i];
    const Hash128 print = print_of(file.task.path, change.file.hash, change.file.mtime_ns,
                                   change.file.parser_version);
    if (!file.has_content()) {
      vault.prints.set_file(file.task.id, print);  // the time is shown
      continue;
    }
    auto links = vault.graph.publish_links(file.task.id);
    vault.prints.set(file.task.id, print, links.fingerprint);
    auto& input =
        batch.upserts.emplace_back(note_input(file.task.id, file.task.path, change.note, file.meta,
                                              change.file.mtime_ns, std::move(links)));
    input.passages.reserve(change.passages.size());
    for (store::PassageRecord& passage : change.passages) {
      add_passage(input, passage.hash, passage.headings, passage.first_line, passage.last_line,
                  std::move(passage.plain), std::move(passage.faint));
    }
  }
  if (!batch.upserts.empty() || !batch.deletes.empty()) vault.index.apply(std::move(batch));
  for (std::size_t i = 0; i < plan.files.size(); ++i) {
    const Prepared& file = plan.files[i];
    if (file.outcome == Prepared::Outcome::kNamed) {
      vault.ledger.hold(file.task);
      continue;
    }
    const bool content = file.outcome == Prepared::Outcome::kIndexed ||
                         (file.outcome != Prepared::Outcome::kDropped && file.task.had_content);
    vault.ledger.settle(file.task, plan.writes.changes[i].file, content);
  }
  return embed_queue_.attach(vault, passages, urgency);
}

/// Passages that were not in their note before; the others have their vectors or stand in the
/// queue.
std::vector<EmbedQueue::NewPassage> Publisher::new_passages(const Plan& plan) const {
  std::vector<EmbedQueue::NewPassage> out;
  for (std::size_t i = 0; i < plan.files.size(); ++i) {
    if (plan.files[i].outcome != Prepared::Outcome::kIndexed) continue;
    const store::FileId id = plan.files[i].task.id;
    std::unordered_set<Hash128> old;
    if (plan.files[i].task.had_content) {
      if (const auto hashes = store_.passage_hashes(id)) old.insert(hashes->begin(), hashes->end());
    }
    std::uint32_t ordinal = 0;
    for (const store::PassageRecord& passage : plan.writes.changes[i].passages) {
      if (!old.contains(passage.hash)) out.push_back({passage.hash, {id, ordinal}});
      ++ordinal;
    }
  }
  return out;
}

}  // namespace knap::index
