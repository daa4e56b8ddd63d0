#pragma once

#include <filesystem>
#include <string_view>

#include "knap/base/result.hpp"

namespace knap::app {

/// Sets `section: {key: value}` in a YAML file line by line, so that comments and order stay.
/// Creates the file when it is missing. The result is parsed again before it replaces the file: a
/// file this cannot edit safely is left as it is. Errors: kFailedPrecondition (says what to write
/// by hand), kIo, kPermissionDenied.
Status set_in_config_file(const std::filesystem::path& file, std::string_view section,
                          std::string_view key, std::string_view value);

}  // namespace knap::app
