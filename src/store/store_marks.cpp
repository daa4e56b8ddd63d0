#include "store_impl.hpp"

namespace knap::store {
namespace {

/// Stamps and counters stand in SQLite's signed integers.
constexpr std::int64_t kLargestStamp = (std::int64_t{1} << 62) - 1;

Result<std::uint64_t> changes_of(Database& database, VaultId vault) {
  KNAP_TRY(auto row, database.prepare("SELECT number FROM changes WHERE vault = ?"));
  row.bind(static_cast<std::int64_t>(vault));
  KNAP_TRY(const bool found, row.step());
  return found ? static_cast<std::uint64_t>(row.integer(0)) : 0;
}

}  // namespace

Result<std::uint64_t> StoreImpl::changes(VaultId vault) const {
  const auto reader = readers_.take();
  return changes_of(*reader, vault);
}

Result<std::uint64_t> StoreImpl::next_change(VaultId vault) {
  KNAP_TRY(
      auto raise,
      writer_->prepare("INSERT INTO changes (vault, number) VALUES (?, 1) "
                       "ON CONFLICT (vault) DO UPDATE SET number = number + 1 RETURNING number"));
  raise.bind(static_cast<std::int64_t>(vault));
  KNAP_TRY(const bool row, raise.step());
  if (!row) return make_error(ErrorCode::kInternal, "the store gave no number for a change");
  const auto number = static_cast<std::uint64_t>(raise.integer(0));
  // The row is written when the statement ends, not at its first row.
  KNAP_CHECK_OK(raise.run());
  return number;
}

Result<Mark> StoreImpl::mark(VaultId vault) {
  MutexLock lock(writer_mutex_);
  KNAP_TRY(auto transaction, Transaction::begin(*writer_));
  KNAP_TRY(const std::uint64_t number, changes_of(*writer_, vault));
  const auto id = static_cast<std::int64_t>(vault);
  std::int64_t stamp = 0;
  {
    KNAP_TRY(
        auto insert,
        writer_->prepare(
            "INSERT INTO marks (stamp, vault, number, made) VALUES (1 + (random() & ?), ?, ?, "
            "1 + coalesce((SELECT max(made) FROM marks WHERE vault = ?), 0)) RETURNING stamp"));
    insert.bind(kLargestStamp, id, static_cast<std::int64_t>(number), id);
    KNAP_TRY(const bool row, insert.step());
    if (!row) return make_error(ErrorCode::kInternal, "the store gave no stamp for a mark");
    stamp = insert.integer(0);
    KNAP_CHECK_OK(insert.run());
  }
  {
    KNAP_TRY(auto forget, writer_->prepare("DELETE FROM marks WHERE vault = ? AND made <= "
                                           "(SELECT max(made) FROM marks WHERE vault = ?) - ?"));
    forget.bind(id, id, std::int64_t{kMarksKept});
    KNAP_CHECK_OK(forget.run());
  }
  KNAP_CHECK_OK(transaction.commit());
  return Mark{static_cast<std::uint64_t>(stamp), number};
}

Result<std::optional<Mark>> StoreImpl::find_mark(VaultId vault, std::uint64_t stamp) const {
  if (stamp > static_cast<std::uint64_t>(kLargestStamp) + 1) return std::optional<Mark>();
  const auto reader = readers_.take();
  KNAP_TRY(auto row, reader->prepare("SELECT number FROM marks WHERE stamp = ? AND vault = ?"));
  row.bind(static_cast<std::int64_t>(stamp), static_cast<std::int64_t>(vault));
  KNAP_TRY(const bool found, row.step());
  if (!found) return std::optional<Mark>();
  return std::optional<Mark>(Mark{stamp, static_cast<std::uint64_t>(row.integer(0))});
}

}  // namespace knap::store
