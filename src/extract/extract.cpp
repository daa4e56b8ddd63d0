#include "knap/extract/extract.hpp"

#include "pdf.hpp"

namespace knap::extract {

Status can_extract(Format format, WeakSandbox weak) {
  switch (format) {
    case Format::kPdf: KNAP_CHECK_OK(can_extract_pdf()); break;
  }
  const SandboxSupport& support = probe_sandbox();
  if (support.contained() || weak == WeakSandbox::kAllow) return {};
  std::string message = "this kernel cannot contain programs that read hostile files";
  for (const std::string& reason : support.missing) message += "; " + reason;
  return make_error(ErrorCode::kFailedPrecondition,
                    message + " (index.weak_sandbox: allow reads them all the same)");
}

Result<Document> extract(Format format, int file, const ExtractOptions& options, Deadline deadline,
                         const CancelToken& cancel) {
  switch (format) {
    case Format::kPdf: return extract_pdf(file, options, deadline, cancel);
  }
  return make_error(ErrorCode::kUnsupported, "this format is not read");
}

}  // namespace knap::extract
