#include "knap/extract/extract.hpp"

#include "pdf.hpp"

namespace knap::extract {

Result<Document> extract(Format format, int file, const ExtractOptions& options, Deadline deadline,
                         const CancelToken& cancel) {
  switch (format) {
    case Format::kPdf: return extract_pdf(file, options, deadline, cancel);
  }
  return make_error(ErrorCode::kUnsupported, "this format is not read");
}

}  // namespace knap::extract
