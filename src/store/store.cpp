#include "knap/store/store.hpp"

#include <bit>
#include <cerrno>
#include <string>
#include <system_error>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "migrations.hpp"
#include "store_impl.hpp"

namespace knap::store {
namespace {

constexpr std::string_view kDatabaseName = "knap.db";
constexpr std::string_view kLockName = "knap.lock";
constexpr std::size_t kReadersMax = 20;

// NORMAL syncs at checkpoints only: a power cut may lose the last batches, which the next walk
// finds again.
constexpr const char* kWriterSettings =
    "PRAGMA page_size = 8192;"
    "PRAGMA journal_mode = WAL;"
    "PRAGMA synchronous = NORMAL;"
    "PRAGMA wal_autocheckpoint = 4000;"
    "PRAGMA journal_size_limit = 67108864;"
    "PRAGMA cache_size = -8000;"
    "PRAGMA temp_store = MEMORY;";
constexpr const char* kReaderSettings =
    "PRAGMA query_only = ON;"
    "PRAGMA temp_store = MEMORY;";
/// Pages that connections for reading keep: the first ones, which are taken first, many; the others
/// little more than the inner pages of the trees. Leaves are then read from the system's cache.
constexpr std::size_t kLargeCaches = 2;
constexpr const char* kLargeCache = "PRAGMA cache_size = -16000;";
constexpr const char* kSmallCache = "PRAGMA cache_size = -1000;";

Result<FileDescriptor> take_lock(const std::filesystem::path& data_dir) {
  const std::filesystem::path path = data_dir / kLockName;
  FileDescriptor lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock.valid()) return errno_error(errno, "open", path);
  while (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno == EWOULDBLOCK) {
      return make_error(ErrorCode::kAlreadyExists,
                        "another knap uses the data folder " + data_dir.string() +
                            ": stop it or choose another folder with --data-dir");
    }
    return errno_error(errno, "lock", path);
  }
  return lock;
}

