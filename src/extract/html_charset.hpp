#pragma once

#include <string>
#include <string_view>

namespace knap::extract::html {

/// A page's bytes as UTF-8. The encoding is named by the byte order mark, the server, the page
/// itself (in that order), or else it is UTF-8 if the bytes are, and windows-1252 if not. What
/// cannot be read becomes U+FFFD.
std::string to_utf8(std::string_view bytes, std::string_view charset_of_server);

}  // namespace knap::extract::html
