#include "vault_state.hpp"

#include <fmt/format.h>

namespace knap::index {
namespace {

constexpr std::int64_t kNanosPerSecond = 1'000'000'000;

}  // namespace

Hash128 print_of(std::string_view path, const std::optional<Hash128>& content,
                 std::int64_t mtime_ns, std::uint32_t parser_version) {
  return hash128(fmt::format("{}\x1f{}\x1f{}\x1f{}", path, content ? content->hex() : "",
                             mtime_ns / kNanosPerSecond, parser_version));
}

void NotePrints::add(store::FileId id, const Print& print) {
  prints_.insert_or_assign(id, print);
  high_ += print.file.high ^ print.links;
  low_ += print.file.low + print.links;
}

void NotePrints::drop(store::FileId id) {
  const auto found = prints_.find(id);
  if (found == prints_.end()) return;
  high_ -= found->second.file.high ^ found->second.links;
  low_ -= found->second.file.low + found->second.links;
  prints_.erase(found);
}

void NotePrints::set(store::FileId id, const Hash128& file, std::uint64_t links) {
  const MutexLock lock(mutex_);
  drop(id);
  add(id, {file, links});
}

void NotePrints::set_file(store::FileId id, const Hash128& file) {
  const MutexLock lock(mutex_);
  const auto found = prints_.find(id);
  if (found == prints_.end()) return;
  const Print print{file, found->second.links};
  drop(id);
  add(id, print);
}

void NotePrints::remove(store::FileId id) {
  const MutexLock lock(mutex_);
  drop(id);
}

std::string NotePrints::sum() const {
  const MutexLock lock(mutex_);
  return fmt::format("{}.{}", Hash128{high_, low_}.hex(), prints_.size());
}

LiveIndex::LiveIndex(std::uint32_t dimensions, const search::RankingSettings& ranking)
    : index_(search::Index::create({.dimensions = dimensions, .ranking = ranking})) {}

search::IndexStats LiveIndex::stats() const {
  search::IndexStats stats = index_->stats();
  MutexLock lock(mutex_);
  if (stats.epoch >= last_stats_.epoch) last_stats_ = stats;
  return stats;
}

search::IndexStats LiveIndex::stats_at(std::uint64_t epoch) const {
  {
    MutexLock lock(mutex_);
    if (epoch != 0 && last_stats_.epoch == epoch) return last_stats_;
  }
  return stats();
}

void LiveIndex::apply(search::Index::Batch batch) {
  const Change change(*this);
  MutexLock lock(write_mutex_);
  index_->apply(std::move(batch));
}

Status LiveIndex::restore(std::string_view snapshot) {
  const Change change(*this);
  MutexLock lock(write_mutex_);
  return index_->restore(snapshot);
}

Status LiveIndex::set_vectors(std::span<const search::Index::VectorInput> vectors) {
  const Change change(*this);
  MutexLock lock(write_mutex_);
  return index_->set_vectors(vectors);
}

Status LiveIndex::replace_vectors(
    std::uint32_t dimensions, std::uint64_t space,
    const std::function<Status(const search::Index::PutVector&)>& fill) {
  const Change change(*this);
  MutexLock lock(write_mutex_);
  return index_->replace_vectors(dimensions, space, fill);
}

search::NoteInput note_input(store::FileId id, const std::string& path,
                             const store::NoteRecord& note, const NoteMeta& meta,
                             std::int64_t mtime_ns, LinkGraph::Published links) {
  search::NoteInput input;
  input.id = static_cast<search::NoteId>(id);
  input.path = path;
  input.name = note.name;
  input.title = note.title;
  input.aliases = meta.aliases;
  input.tags = split_lines(note.tags);
  input.language = note.language;
  input.cookie = links.fingerprint;
  search::NoteFacts& facts = input.facts;
  facts.path = path;
  facts.name = note.name;
  facts.title = note.title;
  facts.type = std::string(vault::to_string(meta.type));
  facts.language = note.language;
  facts.tags = input.tags;
  for (const vault::Heading& heading : meta.headings) facts.headings.push_back(heading.text);
  facts.links_to = std::move(links.paths);
  facts.modified_s = mtime_ns / kNanosPerSecond;
  facts.created_s = meta.created_s;
  facts.has_open_task = meta.has_open_task;
  facts.has_done_task = meta.has_done_task;
  for (const vault::Property& property : meta.properties) {
    auto& fact = facts.properties.emplace_back();
    fact.name = property.name;
    for (const auto& value : property.values) {
      std::visit(
          [&](const auto& scalar) {
            if constexpr (std::is_same_v<std::decay_t<decltype(scalar)>, vault::DateTime>) {
              fact.values.emplace_back(iso_text(scalar));
            } else {
              fact.values.emplace_back(scalar);
            }
          },
          value);
    }
  }
  return input;
}

void add_passage(search::NoteInput& note, const Hash128& hash, std::string_view headings,
                 std::uint32_t first_line, std::uint32_t last_line, std::string plain,
                 std::string faint) {
  search::PassageInput& passage = note.passages.emplace_back();
  passage.hash = hash;
  passage.headings = split_lines(headings);
  passage.first_line = first_line;
  passage.last_line = last_line;
  // A passage of boilerplate alone has the same text in both.
  if (faint != plain) passage.plain = std::move(plain);
  passage.faint = std::move(faint);
}

}  // namespace knap::index
