#pragma once

#include "knap/extract/extract.hpp"

namespace knap::extract {

/// extract() of a PDF, by poppler's programs.
Result<Document> extract_pdf(int file, const ExtractOptions& options, Deadline deadline,
                             const CancelToken& cancel);

}  // namespace knap::extract
