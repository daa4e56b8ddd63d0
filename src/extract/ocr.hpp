#pragma once

#include <string_view>
#include <vector>

#include "knap/base/deadline.hpp"
#include "knap/base/result.hpp"
#include "knap/extract/document.hpp"
#include "knap/extract/extract.hpp"

namespace knap::extract {

/// Words that were read off a picture, and how sure their reader is.
struct OcrText {
  std::vector<Block> blocks;
  std::uint64_t words = 0;
  std::uint64_t confidence_sum = 0;  ///< Of the words kept, each 0-100.
};

/// Whether Tesseract is installed. Errors: kFailedPrecondition.
Status can_ocr();

/// extract() of a picture. One without text gives a document without blocks.
Result<Document> extract_image(int file, const ExtractOptions& options, Deadline deadline,
                               const CancelToken& cancel);

/// Reads the pages of a scanned PDF, drawn one by one. Pages without text give none.
Result<Document> ocr_pdf(int file, std::uint32_t pages, const ExtractOptions& options,
                         Deadline deadline, const CancelToken& cancel);

/// What Tesseract writes as "tsv": paragraphs of the words that it is fairly sure of.
OcrText read_tsv(std::string_view tsv, std::uint32_t place);

}  // namespace knap::extract
