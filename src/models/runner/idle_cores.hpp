#pragma once

#include <cstddef>
#include <string_view>

namespace knap::models::runner {

/// How many threads to compute with, at least 1 and at most `wanted`: as many as cores are free
/// just now. ggml's threads spin while they wait for each other, so that one more than there are
/// cores makes all many times slower (measured with both cores busy: a clip that takes 1.8 s with
/// one thread took 11 to 25 s with two).
std::size_t threads_for_idle_cores(std::size_t wanted);

/// The same from the text of /proc/loadavg, whose fourth field begins with how many tasks run, the
/// asking one among them. What cannot be read counts as idle.
std::size_t threads_for_load(std::size_t wanted, std::size_t cores, std::string_view loadavg);

}  // namespace knap::models::runner
