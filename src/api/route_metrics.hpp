#pragma once

#include <array>
#include <chrono>
#include <string_view>
#include <unordered_map>

#include "knap/observe/metrics.hpp"
#include "route.hpp"

namespace knap::api {

/// Counters and times of each route, made once so that a request costs no look-up by name. Threads:
/// safe.
class RouteMetrics {
 public:
  RouteMetrics(observe::Registry& registry, const std::vector<Route>& routes);

  /// @param route  null: the request matched none
  void record(const Route* route, int status, std::chrono::nanoseconds took);
  /// How a request fared against its level's limit. Of answers that stream, `took` is the time to
  /// their first quotes.
  void record_level(service::Level level, int status, std::chrono::nanoseconds took);
  void record_wait(Lane lane, std::chrono::nanoseconds waited);
  void refused_full() { refused_full_.add(); }
  void refused_late() { refused_late_.add(); }
  void refused_memory() { refused_memory_.add(); }

 private:
  struct Series {
    std::array<observe::Counter*, 5> by_class{};  ///< 1xx (never) to 5xx.
    observe::Histogram* seconds = nullptr;
  };
  enum Fate { kGood, kSlow, kRefused, kFailed };
  struct LevelSeries {
    std::array<observe::Counter*, 4> by_fate{};
    observe::Histogram* seconds = nullptr;
  };
  void make_levels(observe::Registry& registry);
  static Series make(observe::Registry& registry, std::string_view route, std::string_view method,
                     std::string_view level);

  std::unordered_map<const Route*, Series> series_;
  Series unmatched_;
  std::array<LevelSeries, service::kLevels.size()> levels_;
  std::array<observe::Histogram*, kLanes.size()> waits_{};
  observe::Counter& refused_full_;
  observe::Counter& refused_late_;
  observe::Counter& refused_memory_;
};

}  // namespace knap::api
