#pragma once

#include "knap/models/measure.hpp"
#include "runner/measuring.hpp"

namespace knap::models::runner {

/// quantize_model() for Whisper: levels are judged by the words that they hear wrongly.
Result<QuantizeReport> quantize_speech(const QuantizeOptions& options,
                                       const MeasuringFolder& folder,
                                       const Models::Progress& progress, const CancelToken& cancel);

}  // namespace knap::models::runner