/// Touches the first page of every table: damage of the header or the schema is found now. A whole
/// check would read every page; loading the index reads nearly all of them anyway and reports what
/// it finds.
Status check_tables(Database& database) {
  for (const std::string_view sql :
       {"SELECT count(*) FROM vaults", "SELECT max(id) FROM files", "SELECT max(file) FROM notes",
        "SELECT max(id) FROM passages", "SELECT max(id) FROM embeddings",
        "SELECT count(*) FROM models"}) {
    KNAP_CHECK_OK(database.integer(sql));
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Store>> Store::open(StoreOptions options) {
  if (options.readers == 0 || options.readers > kReadersMax) {
    return make_error(ErrorCode::kInvalidArgument, "store readers must be 1 to 20");
  }
  std::error_code failed;
  std::filesystem::create_directories(options.data_dir, failed);
  if (failed) return errno_error(failed.value(), "make the data folder", options.data_dir);
  KNAP_TRY(FileDescriptor lock, take_lock(options.data_dir));
  const std::filesystem::path file = options.data_dir / kDatabaseName;
  KNAP_TRY(auto writer, Database::open(file, Database::Access::kReadWrite));
  KNAP_CHECK_OK(refuse_foreign(*writer));
  KNAP_CHECK_OK(writer->execute(kWriterSettings));
  KNAP_CHECK_OK(migrate(*writer));
  KNAP_CHECK_OK(check_tables(*writer));
  std::vector<std::unique_ptr<Database>> readers;
  for (std::size_t i = 0; i < options.readers; ++i) {
    KNAP_TRY(auto reader, Database::open(file, Database::Access::kReadOnly));
    KNAP_CHECK_OK(reader->execute(kReaderSettings));
    KNAP_CHECK_OK(reader->execute(i < kLargeCaches ? kLargeCache : kSmallCache));
    readers.push_back(std::move(reader));
  }
  return std::unique_ptr<Store>(std::make_unique<StoreImpl>(std::move(options), std::move(lock),
                                                            std::move(writer), std::move(readers)));
}

ReaderPool::Lease ReaderPool::take() {
  MutexLock lock(mutex_);
  if (free_ == 0) {
    const auto begin = SteadyClock::now();
    while (free_ == 0) wake_.wait(mutex_);
    if (wait_seconds_ != nullptr) wait_seconds_->record(SteadyClock::now() - begin);
  }
  const auto place = static_cast<std::size_t>(std::countr_zero(free_));
  free_ &= free_ - 1;
  return Lease(*this, place);
}

void ReaderPool::give_back(std::size_t place) {
  {
    MutexLock lock(mutex_);
    free_ |= 1U << place;
  }
  wake_.notify_one();
}

StoreImpl::StoreImpl(StoreOptions options, FileDescriptor lock, std::unique_ptr<Database> writer,
                     std::vector<std::unique_ptr<Database>> readers)
    : options_(std::move(options)),
      file_(writer->file()),
      lock_(std::move(lock)),
      writer_(std::move(writer)),
      readers_(std::move(readers)) {
  if (options_.metrics != nullptr) {
    transaction_seconds_ = &options_.metrics->histogram("knap_store_transaction_seconds",
                                                        "Time of one writing transaction");
    readers_.measure(options_.metrics->histogram(
        "knap_store_reader_wait_seconds",
        "Time that reads waited for a connection, of those that had to wait"));
  }
}

StoreImpl::~StoreImpl() = default;

Result<std::int64_t> StoreImpl::next_file_id() const {
  const auto reader = readers_.take();
  KNAP_TRY(const std::int64_t highest, reader->integer("SELECT max(id) FROM files"));
  return highest + 1;
}

Result<VaultId> StoreImpl::vault(std::string_view name, const std::filesystem::path& root) {
  MutexLock lock(writer_mutex_);
  KNAP_TRY(auto upsert,
           writer_->prepare("INSERT INTO vaults (name, root) VALUES (?, ?) "
                            "ON CONFLICT (name) DO UPDATE SET root = excluded.root RETURNING id"));
  const std::string folder = root.string();
  upsert.bind(name, std::string_view(folder));
  KNAP_TRY(const bool row, upsert.step());
  if (!row) return make_error(ErrorCode::kInternal, "the store gave no id for a vault");
  const auto id = static_cast<VaultId>(upsert.integer(0));
  // The row is written when the statement ends, not at its first row.
  KNAP_CHECK_OK(upsert.run());
  return id;
}

Result<std::string> StoreImpl::boilerplate(VaultId vault) const {
  const auto reader = readers_.take();
  KNAP_TRY(auto row, reader->prepare("SELECT boilerplate FROM vaults WHERE id = ?"));
  row.bind(static_cast<std::int64_t>(vault));
  KNAP_TRY(const bool found, row.step());
  return found && !row.is_null(0) ? std::string(row.text(0)) : std::string();
}

Status StoreImpl::set_boilerplate(VaultId vault, std::string_view learned) {
  MutexLock lock(writer_mutex_);
  KNAP_TRY(auto update, writer_->prepare("UPDATE vaults SET boilerplate = ? WHERE id = ?"));
  update.bind_blob(1, learned);
  update.bind_one(2, static_cast<std::int64_t>(vault));
  return update.run();
}

Result<ModelKey> StoreImpl::model(std::string_view id) {
  MutexLock lock(writer_mutex_);
  KNAP_TRY(auto upsert,
           writer_->prepare("INSERT INTO models (name) VALUES (?) "
                            "ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id"));
  upsert.bind(id);
  KNAP_TRY(const bool row, upsert.step());
  if (!row) return make_error(ErrorCode::kInternal, "the store gave no id for a model");
  const auto key = static_cast<ModelKey>(upsert.integer(0));
  KNAP_CHECK_OK(upsert.run());
  return key;
}

Status StoreImpl::check_write() {
  MutexLock lock(writer_mutex_);
  // Written although the value stays: SQLite compares nothing.
  return writer_->execute("UPDATE vaults SET root = root");
}

Status StoreImpl::checkpoint() {
  MutexLock lock(writer_mutex_);
  return writer_->execute("PRAGMA wal_checkpoint(PASSIVE)");
}

}  // namespace knap::store
