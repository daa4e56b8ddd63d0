#include "document_readers.hpp"

#include "knap/extract/extract.hpp"

namespace knap::app {
namespace {

// Numbers in the store: never given to another kind.
constexpr std::uint8_t kPdfReader = 1;

index::DocumentReader pdf_reader(const Config& config) {
  extract::ExtractOptions options;
  options.weak = config.index.weak_sandbox == "allow" ? extract::WeakSandbox::kAllow
                                                      : extract::WeakSandbox::kRefuse;
  options.pages_max = config.index.pdf_max_pages;
  index::DocumentReader reader;
  reader.id = kPdfReader;
  reader.name = "pdf";
  reader.version = extract::kExtractorVersion;
  reader.types = {vault::FileType::kPdf};
  reader.max_file_bytes = config.index.pdf_max_file_bytes;
  reader.ready = [options] { return extract::can_extract(extract::Format::kPdf, options.weak); };
  reader.read = [options](int file, std::string_view, Deadline deadline,
                          const CancelToken& cancel) {
    return extract::extract(extract::Format::kPdf, file, options, deadline, cancel);
  };
  return reader;
}

}  // namespace

std::vector<index::DocumentReader> document_readers(const Config& config) {
  std::vector<index::DocumentReader> readers;
  if (config.index.pdf) readers.push_back(pdf_reader(config));
  return readers;
}

}  // namespace knap::app
