#include "runner/token_sampler.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace knap::models::runner {
namespace {

// llama.cpp's usual choice: the tail of 50,000 candidates costs time and adds nothing.
constexpr std::size_t kTopK = 40;
constexpr std::size_t kPieceBytesMax = 256;
constexpr float kImpossible = -std::numeric_limits<float>::infinity();

bool likelier(const llama_token_data& a, const llama_token_data& b) { return a.logit > b.logit; }

}  // namespace

Result<std::unique_ptr<LlamaSampler>> LlamaSampler::make(const llama_vocab* vocabulary,
                                                         const GenerationRequest& request) {
  std::unique_ptr<LlamaSampler> sampler(new LlamaSampler(vocabulary, request));
  // One with a trigger is tried as well: a wrong one is told of before anything is computed.
  if (!request.grammar.rules.empty() && !sampler->start_grammar()) {
    return make_error(ErrorCode::kInvalidArgument,
                      "the schema's grammar leads back to itself without writing anything: a "
                      "'$ref' stands at its own beginning");
  }
  if (!request.grammar.trigger.empty()) sampler->grammar_.reset();
  return sampler;
}

LlamaSampler::LlamaSampler(const llama_vocab* vocabulary, const GenerationRequest& request)
    : vocabulary_(vocabulary),
      vocabulary_size_(static_cast<std::size_t>(llama_vocab_n_tokens(vocabulary))),
      wanted_(request.grammar),
      wants_chances_(request.top_logprobs.has_value()),
      top_(request.top_logprobs.value_or(0)),
      chain_(nullptr, llama_sampler_free),
      grammar_(nullptr, llama_sampler_free) {
  if (request.temperature <= 0) return;
  chain_.reset(llama_sampler_chain_init(llama_sampler_chain_default_params()));
  llama_sampler_chain_add(chain_.get(), llama_sampler_init_temp(request.temperature));
  if (request.top_p < 1)
    llama_sampler_chain_add(chain_.get(), llama_sampler_init_top_p(request.top_p, 1));
  llama_sampler_chain_add(chain_.get(),
                          llama_sampler_init_dist(request.seed.value_or(LLAMA_DEFAULT_SEED)));
}

bool LlamaSampler::start_grammar() {
  grammar_.reset(llama_sampler_init_grammar(vocabulary_, wanted_.rules.c_str(), "root"));
  return grammar_ != nullptr;
}

Token LlamaSampler::choose(const float* logits) {
  find_best(logits);
  if (grammar_) constrain(logits);
  if (best_.empty()) return AnswerEngine::kNoToken;
  Token token = best_.front().id;
  if (chain_) {
    llama_token_data_array candidates{best_.data(), best_.size(), -1, true};
    llama_sampler_apply(chain_.get(), &candidates);
    if (candidates.selected >= 0) token = candidates.data[candidates.selected].id;
  }
  if (wants_chances_) record(logits, token);
  return accept(token);
}

// The likeliest kTopK, or the one that is taken anyway.
void LlamaSampler::find_best(const float* logits) {
  best_.clear();
  if (!chain_ && !grammar_) {
    const float* best = std::max_element(logits, logits + vocabulary_size_);
    best_.push_back({static_cast<llama_token>(best - logits), *best, 0});
    return;
  }
  // A heap whose front is the least likely of the best so far.
  for (std::size_t i = 0; i < vocabulary_size_; ++i) {
    if (best_.size() == kTopK) {
      if (logits[i] <= best_.front().logit) continue;
      std::ranges::pop_heap(best_, likelier);
      best_.pop_back();
    }
    best_.push_back({static_cast<llama_token>(i), logits[i], 0});
    std::ranges::push_heap(best_, likelier);
  }
  std::ranges::sort_heap(best_, likelier);
}

void LlamaSampler::constrain(const float* logits) {
  const auto keep_allowed = [&] {
    llama_token_data_array candidates{best_.data(), best_.size(), -1, true};
    llama_sampler_apply(grammar_.get(), &candidates);
    std::erase_if(best_, [](const llama_token_data& each) { return each.logit == kImpossible; });
  };
  keep_allowed();
  if (!best_.empty()) return;
  best_.resize(vocabulary_size_);
  for (std::size_t i = 0; i < vocabulary_size_; ++i)
    best_[i] = {static_cast<llama_token>(i), logits[i], 0};
  keep_allowed();
  const std::size_t kept = std::min(best_.size(), kTopK);
  std::ranges::partial_sort(best_, best_.begin() + static_cast<std::ptrdiff_t>(kept), likelier);
  best_.resize(kept);
}

Token LlamaSampler::accept(Token token) {
  if (grammar_) {
    // llama.cpp throws when a token leads nowhere, which one that the grammar has let through
    // cannot; a text of ours that is cut off is better than a runner that ends.
    try {
      llama_sampler_accept(grammar_.get(), token);
    } catch (const std::exception&) {
      return AnswerEngine::kNoToken;
    }
  } else if (!wanted_.rules.empty()) {
    watch_for_trigger(token);
  }
  return token;
}

void LlamaSampler::watch_for_trigger(Token token) {
  std::array<char, kPieceBytesMax> piece{};
  const std::int32_t length = llama_token_to_piece(
      vocabulary_, token, piece.data(), static_cast<std::int32_t>(piece.size()), 0, false);
  if (length > 0) tail_.append(piece.data(), static_cast<std::size_t>(length));
  const std::size_t at = tail_.rfind(wanted_.trigger);
  if (at == std::string::npos) {
    if (tail_.size() > wanted_.trigger.size())
      tail_.erase(0, tail_.size() - wanted_.trigger.size());
    return;
  }
  // A token that holds more than white space after the trigger has gone past where the grammar
  // begins: what it writes is judged when it is read.
  const auto rest = std::string_view(tail_).substr(at + wanted_.trigger.size());
  if (rest.find_first_not_of(" \n") == std::string_view::npos) start_grammar();
  tail_.clear();
}

void LlamaSampler::record(const float* logits, Token chosen) {
  const std::span all(logits, vocabulary_size_);
  const float most = *std::ranges::max_element(all);
  double sum = 0;
  for (const float logit : all) sum += std::exp(static_cast<double>(logit - most));
  const float base = most + static_cast<float>(std::log(sum));
  chances_ = {.token = chosen, .logprob = logits[chosen] - base, .top = {}};
  if (top_ == 0) return;
  std::vector<Token> order(vocabulary_size_);
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<Token>(i);
  const auto wanted = static_cast<std::ptrdiff_t>(std::min(top_, order.size()));
  std::ranges::partial_sort(order, order.begin() + wanted,
                            [&](Token a, Token b) { return logits[a] > logits[b]; });
  for (std::ptrdiff_t i = 0; i < wanted; ++i) {
    const Token token = order[static_cast<std::size_t>(i)];
    chances_.top.emplace_back(token, logits[token] - base);
  }
}

}  // namespace knap::models::runner
