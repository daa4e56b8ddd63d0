#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "knap/models/models.hpp"
#include "knap/models/route.hpp"

namespace knap::models {

/// A model as the router sees it at one moment.
struct RouteOption {
  std::shared_ptr<Generator> generator;
  std::string model;
  bool remote = false;
  std::uint32_t context = 0;
  std::vector<std::string> languages;  ///< ISO 639-1; "*" or none: any.
  std::string unusable;                ///< Why it cannot be asked now; empty: it can.
  bool loaded = true;
  std::chrono::milliseconds load_time{};  ///< Measured or guessed.
  GeneratorSpeed speed;
  bool costs = false;  ///< It has a price.
};

/// Orders models for one need. `options` come in the owner's order, the preferred first. What must
/// not or cannot be asked is left out: remote ones when the text stays here, what has no room for
/// prompt and answer, what is broken or paused. Of the rest go first, each point before the next:
/// those that by measured speed end before the deadline; those that know the language; for what
/// nobody waits for, those that cost nothing, and for what somebody waits for, those that are
/// loaded when the others would begin too late; then the owner's order. Pure.
/// @return candidates in that order, and the generators of the usable ones in `chain`.
std::vector<RouteCandidate> rank(const RouteNeed& need, const std::vector<RouteOption>& options,
                                 std::vector<std::shared_ptr<Generator>>& chain);

}  // namespace knap::models
