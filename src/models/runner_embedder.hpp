#pragma once

#include <memory>
#include <string>

#include "catalogue.hpp"
#include "knap/models/models.hpp"
#include "pool.hpp"

namespace knap::models {

/// Cores that share one query, where the runner has as many. Queries run one after the other, so a
/// second core shortens each wait; measured median of 3 to 24 tokens in f32: one thread 8.6 ms, two
/// 5.3 ms. Knap's own 8-bit kernels take one: 2.5 ms.
inline constexpr std::size_t kQueryThreads = 2;

/// The parts of Embedder::id(): NAME@REVISION/PRECISION; the last two are empty for a name alone.
struct EmbedderId {
  std::string_view name, revision, precision;
};
EmbedderId split_embedder_id(std::string_view id);

/// Of a model's weights: the beginning of their checksum.
std::string revision_of(const ModelSpec& spec);

/// An embedder whose model runs in a child of the pool. Interactive calls never wait for it to
/// load, those of searches do, and background ones for 10 s.
/// @param precision  part of its id: vectors of different precisions are kept apart
/// @param threads  compute threads of the runner
std::shared_ptr<Embedder> make_runner_embedder(const ModelSpec& spec, std::string precision,
                                               std::size_t threads,
                                               std::shared_ptr<RunnerPool> pool,
                                               std::shared_ptr<RunnerPool::Slot> slot,
                                               observe::Registry& metrics);

}  // namespace knap::models
