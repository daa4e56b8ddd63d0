#include "knap/extract/extract.hpp"

#include <filesystem>

#include "ocr.hpp"
#include "office_child.hpp"
#include "pdf.hpp"

namespace knap::extract {

std::filesystem::path office_program() {
  std::error_code failed;
  return std::filesystem::read_symlink("/proc/self/exe", failed).parent_path() / "knap-office";
}

Status can_extract(Format format, const ExtractOptions& options) {
  switch (format) {
    case Format::kPdf: KNAP_CHECK_OK(can_extract_pdf()); break;
    case Format::kImage: KNAP_CHECK_OK(can_ocr()); break;
    default: KNAP_CHECK_OK(can_extract_office(options)); break;
  }
  const SandboxSupport& support = probe_sandbox();
  if (support.contained() || options.weak == WeakSandbox::kAllow) return {};
  std::string message = "this kernel cannot contain programs that read hostile files";
  for (const std::string& reason : support.missing) message += "; " + reason;
  return make_error(ErrorCode::kFailedPrecondition,
                    message + " (index.weak_sandbox: allow reads them all the same)");
}

Result<Document> extract(Format format, int file, const ExtractOptions& options, Deadline deadline,
                         const CancelToken& cancel) {
  switch (format) {
    case Format::kPdf: return extract_pdf(file, options, deadline, cancel);
    case Format::kImage: return extract_image(file, options, deadline, cancel);
    default: return extract_office(format, file, options, deadline, cancel);
  }
}

}  // namespace knap::extract
