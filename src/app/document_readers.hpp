#pragma once

#include <vector>

#include "config.hpp"
#include "knap/index/service.hpp"

namespace knap::app {

/// The kinds of files besides notes whose text is indexed, as the settings say.
std::vector<index::DocumentReader> document_readers(const Config& config);

}  // namespace knap::app
