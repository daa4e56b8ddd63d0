#include "runner/prompt_lookup.hpp"

namespace knap::models::runner {
namespace {

/// Weight of the newest token in a chance, and of the newest guess in the trust.
constexpr double kNewest = 0.15;
constexpr double kNewestGuess = 0.25;
/// Tokens of a guess that is judged.
constexpr std::size_t kJudged = 3;

}  // namespace

void PromptLookup::push(Token token) {
  bool right = false;
  if (next_ > 0) {
    right = tokens_[next_] == token;
    double& known = chances_[agreed_ - kAgreedMin];
    known += kNewest * ((right ? 1.0 : 0.0) - known);
  }
  tokens_.push_back(token);
  if (right) {
    ++next_;
    agreed_ = std::min(agreed_ + 1, kAgreedMax);
  } else {
    find();
  }
  judge(right);
}

void PromptLookup::judge(bool right) {
  if (to_judge_ > 0) {
    failed_ = failed_ || !right;
    kept_ += failed_ ? 0 : 1;
    if (--to_judge_ > 0) return;
    trust_ += kNewestGuess * (std::min(1.0, kept_ / promised_) - trust_);
  }
  if (next_ == 0 || tokens_.size() - next_ < kJudged) return;
  to_judge_ = kJudged;
  failed_ = false;
  promised_ = kept_ = 0;
  double all = 1;
  for (std::size_t i = 0; i < kJudged; ++i) {
    all *= chance(i);
    promised_ += all;
  }
}

// The latest of the places before which most tokens are those written last.
void PromptLookup::find() {
  next_ = agreed_ = 0;
  const std::size_t size = tokens_.size();
  if (size <= kAgreedMin) return;
  for (std::size_t place = size - 1; place >= kAgreedMin && agreed_ < kAgreedMax; --place) {
    if (tokens_[place - 1] != tokens_[size - 1] || tokens_[place - 2] != tokens_[size - 2])
      continue;
    std::size_t agreed = kAgreedMin;
    const std::size_t most = std::min(place, kAgreedMax);
    while (agreed < most && tokens_[place - 1 - agreed] == tokens_[size - 1 - agreed]) ++agreed;
    if (agreed > agreed_) next_ = place, agreed_ = agreed;
  }
}

PromptLookup::Guess PromptLookup::guess() const {
  Guess guess;
  if (next_ == 0) return guess;
  guess.tokens = std::span(tokens_).subspan(next_, std::min(kGuessMax, tokens_.size() - next_));
  double all = 1;
  for (std::size_t i = 0; i < guess.tokens.size(); ++i) {
    all *= chance(i);
    guess.chances.push_back(all * trust_);
  }
  return guess;
}

}  // namespace knap::models::runner
