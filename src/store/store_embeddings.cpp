#include <algorithm>
#include <array>

#include "store_impl.hpp"

namespace knap::store {
namespace {

std::span<const std::int8_t> values_of(std::string_view blob) {
  return {reinterpret_cast<const std::int8_t*>(blob.data()), blob.size()};
}

}  // namespace

Status StoreImpl::put_embeddings(ModelKey model, std::span<const EmbeddingRecord> records,
                                 std::int64_t now_ms) {
  MutexLock lock(writer_mutex_);
  KNAP_TRY(auto transaction, Transaction::begin(*writer_));
  KNAP_TRY(auto insert,
           writer_->prepare(
               "INSERT INTO embeddings (hash, model, made_at_ms, vector) VALUES (?, ?, ?, ?) "
               "ON CONFLICT (hash, model) DO UPDATE SET vector = excluded.vector"));
  for (const EmbeddingRecord& record : records) {
    insert.bind(record.hash, static_cast<std::int64_t>(model), now_ms, record.values);
    KNAP_CHECK_OK(insert.run());
  }
  return transaction.commit();
}

Status StoreImpl::embeddings(
    ModelKey model, std::span<const Hash128> hashes,
    const std::function<void(std::size_t, std::span<const std::int8_t>)>& visit) const {
  const auto reader = readers_.take();
  KNAP_TRY(auto row, reader->prepare("SELECT vector FROM embeddings WHERE hash = ? AND model = ?"));
  for (std::size_t i = 0; i < hashes.size(); ++i) {
    row.bind(hashes[i], static_cast<std::int64_t>(model));
    KNAP_TRY(const bool found, row.step());
    if (found) visit(i, values_of(row.text(0)));
    row.reset();
  }
  return {};
}

Result<std::string> StoreImpl::serving_model() const {
  const auto reader = readers_.take();
  KNAP_TRY(auto row, reader->prepare("SELECT name FROM models WHERE serves"));
  KNAP_TRY(const bool found, row.step());
  return found ? std::string(row.text(0)) : std::string();
}

Status StoreImpl::set_serving_model(ModelKey model) {
  MutexLock lock(writer_mutex_);
  KNAP_TRY(auto update, writer_->prepare("UPDATE models SET serves = (id = ?)"));
  update.bind(static_cast<std::int64_t>(model));
  return update.run();
}

Status StoreImpl::used_embeddings(
    ModelKey model, VaultId vault,
    const std::function<void(const Hash128&, std::span<const std::int8_t>)>& visit) const {
  const auto reader = readers_.take();
  KNAP_TRY(
      auto rows,
      reader->prepare("SELECT hash, vector FROM embeddings NOT INDEXED WHERE model = ? AND EXISTS "
                      "(SELECT 1 FROM passages p JOIN files f ON f.id = (p.id >> 20) "
                      "WHERE p.hash = embeddings.hash AND f.vault = ?)"));
  rows.bind(static_cast<std::int64_t>(model), static_cast<std::int64_t>(vault));
  for (;;) {
    KNAP_TRY(const bool more, rows.step());
    if (!more) return {};
    visit(rows.hash(0), values_of(rows.text(1)));
  }
}

Result<std::vector<MissingEmbedding>> StoreImpl::missing_embeddings(ModelKey model,
                                                                    std::span<const VaultId> vaults,
                                                                    std::optional<Hash128> after,
                                                                    std::size_t limit) const {
  const auto reader = readers_.take();
  KNAP_TRY(auto rows,
           reader->prepare(
               "SELECT p.hash, p.id, (SELECT f.vault FROM files f WHERE f.id = (p.id >> 20)) "
               "FROM passages p INDEXED BY passages_by_hash WHERE p.hash > ? AND NOT EXISTS "
               "(SELECT 1 FROM "
               "embeddings e WHERE e.hash = p.hash AND e.model = ?) ORDER BY p.hash"));
  if (after) {
    rows.bind_one(1, *after);
  } else {
    rows.bind_blob(1, {});
  }
  rows.bind_one(2, static_cast<std::int64_t>(model));
  std::vector<MissingEmbedding> out;
  while (out.size() < limit) {
    KNAP_TRY(const bool more, rows.step());
    if (!more) break;
    const Hash128 hash = rows.hash(0);
    if (!out.empty() && out.back().hash == hash) continue;
    const auto vault = static_cast<VaultId>(rows.integer(2));
    if (std::find(vaults.begin(), vaults.end(), vault) == vaults.end()) continue;
    out.push_back({hash, key_of(rows.integer(1))});
  }
  return out;
}

Result<std::uint64_t> StoreImpl::count_missing_embeddings(ModelKey model,
                                                          std::span<const VaultId> vaults) const {
  const auto reader = readers_.take();
  KNAP_TRY(auto row,
           reader->prepare(
               "SELECT count(DISTINCT p.hash) FROM passages p JOIN files f ON f.id = (p.id >> 20) "
               "WHERE f.vault = ? AND NOT EXISTS "
               "(SELECT 1 FROM embeddings e WHERE e.hash = p.hash AND e.model = ?)"));
  std::uint64_t count = 0;  // a passage that two vaults share counts in both
  for (const VaultId vault : vaults) {
    row.bind(static_cast<std::int64_t>(vault), static_cast<std::int64_t>(model));
    KNAP_TRY(const bool found, row.step());
    if (found) count += static_cast<std::uint64_t>(row.integer(0));
    row.reset();
  }
  return count;
}

Result<std::vector<std::uint32_t>> StoreImpl::missing_in_files(
    ModelKey model, std::span<const FileId> files) const {
  const auto reader = readers_.take();
  KNAP_TRY(
      auto row,
      reader->prepare("SELECT count(*) FROM passages p WHERE p.id >= ? AND p.id < ? AND NOT EXISTS "
                      "(SELECT 1 FROM embeddings e WHERE e.hash = p.hash AND e.model = ?)"));
  std::vector<std::uint32_t> out;
  out.reserve(files.size());
  for (const FileId file : files) {
    row.bind(first_row(file), first_row(file) + kPassagesPerFileMax,
             static_cast<std::int64_t>(model));
    KNAP_TRY(const bool found, row.step());
    out.push_back(found ? static_cast<std::uint32_t>(row.integer(0)) : 0);
    row.reset();
  }
  return out;
}

Result<std::vector<VaultId>> StoreImpl::vaults_with(const Hash128& hash) const {
  const auto reader = readers_.take();
  KNAP_TRY(
      auto rows,
      reader->prepare("SELECT DISTINCT f.vault FROM passages p JOIN files f ON f.id = (p.id >> 20) "
                      "WHERE p.hash = ?"));
  rows.bind(hash);
  std::vector<VaultId> out;
  for (;;) {
    KNAP_TRY(const bool more, rows.step());
    if (!more) return out;
    out.push_back(static_cast<VaultId>(rows.integer(0)));
  }
}

Result<std::size_t> StoreImpl::collect_garbage(std::int64_t made_before_ms, std::size_t limit) {
  std::vector<std::int64_t> unused;
  {
    const auto reader = readers_.take();
    KNAP_TRY(auto rows,
             reader->prepare("SELECT e.id FROM embeddings e WHERE e.made_at_ms < ? AND NOT EXISTS "
                             "(SELECT 1 FROM passages p WHERE p.hash = e.hash) LIMIT ?"));
    rows.bind(made_before_ms, static_cast<std::int64_t>(limit));
    for (;;) {
      KNAP_TRY(const bool more, rows.step());
      if (!more) break;
      unused.push_back(rows.integer(0));
    }
  }
  if (unused.empty()) return std::size_t{0};
  MutexLock lock(writer_mutex_);
  KNAP_TRY(auto transaction, Transaction::begin(*writer_));
  // Looked up again: a passage may have come back since.
  KNAP_TRY(auto remove,
           writer_->prepare(
               "DELETE FROM embeddings WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM passages p "
               "WHERE p.hash = embeddings.hash)"));
  std::size_t removed = 0;
  for (const std::int64_t id : unused) {
    remove.bind(id);
    KNAP_CHECK_OK(remove.run());
    removed += static_cast<std::size_t>(writer_->changes());
  }
  KNAP_CHECK_OK(transaction.commit());
  return removed;
}

}  // namespace knap::store
