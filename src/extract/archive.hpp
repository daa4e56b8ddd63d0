#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "knap/base/result.hpp"

namespace knap::extract {

inline constexpr std::size_t kArchiveEntriesMax = 20'000;
inline constexpr std::size_t kArchiveEntryBytesMax = 48U << 20;  ///< Unpacked.
inline constexpr std::size_t kArchiveTotalBytesMax = 96U << 20;  ///< Of the wanted ones.

/// Parts of a ZIP file by name.
using Parts = std::map<std::string, std::string, std::less<>>;

/// Unpacks the parts of a ZIP file that are wanted. Runs in the sandbox: libarchive reads hostile
/// bytes.
/// @param bytes  the whole file
/// Errors: kCorruptData (no ZIP file, damaged), kUnsupported (encrypted), kResourceExhausted (over
/// the limits above: a bomb).
Result<Parts> unpack(std::string_view bytes, const std::function<bool(std::string_view)>& wanted);

}  // namespace knap::extract
