#include "router.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

namespace knap::models {
namespace {

using std::chrono::milliseconds;

milliseconds seconds_to_ms(double seconds) {
  constexpr double kMost = 86'400;
  return milliseconds(static_cast<std::int64_t>(std::clamp(seconds, 0.0, kMost) * 1'000));
}

std::optional<milliseconds> expected_time(const RouteNeed& need, const RouteOption& option) {
  if (option.speed.read_per_second <= 0 || option.speed.write_per_second <= 0) return std::nullopt;
  const double seconds = need.prompt_tokens / option.speed.read_per_second +
                         need.answer_tokens / option.speed.write_per_second;
  return seconds_to_ms(seconds) + (option.loaded ? milliseconds{} : option.load_time);
}

bool knows(const RouteOption& option, const std::string& language) {
  if (language.empty() || option.languages.empty()) return true;
  return std::ranges::any_of(option.languages,
                             [&](const auto& each) { return each == "*" || each == language; });
}

std::string why_not(const RouteNeed& need, const RouteOption& option) {
  if (option.remote && need.reach == Reach::kThisMachine)
    return "left out: the notes it would get are kept on this machine";
  if (!option.unusable.empty()) return "left out: " + option.unusable;
  const std::uint64_t wanted = std::uint64_t{need.prompt_tokens} + need.answer_tokens;
  if (option.context > 0 && wanted > option.context)
    return fmt::format("left out: {} tokens are expected, its context holds {}", wanted,
                       option.context);
  return {};
}

struct Ranked {
  const RouteOption* option;
  RouteCandidate candidate;
  std::tuple<bool, bool, bool, bool> order;  ///< False goes first.
};

Ranked judge(const RouteNeed& need, const RouteOption& option) {
  Ranked out{.option = &option, .candidate = {}, .order = {}};
  RouteCandidate& candidate = out.candidate;
  candidate.model = option.model;
  candidate.remote = option.remote;
  candidate.expected = expected_time(need, option);
  candidate.reason = why_not(need, option);
  candidate.usable = candidate.reason.empty();
  if (!candidate.usable) return out;
  std::vector<std::string> reasons;
  const bool late = candidate.expected && !need.deadline.is_never() &&
                    *candidate.expected > need.deadline.remaining_ms();
  if (late)
    reasons.push_back(fmt::format("would take {} ms, {} ms are left", candidate.expected->count(),
                                  need.deadline.remaining_ms().count()));
  const bool foreign = !knows(option, need.language);
  if (foreign) reasons.push_back("was not trained for the language " + need.language);
  const bool dear = need.priority == Priority::kBackground && option.costs;
  if (dear) reasons.emplace_back("costs, and nobody waits");
  // A load of unknown length is no reason: the first question would never load the better model.
  const bool cold = need.priority != Priority::kBackground && !option.loaded &&
                    !need.deadline.is_never() &&
                    option.load_time * 2 > need.deadline.remaining_ms();
  if (cold) reasons.emplace_back("is not loaded, and loading takes most of the time left");
  if (reasons.empty()) reasons.emplace_back("fits; by the order of the settings");
  candidate.reason = fmt::format("{}", fmt::join(reasons, "; "));
  out.order = {late, foreign, dear, cold};
  return out;
}

}  // namespace

std::vector<RouteCandidate> rank(const RouteNeed& need, const std::vector<RouteOption>& options,
                                 std::vector<std::shared_ptr<Generator>>& chain) {
  std::vector<Ranked> all;
  all.reserve(options.size());
  for (const RouteOption& option : options) all.push_back(judge(need, option));
  std::ranges::stable_sort(all, [](const Ranked& a, const Ranked& b) {
    if (a.candidate.usable != b.candidate.usable) return a.candidate.usable;
    return a.order < b.order;
  });
  std::vector<RouteCandidate> out;
  out.reserve(all.size());
  for (Ranked& each : all) {
    if (each.candidate.usable) chain.push_back(each.option->generator);
    out.push_back(std::move(each.candidate));
  }
  return out;
}

}  // namespace knap::models
