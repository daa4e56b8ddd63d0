#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "knap/base/deadline.hpp"
#include "knap/base/result.hpp"

namespace knap::models {

struct Download {
  std::string url;               ///< http or https.
  std::filesystem::path target;  ///< What is there already is gone on with.
  std::uint64_t bytes = 0;       ///< Expected; 0: unknown.
  std::uint64_t bytes_max = 0;   ///< More is refused.
  /// How often in a row it may break off without a byte gained.
  unsigned attempts = 5;
  std::chrono::milliseconds pause{1'000};  ///< After the first break; doubles.
  std::chrono::seconds stall{30};          ///< Slower than 1 KB/s for so long counts as a break.
  std::function<void(std::uint64_t done_bytes)> progress;
};

/// Fetches a file over HTTP, going on where it stopped: after a broken connection at once, after a
/// kill at the next call. A server that does not know ranges, or whose file has changed since
/// (If-Range with the entity tag), gives it anew from the first byte. Follows up to 5 redirects;
/// uses the system's certificates and the usual proxy variables. What was fetched stays in
/// `target` when it fails. The content is not judged here: compare the checksum.
/// Errors: kUnavailable (the server's status, or cannot be reached), kNotFound (404),
/// kPermissionDenied (401, 403: says that the hub may want an agreement), kCorruptData (other
/// length than expected), kResourceExhausted (longer than bytes_max, disk full), kCancelled, kIo.
/// Threads: safe for different targets. Blocks.
Status download_file(const Download& download, const CancelToken& cancel);

}  // namespace knap::models
