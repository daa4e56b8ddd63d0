#include "database.hpp"

#include <array>
#include <cstring>

#include <sqlite3.h>

#include "knap/base/assert.hpp"

namespace knap::store {
namespace {

constexpr int kBusyTimeoutMs = 5'000;
static_assert(sizeof(Hash128) == 16);

}  // namespace

Statement::Statement(Statement&& other) noexcept
    : database_(other.database_), statement_(other.statement_) {
  other.statement_ = nullptr;
}

Statement::~Statement() {
  if (statement_ == nullptr) return;
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

void Statement::bind_one(int index, std::int64_t value) {
  KNAP_ASSERT(sqlite3_bind_int64(statement_, index, value) == SQLITE_OK);
}

void Statement::bind_one(int index, std::string_view value) {
  // An empty view may have no address, which SQLite would take for NULL.
  const char* data = value.empty() ? "" : value.data();
  const int rc =
      sqlite3_bind_text64(statement_, index, data, value.size(), SQLITE_STATIC, SQLITE_UTF8);
  KNAP_ASSERT(rc == SQLITE_OK || rc == SQLITE_TOOBIG || rc == SQLITE_NOMEM);
}

void Statement::bind_one(int index, const Hash128& value) {
  KNAP_ASSERT(sqlite3_bind_blob(statement_, index, &value, sizeof(value), SQLITE_TRANSIENT) ==
              SQLITE_OK);
}

void Statement::bind_one(int index, std::span<const std::int8_t> blob) {
  bind_blob(index, {reinterpret_cast<const char*>(blob.data()), blob.size()});
}

void Statement::bind_null(int index) {
  KNAP_ASSERT(sqlite3_bind_null(statement_, index) == SQLITE_OK);
}

void Statement::bind_blob(int index, std::string_view blob) {
  const char* data = blob.empty() ? "" : blob.data();
  const int rc = sqlite3_bind_blob64(statement_, index, data, blob.size(), SQLITE_STATIC);
  KNAP_ASSERT(rc == SQLITE_OK || rc == SQLITE_TOOBIG || rc == SQLITE_NOMEM);
}

Result<bool> Statement::step() {
  const int rc = sqlite3_step(statement_);
  if (rc == SQLITE_ROW) return true;
  if (rc == SQLITE_DONE) return false;
  return database_->error(rc, "read or write");
}

Status Statement::run() {
  for (;;) {
    KNAP_TRY(const bool more, step());
    if (!more) break;
  }
  sqlite3_reset(statement_);
  return {};
}

void Statement::reset() { sqlite3_reset(statement_); }

std::int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(statement_, column);
}

std::string_view Statement::text(int column) const {
  const void* data = sqlite3_column_blob(statement_, column);
  if (data == nullptr) return {};
  return {static_cast<const char*>(data),
          static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

Hash128 Statement::hash(int column) const {
  Hash128 hash;
  const std::string_view bytes = text(column);
  if (bytes.size() == sizeof(hash)) std::memcpy(&hash, bytes.data(), sizeof(hash));
  return hash;
}

bool Statement::is_null(int column) const {
  return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}

Result<std::unique_ptr<Database>> Database::open(const std::filesystem::path& file, Access access) {
  std::unique_ptr<Database> database(new Database(file));
  const int flags = access == Access::kReadWrite ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
                                                 : SQLITE_OPEN_READONLY;
  const int rc = sqlite3_open_v2(file.c_str(), &database->handle_,
                                 flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  if (rc != SQLITE_OK) return database->error(rc, "open");
  sqlite3_busy_timeout(database->handle_, kBusyTimeoutMs);
  sqlite3_db_config(database->handle_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  return database;
}

Database::~Database() {
  for (const auto& [sql, statement] : cache_) sqlite3_finalize(statement);
  sqlite3_close(handle_);
}

Result<Statement> Database::prepare(std::string_view sql) {
  if (const auto found = cache_.find(sql); found != cache_.end()) {
    KNAP_DCHECK(sqlite3_stmt_busy(found->second) == 0);
    return Statement(this, found->second);
  }
  sqlite3_stmt* statement = nullptr;
  const int rc = sqlite3_prepare_v3(handle_, sql.data(), static_cast<int>(sql.size()),
                                    SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (rc != SQLITE_OK) return error(rc, "prepare a statement on");
  cache_.emplace(sql, statement);
  return Statement(this, statement);
}

Status Database::execute(const char* sql) {
  const int rc = sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr);
  if (rc != SQLITE_OK) return error(rc, "change");
  return {};
}

Result<std::int64_t> Database::integer(std::string_view sql) {
  KNAP_TRY(auto statement, prepare(sql));
  KNAP_TRY(const bool row, statement.step());
  return row ? statement.integer(0) : 0;
}

Error Database::error(int code, std::string_view what) const {
  const std::string detail = handle_ != nullptr ? sqlite3_errmsg(handle_) : sqlite3_errstr(code);
  const std::string name = file_.string();
  const std::string plain = "cannot " + std::string(what) + " " + name + ": " + detail;
  switch (code & 0xFF) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return make_error(
          ErrorCode::kCorruptData,
          name + " is damaged (" + detail + "): move it aside; knap rebuilds it from the notes");
    case SQLITE_FULL:
      return make_error(ErrorCode::kResourceExhausted,
                        plain + "; free some disk space and try again");
    case SQLITE_NOMEM:
    case SQLITE_TOOBIG: return make_error(ErrorCode::kResourceExhausted, plain);
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_CANTOPEN:
      return make_error(ErrorCode::kPermissionDenied,
                        plain + "; check the permissions of the data folder or choose another one");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return make_error(ErrorCode::kUnavailable, plain + "; another program holds it");
    case SQLITE_IOERR: return make_error(ErrorCode::kIo, plain + "; check the disk");
    default: return make_error(ErrorCode::kInternal, plain);
  }
}

int Database::changes() const { return sqlite3_changes(handle_); }

Result<Transaction> Transaction::begin(Database& database) {
  KNAP_CHECK_OK(database.execute("BEGIN IMMEDIATE"));
  return Transaction(&database);
}

Result<Transaction> Transaction::begin_read(Database& database) {
  KNAP_CHECK_OK(database.execute("BEGIN"));
  return Transaction(&database);
}

Transaction::~Transaction() {
  if (database_ == nullptr) return;
  // SQLite may have rolled back by itself (disk full): then this fails and nothing is left to do.
  static_cast<void>(database_->execute("ROLLBACK").has_value());
}

Status Transaction::commit() {
  KNAP_CHECK_OK(database_->execute("COMMIT"));
  database_ = nullptr;
  return {};
}

}  // namespace knap::store
