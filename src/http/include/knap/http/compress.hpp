#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "knap/base/result.hpp"

namespace knap::http {

enum class Encoding { kZstd, kBrotli, kGzip };
std::string_view to_string(Encoding encoding);  ///< As in Content-Encoding.

/// The best of what a caller's Accept-Encoding takes: by its weights, and of equal ones zstd before
/// br before gzip. Nothing: send the body as it is. A field that cannot be read counts as absent.
std::optional<Encoding> negotiate_encoding(std::string_view accept_encoding);

/// Whether bodies of this type become smaller: text, JSON, JavaScript, SVG and the like.
bool is_compressible(std::string_view content_type);

/// Levels that take about as long as the network saves: zstd 3, br 4, gzip 5. Errors: kInternal (no
/// memory).
Result<std::string> compress(std::string_view body, Encoding encoding);

}  // namespace knap::http
