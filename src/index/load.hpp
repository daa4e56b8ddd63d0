#pragma once

#include <filesystem>

#include "knap/base/result.hpp"
#include "vault_state.hpp"

namespace knap::index {

/// Fills ledger, links and index from the store. Rows that do not fit are left out: the walk reads
/// those files again.
/// @param snapshot  where a SnapshotKeeper may have left the index. One whose mark the store knows
/// spares the analysis of
///                  all texts: only notes changed since are read. Without one everything is read
///                  from the store.
Status load_vault(const store::Store& store, VaultState& vault,
                  const std::filesystem::path& snapshot);

/// Tells the index again of notes whose links mean something else now.
Status relink(const store::Store& store, VaultState& vault);

}  // namespace knap::index
