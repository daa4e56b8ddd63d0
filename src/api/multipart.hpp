#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "problem.hpp"

namespace knap::api {

/// One field of a form.
struct FormPart {
  std::string name;
  std::string file_name;  ///< As the sender calls it, cut at 200 bytes; empty: no file.
  std::string_view data;  ///< Into the body.
};

inline constexpr std::size_t kFormPartsMax = 64;

bool is_form(std::string_view content_type);

/// Reads a multipart/form-data body (RFC 7578). The parts point into `body`.
/// Errors: 400 (no boundary, no form, ends too early, too many parts), each saying which.
Checked<std::vector<FormPart>> parse_form(std::string_view content_type, std::string_view body);

}  // namespace knap::api
