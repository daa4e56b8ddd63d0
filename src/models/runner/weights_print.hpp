#pragma once

#include <filesystem>

#include "knap/base/hash.hpp"

namespace knap::models::runner {

/// Tells the weights of one file from those of another, without reading them all: its size and
/// samples from all over it. The engine's version is part of it: another one may compute otherwise.
/// Two files that differ in some other place only are no models that anybody makes. Cost:
/// milliseconds. Errors: kIo, kNotFound.
Result<Hash128> weights_print(const std::filesystem::path& file);

}  // namespace knap::models::runner
