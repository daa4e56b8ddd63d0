#pragma once

#include <string>
#include <string_view>

namespace knap::extract::html {

/// An address as it stands in a page, made absolute. Empty: not one of http, https or mailto, or no
/// address at all. What must be escaped is; the result has neither spaces nor brackets that end a
/// Markdown link.
std::string absolute_address(std::string_view base, std::string_view reference);

}  // namespace knap::extract::html
