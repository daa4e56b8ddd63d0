// What a vault's searches read, named for caches.
#include <algorithm>

#include <fmt/format.h>

#include "knap/base/hash.hpp"
#include "service_impl.hpp"

namespace knap::index {
namespace {

/// Names this process in keys that mean nothing to another.
const std::string& process_name() {
  static const std::string kName = random_id();
  return kName;
}

}  // namespace

std::optional<VaultState::KnownContent> ServiceImpl::content_of(VaultState& vault,
                                                                Effort effort) const {
  const auto moment = vault.index.moment();
  if (!moment) return std::nullopt;
  {
    const MutexLock lock(vault.mutex);
    if (!vault.known.key.empty() && vault.known.moment == *moment) return vault.known;
  }
  if (effort == Effort::kAtOnce) return std::nullopt;
  VaultState::KnownContent known;
  known.moment = *moment;
  const search::IndexStats stats = vault.index.stats();
  known.epoch = stats.epoch;
  // With every passage covered, the vectors follow from the notes and the model.
  const std::string model = embed_queue_->model_id();
  known.lasting = model.empty() || stats.passages_with_vector == stats.passages;
  // What was learned of the notes decides too, and may be learned again while they stay.
  known.key = fmt::format("{}\x1f{}\x1f{}\x1f{}", vault.config.name, vault.prints.sum(),
                          hash64(vault.known_boilerplate()->encode()), model);
  if (!known.lasting) known.key += fmt::format("\x1f{}.{}", process_name(), known.moment);
  if (vault.index.moment() != moment) return std::nullopt;
  const MutexLock lock(vault.mutex);
  vault.known = known;
  return known;
}

std::optional<Content> ServiceImpl::content(const std::vector<std::string>& names,
                                            Effort effort) const {
  auto vaults = wanted_vaults(names);
  if (!vaults) return std::nullopt;
  std::sort(vaults->begin(), vaults->end(), [](const VaultState* a, const VaultState* b) {
    return a->config.name < b->config.name;
  });
  Content out;
  out.lasting = true;
  for (VaultState* vault : *vaults) {
    const auto known = content_of(*vault, effort);
    if (!known) return std::nullopt;
    // How far the files are read stands in results, and changes without a change of the index.
    const LedgerCounts counts = vault->ledger.counts();
    const std::uint64_t open = counts.of(FileState::kPending) + counts.of(FileState::kStale);
    out.key += fmt::format("{}\x1f{}/{}{}\x1e", known->key, open, counts.total(),
                           counts.total() == 0 && !vault->walked ? "?" : "");
    out.moment += known->moment;  // each only grows: equal sums mean equal moments
    out.epoch += known->epoch;
    out.lasting = out.lasting && known->lasting;
  }
  return out;
}

}  // namespace knap::index
