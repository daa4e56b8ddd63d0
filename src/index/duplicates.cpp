#include "knap/search/duplicates.hpp"

#include <algorithm>
#include <map>
#include <unordered_map>

#include <fmt/format.h>

#include "knap/base/text.hpp"
#include "service_impl.hpp"

namespace knap::index {
namespace {

constexpr std::size_t kPairsMax = 200'000;
constexpr std::size_t kNotesMax = 250'000;  // of one vault; 2 KB each while they are compared
constexpr std::uint64_t kLookUpEvery = 64;  // notes between two looks at the clock

/// Notes joined into groups by pairs: a forest whose trees are the groups.
class Groups {
 public:
  void join(store::FileId a, store::FileId b, float similarity, bool exact) {
    for (const auto id : {a, b}) {
      Member& member = members_.try_emplace(id, Member{.parent = id}).first->second;
      member.similarity = std::max(member.similarity, similarity);
      member.exact = member.exact || exact;
    }
    const store::FileId x = root(a), y = root(b);
    if (x != y) members_.at(std::max(x, y)).parent = std::min(x, y);
  }

  struct Member {
    store::FileId parent{};
    float similarity = 0;
    bool exact = false;
  };
  std::map<store::FileId, std::vector<std::pair<store::FileId, Member>>> take() {
    std::map<store::FileId, std::vector<std::pair<store::FileId, Member>>> groups;
    for (const auto& [id, member] : members_) groups[root(id)].emplace_back(id, member);
    return groups;
  }

 private:
  store::FileId root(store::FileId id) {
    while (members_.at(id).parent != id) {
      // Each step halves the way for those that come after.
      Member& member = members_.at(id);
      member.parent = members_.at(member.parent).parent;
      id = member.parent;
    }
    return id;
  }
  std::map<store::FileId, Member> members_;
};

DuplicateGroup group_of(const VaultState& vault,
                        const std::vector<std::pair<store::FileId, Groups::Member>>& members) {
  DuplicateGroup group{vault.config.name, {}};
  for (const auto& [id, member] : members) {
    const auto note = vault.graph.note(id);
    if (!note) continue;  // gone meanwhile
    const auto entry = vault.ledger.find(note->path);
    const std::int64_t modified = entry ? entry->fingerprint.mtime_ns / 1'000'000'000 : 0;
    group.notes.push_back(
        {text::repair_utf8(note->path), note->title, modified, member.similarity, member.exact});
  }
  std::sort(group.notes.begin(), group.notes.end(),
            [](const DuplicateNote& a, const DuplicateNote& b) { return a.path < b.path; });
  return group;
}

float best_similarity(const DuplicateGroup& group) {
  float best = 0;
  for (const DuplicateNote& note : group.notes) best = std::max(best, note.similarity);
  return best;
}

}  // namespace

Result<DuplicatesView> ServiceImpl::duplicates(const DuplicatesRequest& request, Deadline deadline,
                                               const CancelToken& cancel) const {
  KNAP_TRY(const auto vaults, wanted_vaults(request.vaults));
  DuplicatesView view;
  for (const VaultState* vault : vaults) {
    search::DuplicateFinder finder;
    Groups groups;
    std::unordered_map<Hash128, store::FileId> first_with;
    Status wanted;
    KNAP_CHECK_OK(store_->notes(vault->id, [&](const store::LoadedNote& note) {
      if (view.notes % kLookUpEvery == 0) wanted = still_wanted(cancel, deadline);
      if (finder.notes() >= kNotesMax)
        wanted = make_error(ErrorCode::kResourceExhausted,
                            fmt::format("the vault {} has more than {} notes, too many to compare",
                                        vault->config.name, kNotesMax));
      if (!wanted) return false;
      const auto ref = vault->graph.note(note.id);
      const auto entry = ref ? vault->ledger.find(ref->path) : std::nullopt;
      // Without a hash it is an attachment, known by its name alone.
      if (!entry || !entry->hash || entry->fingerprint.size_bytes == 0) return true;
      ++view.notes;
      const auto [same, is_new] = first_with.try_emplace(*entry->hash, note.id);
      if (!is_new) {
        // One of a set of copies stands for all of them.
        groups.join(same->second, note.id, 1, true);
        return true;
      }
      for (const store::LoadedPassage& passage : note.passages) finder.add(passage.plain);
      finder.finish(search::NoteId(static_cast<std::uint64_t>(note.id)));
      return true;
    }));
    KNAP_CHECK_OK(wanted);
    KNAP_TRY(const auto pairs, finder.pairs(request.threshold, kPairsMax, deadline, cancel));
    for (const search::SimilarPair& pair : pairs)
      groups.join(static_cast<store::FileId>(pair.first), static_cast<store::FileId>(pair.second),
                  pair.similarity, false);
    for (const auto& [root, members] : groups.take()) {
      DuplicateGroup group = group_of(*vault, members);
      if (group.notes.size() > 1) view.groups.push_back(std::move(group));
    }
  }
  std::stable_sort(view.groups.begin(), view.groups.end(),
                   [](const DuplicateGroup& a, const DuplicateGroup& b) {
                     return best_similarity(a) > best_similarity(b);
                   });
  view.groups_found = view.groups.size();
  if (view.groups.size() > request.limit) view.groups.resize(request.limit);
  return view;
}

}  // namespace knap::index
