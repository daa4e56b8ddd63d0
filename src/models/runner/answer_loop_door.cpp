// What comes in to the loop: prompts become tokens, parts that were read ahead are found.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "knap/base/assert.hpp"
#include "runner/answer_loop.hpp"

namespace knap::models::runner {

std::optional<AnswerLoop::Refusal> AnswerLoop::submit(const GenerationRequest& request,
                                                      Deadline deadline, const CancelToken& cancel,
                                                      std::shared_ptr<AnswerListener> listener) {
  auto prompt = engine_->tokenize(resolve(request.messages));
  if (!prompt) return Refusal{std::move(prompt).error(), std::nullopt};
  const std::size_t size = prompt->tokens.size();
  if (size >= engine_->context()) {
    return Refusal{make_error(ErrorCode::kResourceExhausted,
                              fmt::format("the prompt has {} tokens, the model's context {}: "
                                          "shorten it",
                                          size, engine_->context())),
                   std::nullopt};
  }
  // Something must be read for a first token to come of it.
  if (!prompt->known.empty() &&
      prompt->known.back().begin + prompt->known.back().state->tokens.size() >= size)
    prompt->known.pop_back();
  auto sampler = engine_->make_sampler(request);
  if (!sampler) return Refusal{std::move(sampler).error(), std::nullopt};
  const std::uint64_t tokens_max =
      std::min<std::uint64_t>(request.max_tokens, engine_->context() - size);
  Running running{.listener = std::move(listener),
                  .sampler = *std::move(sampler),
                  .text = TextStream(request.stop),
                  .lookup = std::nullopt,
                  .chances = {},
                  .cancel = cancel,
                  .deadline = deadline,
                  .tokens_max = tokens_max,
                  .arrived = {},
                  .first_token = std::nullopt,
                  .known = std::move(prompt->known),
                  .passage = nullptr};
  if (guesses(request)) running.lookup.emplace(prompt->tokens);
  Scheduler::Job job{.prompt = std::move(prompt->tokens),
                     .known = {},
                     .read_only = false,
                     .max_tokens = static_cast<std::uint32_t>(tokens_max),
                     .urgency = request.urgency,
                     .deadline = deadline,
                     .tenant = request.tenant,
                     .threads = request.threads > 0 ? request.threads : options_.threads};
  return take_in(std::move(job), std::move(running));
}

// The chances of a token are told with it, which a sampler that has gone on to the next no longer
// knows.
bool AnswerLoop::guesses(const GenerationRequest& request) const {
  return options_.guesses && engine_->can_cut() && !request.top_logprobs;
}

// Both or none of a part's texts are put in.
std::vector<ResolvedMessage> AnswerLoop::resolve(const std::vector<Message>& messages) {
  std::vector<ResolvedMessage> resolved;
  for (const Message& message : messages) {
    ResolvedMessage& each = resolved.emplace_back();
    each.role = message.role;
    if (message.parts.empty()) {
      each.pieces.push_back({message.content, nullptr});
      continue;
    }
    std::string unread;
    const auto end_unread = [&] {
      if (!unread.empty()) each.pieces.push_back({std::exchange(unread, {}), nullptr});
    };
    std::vector<Hash128> joined;
    for (const MessagePart& part : message.parts) {
      const auto known = part.known.empty() ? nullptr : known_state(part.known);
      const auto lead = known == nullptr || part.lead.empty() ? nullptr : known_state(part.lead);
      const bool joins = known != nullptr && (part.lead.empty() || lead != nullptr);
      if (!part.known.empty() && reads_ahead()) passages_.count(joins);
      if (!joins) {
        unread += part.text;
        continue;
      }
      // Of two quotes from one passage the second is in the prompt already.
      if (std::ranges::find(joined, known->text) != joined.end()) continue;
      joined.push_back(known->text);
      end_unread();
      if (lead != nullptr) each.pieces.push_back({{}, lead});
      each.pieces.push_back({{}, known});
    }
    end_unread();
  }
  return resolved;
}

PassageStore::State AnswerLoop::known_state(std::string_view text) {
  return reads_ahead() ? passages_.find(hash128(text)) : nullptr;
}

std::optional<AnswerLoop::Refusal> AnswerLoop::read_ahead(
    std::string_view passage, Urgency urgency, std::size_t threads, Deadline deadline,
    const CancelToken& cancel, std::shared_ptr<AnswerListener> listener) {
  if (!reads_ahead()) {
    return Refusal{
        make_error(ErrorCode::kUnsupported,
                   "this model's states cannot be put together, or no room is given to them"),
        std::nullopt};
  }
  const Hash128 text = hash128(passage);
  if (passages_.contains(text)) {
    listener->on_end(Outcome{});
    return std::nullopt;
  }
  std::vector<Token> tokens = engine_->tokenize_alone(passage);
  const std::size_t most = std::min<std::size_t>(kPassageTokensMax, engine_->context() / 2);
  if (tokens.empty() || tokens.size() > most) {
    return Refusal{make_error(ErrorCode::kInvalidArgument,
                              fmt::format("a passage of {} tokens is not read ahead: 1 to {} are",
                                          tokens.size(), most)),
                   std::nullopt};
  }
  auto state = std::make_shared<PassageState>();
  state->text = text;
  state->tokens = tokens;
  Running running{.listener = std::move(listener),
                  .sampler = nullptr,
                  .text = TextStream({}),
                  .lookup = std::nullopt,
                  .chances = {},
                  .cancel = cancel,
                  .deadline = deadline,
                  .tokens_max = 0,
                  .arrived = {},
                  .first_token = std::nullopt,
                  .known = {},
                  .passage = std::move(state)};
  Scheduler::Job job{.prompt = std::move(tokens),
                     .known = {},
                     .read_only = true,
                     .max_tokens = 0,
                     .urgency = urgency,
                     .deadline = deadline,
                     .tenant = {},
                     .threads = threads > 0 ? threads : options_.threads};
  return take_in(std::move(job), std::move(running));
}

std::optional<AnswerLoop::Refusal> AnswerLoop::take_in(Scheduler::Job job, Running running) {
  const Time now = options_.clock();
  running.arrived = now;
  if (running.cancel.cancelled())
    return Refusal{make_error(ErrorCode::kCancelled, "the caller has gone"), std::nullopt};
  if (!running.deadline.is_never() && now >= running.deadline.point()) {
    return Refusal{make_error(ErrorCode::kDeadlineExceeded, "the deadline has passed"),
                   std::nullopt};
  }
  for (const KnownPart& part : running.known)
    job.known.push_back({.begin = part.begin, .length = part.state->tokens.size()});
  const Scheduler::Rank rank{job.urgency, job.deadline};
  {
    MutexLock lock(mutex_);
    if (stopping_) {
      return Refusal{make_error(ErrorCode::kUnavailable, "the model is being unloaded"),
                     std::nullopt};
    }
    Key key{};
    if (auto refused = scheduler_.admit(std::move(job), now, key)) {
      ++stats_.refused;
      return Refusal{std::move(refused->error), refused->retry_after};
    }
    running_.emplace(key, std::move(running));
    if (long_step_ && now < long_step_->nearly_done && rank.before(long_step_->first))
      give_way_ = true;
  }
  wake_.notify_one();
  return std::nullopt;
}

}  // namespace knap::models::runner
