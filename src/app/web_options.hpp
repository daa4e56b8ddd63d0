#pragma once

#include "config.hpp"
#include "knap/web/import.hpp"

namespace knap::app {

/// What the settings say about pages from the web. Errors: kInvalidArgument (a port that is none, a
/// folder for notes that lies in no vault).
Result<web::ImportOptions> web_import_options(const Config& config);

}  // namespace knap::app
