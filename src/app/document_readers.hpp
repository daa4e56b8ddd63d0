#pragma once

#include <vector>

#include "config.hpp"
#include "knap/index/service.hpp"
#include "knap/speech/speech.hpp"

namespace knap::app {

/// The kinds of files besides notes whose text is indexed, as the settings say.
/// @param speech  hears recordings; null: nothing is to hear any, or there is no model. Must
/// outlive
///                the readers.
std::vector<index::DocumentReader> document_readers(const Config& config, speech::Speech* speech);

}  // namespace knap::app
