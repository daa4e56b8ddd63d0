#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "knap/base/deadline.hpp"

namespace knap::models {

class Generator;
enum class Priority;

/// A part of a note that stands in a prompt.
struct NotePart {
  std::string vault, path;
  std::uint32_t first_line = 0, last_line = 0;
};

/// Whether a prompt may leave this machine.
enum class Reach {
  kAnywhere,
  kThisMachine  ///< It holds text that its owner keeps local: no remote model ever gets it.
};

/// What the choice of an answer model depends on.
struct RouteNeed {
  std::string request_id;  ///< Under which the choice can be asked for; empty: it is not kept.
  std::string model;       ///< Named by the caller: this one or none. Empty: the router chooses.
  std::string language;    ///< Of the question, ISO 639-1; empty: unknown.
  std::uint32_t prompt_tokens = 0, answer_tokens = 0;  ///< Expected.
  Priority priority{};
  Deadline deadline = Deadline::never();
  Reach reach = Reach::kAnywhere;
};

/// One model that came into question, in the order of the chain; those left out come last.
struct RouteCandidate {
  std::string model;
  bool remote = false;
  bool usable = false;
  std::string reason;  ///< Why it stands where it stands, or why it is left out.
  /// By the speed measured so far, for the whole answer; unset: not measured yet.
  std::optional<std::chrono::milliseconds> expected;
};

/// What became of one model that was asked.
struct RouteAttempt {
  std::string model;
  std::string outcome;  ///< "answered", or the error.
  std::chrono::milliseconds took{};
  std::uint64_t prompt_tokens = 0, completion_tokens = 0;
  bool tokens_estimated = false;  ///< The server told none: counted by bytes.
  double cost = 0;                ///< In the currency of the prices in the settings.
};

/// One choice, as it can be explained afterwards.
struct RouteRecord {
  std::string request_id;
  std::chrono::system_clock::time_point time;
  RouteNeed need;
  std::chrono::milliseconds time_left{};  ///< When it was chosen; zero: no deadline.
  std::vector<RouteCandidate> candidates;
  std::vector<RouteAttempt> attempts;
};

/// Models to ask one after the other, the best first. Empty: none may be asked, and `reason` says
/// why.
struct RoutePlan {
  std::vector<std::shared_ptr<Generator>> chain;
  std::string reason;
};

}  // namespace knap::models
