#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace knap::cache {

/// What a cached value is: each kind has a lifetime and counters of its own.
enum class Kind : std::uint8_t { kSearch, kAnswer, kEmbedding, kDocument };
inline constexpr std::array kKinds{Kind::kSearch, Kind::kAnswer, Kind::kEmbedding, Kind::kDocument};

/// Also the metrics label and the name in settings and routes.
constexpr std::string_view to_string(Kind kind) {
  switch (kind) {
    case Kind::kSearch: return "search";
    case Kind::kAnswer: return "answer";
    case Kind::kEmbedding: return "embedding";
    case Kind::kDocument: return "document";
  }
  return "search";
}

constexpr std::size_t index_of(Kind kind) { return static_cast<std::size_t>(kind); }

}  // namespace knap::cache
