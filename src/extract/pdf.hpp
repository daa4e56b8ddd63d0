#pragma once

#include "knap/extract/extract.hpp"

namespace knap::extract {

/// can_extract() of a PDF, the kernel aside.
Status can_extract_pdf();

/// extract() of a PDF, by poppler's programs.
Result<Document> extract_pdf(int file, const ExtractOptions& options, Deadline deadline,
                             const CancelToken& cancel);

}  // namespace knap::extract
