#pragma once

#include "database.hpp"

namespace knap::store {

/// "KNAP" as SQLite's application id: a database of another program is not touched.
inline constexpr std::int64_t kApplicationId = 0x4B4E4150;

/// Brings the schema up to date, each migration in one transaction.
/// Errors: kFailedPrecondition (made by a newer knap, or by another program); kCorruptData (history does not fit).
Status migrate(Database& database);

/// The newest schema this build knows.
std::int64_t newest_schema();

}  // namespace knap::store
