#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "knap/base/deadline.hpp"
#include "knap/base/result.hpp"
#include "knap/extract/document.hpp"
#include "knap/extract/sandbox.hpp"

namespace knap::extract {

/// Formats that are read.
enum class Format { kPdf, kDocx, kPptx, kXlsx, kOdf, kRtf, kCsv, kText, kEpub, kHtml, kImage };

/// Raised when what comes out of a file changes: kept texts of older versions are made anew.
inline constexpr std::uint16_t kExtractorVersion = 1;

/// The same for office files: all but kPdf and kImage.
inline constexpr std::uint16_t kOfficeVersion = 1;
/// The same for text in pictures.
inline constexpr std::uint16_t kOcrVersion = 1;

/// The program knap-office that reads office files in the sandbox: beside the running one.
std::filesystem::path office_program();

struct ExtractOptions {
  WeakSandbox weak = WeakSandbox::kRefuse;
  HelperLimits limits;  ///< Of each helper; a file may need several.
  std::uint32_t pages_max = 5'000;
  std::filesystem::path helper = office_program();
  bool ocr = false;  ///< Pages of a PDF without any text are read off their picture.
  std::uint32_t ocr_pages_max = 100;  ///< Of one file; each takes a second or more.
};

/// Whether files of a format can be read here at all: the helper programs are installed and the
/// kernel contains them, or `options.weak` allows that it does not. Cheap. Errors:
/// kFailedPrecondition.
Status can_extract(Format format, const ExtractOptions& options);

/// Takes the text out of a file. All that reads its bytes runs in the sandbox.
///
/// @param file  open for reading only, a regular file; stays the caller's
/// Errors, final for these bytes: kUnsupported (nothing to take: no text layer, encrypted; the
/// message is the reason, for people), kCorruptData (not such a file, or broken beyond reading),
/// kResourceExhausted (over the limits). Others, which may pass: kFailedPrecondition (the helper
/// program is not installed, or the kernel cannot contain it), kDeadlineExceeded, kCancelled, kIo.
/// Cost: a hundred pages in about a second. Threads: safe from any thread. Blocks.
Result<Document> extract(Format format, int file, const ExtractOptions& options, Deadline deadline,
                         const CancelToken& cancel);

}  // namespace knap::extract
