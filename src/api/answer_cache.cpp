#include "answer_cache.hpp"

#include <algorithm>
#include <limits>

#include <fmt/format.h>
#include <boost/json.hpp>

#include "knap/answer/reworded.hpp"
#include "knap/base/json_text.hpp"
#include "search_cache.hpp"

namespace knap::api {
namespace {

using answer::Answer;
using answer::AskRequest;
using std::chrono::milliseconds;

std::optional<Answer> decode(const std::optional<cache::Layers::Found>& found) {
  if (!found) return std::nullopt;
  auto answer = decode_answer(found->value);
  if (answer) answer->cached = cache::to_string(found->layer);
  return answer;
}

/// As if it were made now.
void replay(Answer& answer, SteadyClock::time_point begin, const answer::Listener& listener) {
  answer.total = answer.first_token =
      std::chrono::duration_cast<milliseconds>(SteadyClock::now() - begin);
  if (listener.on_sources) listener.on_sources(answer.citations);
  if (listener.on_token) static_cast<void>(listener.on_token(answer.text));
  if (listener.on_claims) listener.on_claims(answer);
}

std::optional<Answer> of_other_wording(std::optional<Answer> answer, const AskRequest& request) {
  if (answer && answer->reworded_from == request.question) answer->reworded_from.clear();
  return answer;
}

std::string print_of(const std::vector<models::ChatMessage>& history) {
  std::string all;
  for (const models::ChatMessage& message : history)
    all += fmt::format("{}\x1f{}\x1f{}\x1e", message.role, message.content.size(), message.content);
  return all.empty() ? "" : hash128(all).hex();
}

}  // namespace

/// What one request looks for.
struct AnswerCache::Wanted {
  cache::Key key;
  std::optional<cache::Key> wordings;  ///< Of all wordings, where they are shared.
  index::Content content;
  std::string common;  ///< The part of keys that is not the content.
};

std::string AnswerCache::common_key(const AskRequest& request, std::string_view model) const {
  return fmt::format("{}\x1e{}\x1e{}.{}\x1e{}\x1e{}\x1e{}", settings_, model,
                     static_cast<int>(request.mode), request.max_tokens, vaults_key(request.vaults),
                     request.filter ? request.filter->canonical() : "", print_of(request.history));
}

std::optional<AnswerCache::Wanted> AnswerCache::want(const AskRequest& request,
                                                     index::Effort effort) const {
  if (layers_ == nullptr) return std::nullopt;
  std::string model;
  if (request.mode != answer::Mode::kExtractive) {
    const auto generator =
        request.model.empty() ? models_.generator() : models_.generator(request.model);
    if (generator) model = generator->id();
    if (!generator && !request.model.empty()) return std::nullopt;  // the source says why not
  }
  auto content = index_.content(request.vaults, effort);
  if (!content) return std::nullopt;
  Wanted wanted;
  wanted.common = common_key(request, model);
  std::string key = "answer1\x1e" + wanted.common + "\x1e" + content->key;
  key.push_back('\0');
  wanted.key = cache::Key(cache::Kind::kAnswer, key + request.question);
  // A question within a conversation means what stood before it.
  if (wordings_ == Wordings::kShared && request.history.empty()) {
    if (const std::string print = answer::reworded_print(request.question); !print.empty()) {
      std::string shared = "answer3\x1e" + wanted.common + "\x1e" + content->key;
      shared.push_back('\0');
      wanted.wordings.emplace(cache::Kind::kAnswer, shared + print);
    }
  }
  wanted.content = std::move(*content);
  return wanted;
}

std::optional<Answer> AnswerCache::find_at_once(AskRequest request) {
  request.question = joined_white_space(request.question);
  const auto begin = SteadyClock::now();
  const auto wanted = want(request, index::Effort::kAtOnce);
  if (!wanted) return std::nullopt;
  auto answer = decode(layers_->find_in_memory(wanted->key));
  if (!answer && wanted->wordings)
    answer = of_other_wording(decode(layers_->find_in_memory(*wanted->wordings)), request);
  if (answer) replay(*answer, begin, {});
  return answer;
}

std::uint64_t AnswerCache::name_of(const AskRequest& request) const {
  return hash64(common_key(request, request.model) + "\x1e" + joined_white_space(request.question));
}

bool AnswerCache::warm(AskRequest request, Deadline deadline, const CancelToken& cancel) {
  request.question = joined_white_space(request.question);
  request.priority = models::Priority::kBackground;
  const auto wanted = want(request, index::Effort::kWhole);
  if (!wanted || layers_->holds(wanted->key)) return false;
  const auto answer = make(request, *wanted, deadline, cancel, {}, nullptr);
  return answer && answer->repeatable;
}

Result<Answer> AnswerCache::ask(const AskRequest& asked, Deadline deadline,
                                const CancelToken& cancel, const answer::Listener& listener) {
  const auto begin = SteadyClock::now();
  AskRequest request = asked;
  request.question = joined_white_space(request.question);
  const auto wanted = want(request, index::Effort::kWhole);
  if (!wanted) return source_.ask(asked, deadline, cancel, listener);
  if (auto answer = decode(layers_->find(wanted->key))) {
    replay(*answer, begin, listener);
    return std::move(*answer);
  }
  if (wanted->wordings) {
    if (auto answer = of_other_wording(decode(layers_->find(*wanted->wordings)), request)) {
      replay(*answer, begin, listener);
      return std::move(*answer);
    }
  }
  // A stream shows the quotes long before the whole answer is there: it waits for nobody.
  const bool streams = static_cast<bool>(listener.on_token);
  auto turn =
      streams ? flights_.try_lead(wanted->key) : flights_.join(wanted->key, deadline, cancel);
  if (turn.value) {
    if (auto answer = decode_answer(*turn.value)) {
      answer->cached = cache::to_string(cache::Layer::kMemory);
      replay(*answer, begin, listener);
      return std::move(*answer);
    }
  }
  return make(request, *wanted, deadline, cancel, listener, turn.lead.get());
}

Result<Answer> AnswerCache::make(const AskRequest& request, const Wanted& wanted, Deadline deadline,
                                 const CancelToken& cancel, const answer::Listener& listener,
                                 cache::Flights::Lead* lead) {
  const auto begin = SteadyClock::now();
  std::optional<cache::Key> by_passages;
  cache::Layers::Facts facts;
  answer::Listener remembering = listener;
  remembering.recall = [&](const answer::Considered& considered) -> std::optional<Answer> {
    std::string key = "answer2\x1e" + wanted.common + "\x1e" + considered.print.hex();
    key.push_back('\0');
    by_passages.emplace(cache::Kind::kAnswer, key + request.question);
    facts.labels = search_value::labels(considered.hits);
    return decode(layers_->find(*by_passages));
  };
  KNAP_TRY(Answer answer, source_.ask(request, deadline, cancel, remembering));
  if (!answer.repeatable) return answer;
  const auto took =
      std::chrono::duration_cast<std::chrono::microseconds>(SteadyClock::now() - begin);
  facts.cost_us = static_cast<std::uint32_t>(
      std::clamp<std::int64_t>(took.count(), 0, std::numeric_limits<std::uint32_t>::max()));
  facts.negative = answer.refused;
  const std::string bytes = encode_answer(answer);
  if (by_passages && answer.cached.empty()) layers_->put(*by_passages, bytes, facts);
  if (!unchanged(index_, request.vaults, wanted.content)) return answer;
  if (!wanted.content.lasting) facts.reach = cache::Layers::Reach::kProcess;
  layers_->put(wanted.key, bytes, facts);
  if (wanted.wordings) {
    answer::Answer named = answer;
    named.reworded_from = request.question;
    layers_->put(*wanted.wordings, encode_answer(named), facts);
  }
  if (lead != nullptr) lead->give(std::make_shared<const std::string>(bytes));
  return answer;
}

}  // namespace knap::api
