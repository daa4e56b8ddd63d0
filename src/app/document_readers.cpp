#include "document_readers.hpp"

#include <algorithm>
#include <array>

#include "knap/base/hash.hpp"
#include "knap/base/text.hpp"
#include "knap/extract/extract.hpp"

namespace knap::app {
namespace {

// Numbers in the store: never given to another kind.
constexpr std::uint8_t kPdfReader = 1;
constexpr std::uint8_t kAudioReader = 2;
constexpr std::uint8_t kOfficeReader = 4;
constexpr std::uint8_t kImageReader = 5;
// A scan that gave no text is read again once pictures can be read: added to the version.
constexpr std::uint16_t kWithOcr = 1'000;
constexpr std::chrono::minutes kOcrLimit{20};
// Twelve hours of speech on a slow machine that has other things to do.
constexpr std::chrono::hours kHearingLimit{24};

extract::ExtractOptions options_of(const Config& config) {
  extract::ExtractOptions options;
  options.weak = config.index.weak_sandbox == "allow" ? extract::WeakSandbox::kAllow
                                                      : extract::WeakSandbox::kRefuse;
  return options;
}

bool can_read_pictures(const Config& config) {
  return config.index.ocr && extract::can_extract(extract::Format::kImage, options_of(config));
}

/// Drawings and formats that Tesseract does not know go by their names.
bool is_readable_picture(std::string_view path) {
  constexpr std::array<std::string_view, 8> kEndings{"png",  "jpg", "jpeg", "tif",
                                                     "tiff", "bmp", "gif",  "webp"};
  const std::string folded = text::fold_case(path.substr(path.rfind('.') + 1));
  return std::find(kEndings.begin(), kEndings.end(), folded) != kEndings.end();
}

index::DocumentReader image_reader(const Config& config) {
  const extract::ExtractOptions options = options_of(config);
  index::DocumentReader reader;
  reader.id = kImageReader;
  reader.name = "image";
  reader.version = extract::kOcrVersion;
  reader.types = {vault::FileType::kImage};
  reader.ready = [options] { return extract::can_extract(extract::Format::kImage, options); };
  reader.read = [options](int file, std::string_view path, Deadline deadline,
                          const CancelToken& cancel) -> Result<extract::Document> {
    if (!is_readable_picture(path)) return extract::Document{};
    return extract::extract(extract::Format::kImage, file, options, deadline, cancel);
  };
  return reader;
}

/// Office files and plain texts by the ending of their name.
extract::Format office_format(std::string_view path) {
  using extract::Format;
  constexpr std::array<std::pair<std::string_view, Format>, 13> kEndings{
      {{"docx", Format::kDocx},
       {"pptx", Format::kPptx},
       {"xlsx", Format::kXlsx},
       {"odt", Format::kOdf},
       {"odp", Format::kOdf},
       {"ods", Format::kOdf},
       {"rtf", Format::kRtf},
       {"csv", Format::kCsv},
       {"txt", Format::kText},
       {"epub", Format::kEpub},
       {"html", Format::kHtml},
       {"htm", Format::kHtml},
       {"xhtml", Format::kHtml}}};
  const std::string folded = text::fold_case(path.substr(path.rfind('.') + 1));
  for (const auto& [ending, format] : kEndings)
    if (folded == ending) return format;
  return Format::kText;
}

index::DocumentReader office_reader(const Config& config) {
  const extract::ExtractOptions options = options_of(config);
  index::DocumentReader reader;
  reader.id = kOfficeReader;
  reader.name = "office";
  reader.version = extract::kOfficeVersion;
  reader.types = {vault::FileType::kOffice, vault::FileType::kText, vault::FileType::kBook,
                  vault::FileType::kWeb};
  reader.max_file_bytes = config.index.office_max_file_bytes;
  reader.ready = [options] { return extract::can_extract(extract::Format::kDocx, options); };
  reader.read = [options](int file, std::string_view path, Deadline deadline,
                          const CancelToken& cancel) {
    return extract::extract(office_format(path), file, options, deadline, cancel);
  };
  return reader;
}

index::DocumentReader pdf_reader(const Config& config) {
  extract::ExtractOptions options = options_of(config);
  options.pages_max = config.index.pdf_max_pages;
  index::DocumentReader reader;
  reader.id = kPdfReader;
  reader.name = "pdf";
  reader.version = extract::kExtractorVersion;
  options.ocr = can_read_pictures(config);
  options.ocr_pages_max = config.index.ocr_max_pages;
  if (options.ocr) {
    reader.version = static_cast<std::uint16_t>(reader.version + kWithOcr);
    reader.limit = kOcrLimit;
  }
  reader.types = {vault::FileType::kPdf};
  reader.max_file_bytes = config.index.pdf_max_file_bytes;
  reader.ready = [options] { return extract::can_extract(extract::Format::kPdf, options); };
  reader.read = [options](int file, std::string_view, Deadline deadline,
                          const CancelToken& cancel) {
    return extract::extract(extract::Format::kPdf, file, options, deadline, cancel);
  };
  return reader;
}

/// A number for what hears: another model or language hears again. That two of them share one of so
/// many numbers costs no more than texts of the former model until a recording changes.
std::uint16_t hearing_version(const speech::Speech* speech) {
  constexpr std::uint64_t kVersions = 4'095;
  if (speech == nullptr) return 1;
  return static_cast<std::uint16_t>(hash128(speech->hearing()).low % kVersions + 1);
}

Result<extract::Document> document_of(const speech::Recording& recording) {
  extract::Document document;
  for (speech::Paragraph& each : speech::to_paragraphs(recording.segments)) {
    extract::Block block;
    block.place =
        static_cast<std::uint32_t>(std::chrono::floor<std::chrono::seconds>(each.begin).count());
    block.text = extract::clean_line(each.text);
    if (!block.text.empty()) document.blocks.push_back(std::move(block));
  }
  if (document.blocks.empty()) return make_error(ErrorCode::kUnsupported, "nobody speaks in it");
  return document;
}

index::DocumentReader audio_reader(const Config& config, speech::Speech* speech) {
  index::DocumentReader reader;
  reader.id = kAudioReader;
  reader.name = "audio";
  reader.version = hearing_version(speech);
  reader.types = {vault::FileType::kAudio};
  reader.max_file_bytes = config.index.audio_max_file_bytes;
  reader.limit = kHearingLimit;
  if (!config.index.audio) reader.off = "not heard: set index.audio to true";
  if (config.models.speech.empty()) reader.off = "not heard: models.speech names no model";
  reader.ready = [speech] {
    if (speech != nullptr) return speech->ready();
    return Status(make_error(ErrorCode::kFailedPrecondition, "heard while `knap serve` runs"));
  };
  reader.read = [speech](int file, std::string_view path, Deadline deadline,
                         const CancelToken& cancel) -> Result<extract::Document> {
    const std::string_view name = path.substr(path.rfind('/') + 1);
    KNAP_TRY(const auto recording, speech->hear_file(file, name, deadline, cancel));
    return document_of(recording);
  };
  return reader;
}

}  // namespace

std::vector<index::DocumentReader> document_readers(const Config& config, speech::Speech* speech) {
  std::vector<index::DocumentReader> readers;
  if (config.index.pdf) readers.push_back(pdf_reader(config));
  if (config.index.office) readers.push_back(office_reader(config));
  if (can_read_pictures(config)) readers.push_back(image_reader(config));
  readers.push_back(audio_reader(config, speech));
  return readers;
}

}  // namespace knap::app
