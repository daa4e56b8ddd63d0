#include <vector>

#include "store_impl.hpp"

namespace knap::store {

Result<std::optional<std::string>> StoreImpl::extraction(const Hash128& content,
                                                         const ReaderVersion& by) const {
  const auto reader = readers_.take();
  KNAP_TRY(auto row,
           reader->prepare(
               "SELECT bytes FROM extractions WHERE hash = ? AND reader = ? AND version = ?"));
  row.bind(content, std::int64_t{by.reader}, std::int64_t{by.version});
  KNAP_TRY(const bool found, row.step());
  if (!found) return std::optional<std::string>();
  return std::optional<std::string>(std::string(row.text(0)));
}

Status StoreImpl::put_extraction(const Hash128& content, const ReaderVersion& by,
                                 std::string_view bytes, std::int64_t now_ms) {
  MutexLock lock(writer_mutex_);
  KNAP_TRY(auto transaction, Transaction::begin(*writer_));
  {
    KNAP_TRY(auto insert,
             writer_->prepare("INSERT OR REPLACE INTO extractions (hash, reader, version, "
                              "made_at_ms, bytes) VALUES (?, ?, ?, ?, ?)"));
    insert.bind(content, std::int64_t{by.reader}, std::int64_t{by.version}, now_ms);
    insert.bind_blob(5, bytes);
    KNAP_CHECK_OK(insert.run());
  }
  return transaction.commit();
}

Result<std::size_t> StoreImpl::collect_extractions(std::int64_t made_before_ms, std::size_t limit) {
  MutexLock lock(writer_mutex_);
  KNAP_TRY(auto transaction, Transaction::begin(*writer_));
  std::size_t removed = 0;
  {
    KNAP_TRY(auto remove,
             writer_->prepare("DELETE FROM extractions WHERE id IN (SELECT id FROM extractions "
                              "WHERE made_at_ms < ? AND hash NOT IN (SELECT hash FROM files WHERE "
                              "hash IS NOT NULL) LIMIT ?)"));
    remove.bind(made_before_ms, static_cast<std::int64_t>(limit));
    KNAP_CHECK_OK(remove.run());
    removed = static_cast<std::size_t>(writer_->changes());
  }
  KNAP_CHECK_OK(transaction.commit());
  return removed;
}

}  // namespace knap::store
