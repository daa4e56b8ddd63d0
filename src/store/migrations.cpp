#include "migrations.hpp"

#include <array>
#include <string>

#include "knap/base/hash.hpp"

namespace knap::store {
namespace {

struct Migration {
  std::int64_t version;
  const char* name;
  const char* sql;
};

// A released migration never changes (its checksum is in every store): add a new one.
//
// passages.id is (file id << 20) + ordinal. passages.hash stands first so that queries for it read
// no overflow pages. passages.plain is NULL where it equals text. embeddings has a row number of
// its own because 400-byte rows inside an index by random hashes would make that index deep and its
// pages half empty.
constexpr std::array kMigrations{
    Migration{1, "vaults, files, notes, passages, embeddings", R"sql(
CREATE TABLE vaults (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  root TEXT NOT NULL
);
CREATE TABLE files (
  id INTEGER PRIMARY KEY,
  vault INTEGER NOT NULL,
  path BLOB NOT NULL,
  size_bytes INTEGER NOT NULL,
  mtime_ns INTEGER NOT NULL,
  inode INTEGER NOT NULL,
  hash BLOB,
  state INTEGER NOT NULL,
  reason TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  retry_at_ms INTEGER NOT NULL,
  indexed_at_ms INTEGER NOT NULL,
  parser_version INTEGER NOT NULL
);
CREATE UNIQUE INDEX files_by_path ON files (vault, path);
CREATE TABLE notes (
  file INTEGER PRIMARY KEY,
  title TEXT NOT NULL,
  name TEXT NOT NULL,
  language TEXT NOT NULL,
  tags TEXT NOT NULL,
  meta BLOB NOT NULL
);
CREATE TABLE passages (
  id INTEGER PRIMARY KEY,
  hash BLOB NOT NULL,
  kind INTEGER NOT NULL,
  first_line INTEGER NOT NULL,
  last_line INTEGER NOT NULL,
  block TEXT NOT NULL,
  headings TEXT NOT NULL,
  text TEXT NOT NULL,
  plain TEXT
);
CREATE INDEX passages_by_hash ON passages (hash);
CREATE TABLE models (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE
);
CREATE TABLE embeddings (
  id INTEGER PRIMARY KEY,
  hash BLOB NOT NULL,
  model INTEGER NOT NULL,
  made_at_ms INTEGER NOT NULL,
  vector BLOB NOT NULL
);
CREATE UNIQUE INDEX embeddings_by_hash ON embeddings (hash, model);
)sql"},
    Migration{2, "generations", R"sql(
CREATE TABLE generations (
  vault INTEGER PRIMARY KEY,
  generation INTEGER NOT NULL
);
)sql"},
    Migration{3, "changes and marks", R"sql(
DROP TABLE generations;
CREATE TABLE changes (
  vault INTEGER PRIMARY KEY,
  number INTEGER NOT NULL
);
CREATE TABLE marks (
  stamp INTEGER PRIMARY KEY,
  vault INTEGER NOT NULL,
  number INTEGER NOT NULL,
  made INTEGER NOT NULL
);
ALTER TABLE notes ADD COLUMN changed INTEGER NOT NULL DEFAULT 0;
)sql"},
    Migration{4, "the model that serves", R"sql(
ALTER TABLE models ADD COLUMN serves INTEGER NOT NULL DEFAULT 0;
)sql"},
    Migration{5, "places and what was taken out of documents", R"sql(
ALTER TABLE passages ADD COLUMN place INTEGER NOT NULL DEFAULT 0;
CREATE TABLE extractions (
  id INTEGER PRIMARY KEY,
  hash BLOB NOT NULL,
  reader INTEGER NOT NULL,
  version INTEGER NOT NULL,
  made_at_ms INTEGER NOT NULL,
  bytes BLOB NOT NULL
);
CREATE UNIQUE INDEX extractions_by_hash ON extractions (hash, reader);
)sql"},
    Migration{6, "boilerplate", R"sql(
ALTER TABLE vaults ADD COLUMN boilerplate BLOB;
ALTER TABLE passages ADD COLUMN faint TEXT;
)sql"},
};

std::string checksum(const Migration& migration) { return hash128(migration.sql).hex(); }

Status prepare_history(Database& database) {
  KNAP_TRY(const std::int64_t application, database.integer("PRAGMA application_id"));
  if (application != kApplicationId)
    KNAP_CHECK_OK(database.execute("PRAGMA application_id = 1263419728"));
  return database.execute(
      "CREATE TABLE IF NOT EXISTS schema_migrations ("
      "version INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at_s "
      "INTEGER NOT NULL)");
}
static_assert(kApplicationId == 1263419728);

Status run(Database& database, const Migration& migration) {
  KNAP_TRY(auto transaction, Transaction::begin(database));
  KNAP_CHECK_OK(database.execute(migration.sql));
  {
    KNAP_TRY(
        auto insert,
        database.prepare("INSERT INTO schema_migrations (version, name, checksum, applied_at_s) "
                         "VALUES (?, ?, ?, unixepoch())"));
    const std::string sum = checksum(migration);
    insert.bind(migration.version, std::string_view(migration.name), std::string_view(sum));
    KNAP_CHECK_OK(insert.run());
  }
  return transaction.commit();
}

Result<bool> applied(Database& database, const Migration& migration) {
  KNAP_TRY(auto query,
           database.prepare("SELECT checksum FROM schema_migrations WHERE version = ?"));
  query.bind(migration.version);
  KNAP_TRY(const bool found, query.step());
  if (!found) return false;
  if (query.text(0) != checksum(migration)) {
    return make_error(ErrorCode::kCorruptData,
                      database.file().string() + " has another schema " +
                          std::to_string(migration.version) +
                          " than this knap: move it aside; knap rebuilds it from the notes");
  }
  return true;
}

}  // namespace

Status refuse_foreign(Database& database) {
  KNAP_TRY(const std::int64_t application, database.integer("PRAGMA application_id"));
  KNAP_TRY(const std::int64_t tables, database.integer("SELECT count(*) FROM sqlite_schema"));
  if (application == kApplicationId || tables == 0) return {};
  return make_error(
      ErrorCode::kFailedPrecondition,
      database.file().string() + " belongs to another program: choose another data folder");
}

std::int64_t newest_schema() { return kMigrations.back().version; }

Status migrate(Database& database) {
  KNAP_CHECK_OK(prepare_history(database));
  KNAP_TRY(const std::int64_t version,
           database.integer("SELECT max(version) FROM schema_migrations"));
  if (version > newest_schema()) {
    return make_error(ErrorCode::kFailedPrecondition,
                      database.file().string() + " was written by a newer knap (schema " +
                          std::to_string(version) + ", this one knows " +
                          std::to_string(newest_schema()) +
                          "): use the newer knap or another data folder");
  }
  for (const Migration& migration : kMigrations) {
    KNAP_TRY(const bool done, applied(database, migration));
    if (!done) KNAP_CHECK_OK(run(database, migration));
  }
  return {};
}

}  // namespace knap::store
