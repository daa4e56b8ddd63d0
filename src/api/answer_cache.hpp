#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "knap/answer/answer.hpp"
#include "knap/cache/flights.hpp"
#include "knap/cache/layers.hpp"

namespace knap::api {

/// An answer as bytes, and back. Nothing: not what encode_answer() gave.
std::string encode_answer(const answer::Answer& answer);
std::optional<answer::Answer> decode_answer(std::string_view bytes);

/// An Answerer that remembers, in front of one that works answers out.
///
/// An answer is kept twice: under the content of the vaults, where it is found without a search;
/// and under the passages that the search found, where it is found after one: an edit elsewhere
/// keeps it. An answer that was cut short is not kept. Where wordings are shared, also under the
/// content and what all wordings of the question have in common (answer::reworded_print).
///
/// Of several callers who ask the same at once, those who want the answer whole wait for the first.
/// Threads: safe.
class AnswerCache final : public answer::Answerer {
 public:
  /// @param layers  null: nothing is kept
  enum class Wordings { kApart, kShared };
  AnswerCache(answer::Answerer& source, cache::Layers* layers, index::Service& index,
              models::Models& models, std::string settings, Wordings wordings = Wordings::kApart)
      : source_(source),
        layers_(layers),
        index_(index),
        models_(models),
        settings_(std::move(settings)),
        wordings_(wordings) {}

  Result<answer::Answer> ask(const answer::AskRequest& request, Deadline deadline,
                             const CancelToken& cancel, const answer::Listener& listener) override;
  /// What memory holds under the content of the vaults; microseconds.
  std::optional<answer::Answer> find_at_once(answer::AskRequest request);
  /// Works an answer out, unless it is there, while others go first. True: it was made.
  bool warm(answer::AskRequest request, Deadline deadline, const CancelToken& cancel);
  /// Of the question, whatever the content: as SearchCache::Wanted::name.
  std::uint64_t name_of(const answer::AskRequest& request) const;

 private:
  struct Wanted;
  std::optional<Wanted> want(const answer::AskRequest& request, index::Effort effort) const;
  std::string common_key(const answer::AskRequest& request, std::string_view model) const;
  Result<answer::Answer> make(const answer::AskRequest& request, const Wanted& wanted,
                              Deadline deadline, const CancelToken& cancel,
                              const answer::Listener& listener, cache::Flights::Lead* lead);

  answer::Answerer& source_;
  cache::Layers* const layers_;
  index::Service& index_;
  models::Models& models_;
  const std::string settings_;
  const Wordings wordings_;
  cache::Flights flights_;
};

}  // namespace knap::api
