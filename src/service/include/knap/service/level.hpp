#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <string_view>

namespace knap::service {

/// The five service levels. Lower numbers go first.
enum class Level { kStatus, kCached, kSearch, kComplex, kBatch };

struct LevelSpec {
  Level level;
  int number;  ///< 1-5, as documents count.
  std::string_view
      name;  ///< "status", "cached", "search", "complex", "batch": also the metrics label.
  std::chrono::milliseconds limit;
};

/// 100 ms, 500 ms, 2 s, 10 s, 60 s.
inline constexpr std::array<LevelSpec, 5> kLevels{{
    {Level::kStatus, 1, "status", std::chrono::milliseconds(100)},
    {Level::kCached, 2, "cached", std::chrono::milliseconds(500)},
    {Level::kSearch, 3, "search", std::chrono::milliseconds(2'000)},
    {Level::kComplex, 4, "complex", std::chrono::milliseconds(10'000)},
    {Level::kBatch, 5, "batch", std::chrono::milliseconds(60'000)},
}};

constexpr const LevelSpec& spec(Level level) { return kLevels[static_cast<std::size_t>(level)]; }

}  // namespace knap::service
