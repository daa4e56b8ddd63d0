#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

#include "knap/base/hash.hpp"
#include "knap/base/result.hpp"

struct sqlite3;
struct sqlite3_stmt;

namespace knap::store {

class Database;

/// A prepared statement in use: bind, then step. Given back to its connection's cache, reset, on
/// destruction. Columns are valid until the next step. Bound views must live as long as the
/// statement is stepped.
class Statement {
 public:
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&&) = delete;
  ~Statement();

  /// Binds all parameters from the first on.
  template <typename... Values>
  Statement& bind(const Values&... values) {
    int index = 0;
    (bind_one(++index, values), ...);
    return *this;
  }
  void bind_one(int index, std::int64_t value);
  void bind_one(int index, std::string_view value);
  void bind_one(int index, const Hash128& value);
  void bind_one(int index, std::span<const std::int8_t> blob);
  void bind_null(int index);
  void bind_blob(int index, std::string_view blob);

  /// True: a row is there. False: done.
  Result<bool> step();
  /// Steps to the end and resets, so that it can be bound again.
  Status run();
  void reset();

  std::int64_t integer(int column) const;
  std::string_view text(int column) const;  ///< Text or blob; empty for NULL.
  Hash128 hash(int column) const;           ///< Zero when the blob has another size.
  bool is_null(int column) const;

 private:
  friend class Database;
  Statement(Database* database, sqlite3_stmt* statement)
      : database_(database), statement_(statement) {}
  Database* database_;
  sqlite3_stmt* statement_;
};

/// One SQLite connection with a cache of its prepared statements. Not thread-safe: one user at a
/// time.
class Database {
 public:
  enum class Access { kReadWrite, kReadOnly };
  static Result<std::unique_ptr<Database>> open(const std::filesystem::path& file, Access access);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  /// `sql` must be a literal: the cache keys on its text. A statement may be in use once at a time.
  Result<Statement> prepare(std::string_view sql);
  /// Runs one or more statements without parameters.
  Status execute(const char* sql);
  Result<std::int64_t> integer(std::string_view sql);

  /// The error of the last failed call, in our words.
  Error error(int code, std::string_view what) const;
  int changes() const;
  const std::filesystem::path& file() const { return file_; }

 private:
  friend class Statement;
  explicit Database(std::filesystem::path file) : file_(std::move(file)) {}
  const std::filesystem::path file_;
  sqlite3* handle_ = nullptr;
  std::unordered_map<std::string_view, sqlite3_stmt*> cache_;
};

/// Rolls back on destruction unless committed.
class Transaction {
 public:
  static Result<Transaction> begin(Database& database);
  /// Holds one snapshot for several reads.
  static Result<Transaction> begin_read(Database& database);
  Transaction(Transaction&& other) noexcept : database_(other.database_) {
    other.database_ = nullptr;
  }
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();
  Status commit();

 private:
  explicit Transaction(Database* database) : database_(database) {}
  Database* database_;
};

}  // namespace knap::store
