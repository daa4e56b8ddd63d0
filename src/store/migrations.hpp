#pragma once

#include "database.hpp"

namespace knap::store {

/// "KNAP" as SQLite's application id: a database of another program is not touched.
inline constexpr std::int64_t kApplicationId = 0x4B4E4150;

/// Reads only: to be asked before anything is set. Errors: kFailedPrecondition (made by another
/// program).
Status refuse_foreign(Database& database);

/// Brings the schema up to date, each migration in one transaction.
/// @pre refuse_foreign() has passed. Errors: kFailedPrecondition (made by a newer knap);
/// kCorruptData (history does not fit).
Status migrate(Database& database);

/// The newest schema this build knows.
std::int64_t newest_schema();

}  // namespace knap::store
