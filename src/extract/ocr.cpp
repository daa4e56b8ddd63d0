#include "ocr.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <filesystem>

#include <fmt/format.h>

#include "knap/base/file.hpp"
#include "knap/base/text.hpp"

namespace knap::extract {
namespace {

constexpr const char* kTesseract = "/usr/bin/tesseract";
constexpr const char* kDraw = "/usr/bin/pdftoppm";
constexpr const char* kData = "/usr/share/tesseract-ocr";
constexpr int kConfidenceMin = 40;  // of a word; below it is mostly noise of the picture
constexpr std::size_t kTsvColumns = 12;
constexpr std::size_t kLanguagesMax = 4;  // each costs its share of time
constexpr std::uint64_t kMemoryBytes = 1'024ULL << 20;
constexpr const char* kDotsPerInch = "200";

/// The languages whose data are installed, as "eng+deu"; English first.
std::string languages() {
  std::vector<std::string> names;
  std::error_code failed;
  for (const auto& version : std::filesystem::directory_iterator(kData, failed)) {
    std::error_code none;
    for (const auto& file :
         std::filesystem::directory_iterator(version.path() / "tessdata", none)) {
      const std::string name = file.path().stem().string();
      if (file.path().extension() == ".traineddata" && name != "osd" && name != "equ")
        names.push_back(name);
    }
  }
  std::sort(names.begin(), names.end(), [](const std::string& a, const std::string& b) {
    return std::pair(a != "eng", a) < std::pair(b != "eng", b);
  });
  names.erase(std::unique(names.begin(), names.end()), names.end());
  if (names.size() > kLanguagesMax) names.resize(kLanguagesMax);
  return fmt::format("{}", fmt::join(names, "+"));
}

/// A file in memory that can only be read.
Result<FileDescriptor> as_file(std::string_view bytes) {
  const FileDescriptor memory(::memfd_create("knap-page", MFD_CLOEXEC));
  if (!memory.valid()) return errno_error(errno, "make a file in memory for", "a page");
  while (!bytes.empty()) {
    const ssize_t done = ::write(memory.get(), bytes.data(), bytes.size());
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return errno_error(errno, "write", "a file in memory");
    bytes.remove_prefix(static_cast<std::size_t>(done));
  }
  const std::string path = fmt::format("/proc/self/fd/{}", memory.get());
  FileDescriptor readable(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!readable.valid()) return errno_error(errno, "open", path);
  return readable;
}

Result<OcrText> read_picture(int file, std::uint32_t place, const ExtractOptions& options,
                             Deadline deadline, const CancelToken& cancel) {
  KNAP_CHECK_OK(still_wanted(cancel, deadline));
  if (::lseek(file, 0, SEEK_SET) != 0)
    return make_error(ErrorCode::kIo, "a picture must be a regular file");
  HelperRun run;
  run.program = kTesseract;
  // 3: pages of any layout. Without a resolution in the picture one is assumed.
  run.arguments = {"stdin",      "stdout", "-l", languages(), "--dpi",
                   kDotsPerInch, "--psm",  "3",  "tsv"};
  run.input = file;
  run.readable = {kData};
  run.limits = options.limits;
  run.limits.memory_bytes = std::max(run.limits.memory_bytes, kMemoryBytes);
  run.limits.wall_time = std::min(run.limits.wall_time, deadline.remaining_ms());
  run.weak = options.weak;
  KNAP_TRY(const HelperResult result, run_helper(run, cancel));
  if (result.exit_code != 0)
    return make_error(ErrorCode::kCorruptData, "not a picture that can be read");
  return read_tsv(result.output, place);
}

Result<std::string> draw_page(int file, std::uint32_t page, const ExtractOptions& options,
                              Deadline deadline, const CancelToken& cancel) {
  KNAP_CHECK_OK(still_wanted(cancel, deadline));
  if (::lseek(file, 0, SEEK_SET) != 0)
    return make_error(ErrorCode::kIo, "a PDF must be a regular file");
  const std::string number = std::to_string(page);
  HelperRun run;
  run.program = kDraw;
  // Without a name of its own the picture goes to standard output.
  run.arguments = {"-q", "-gray", "-r", kDotsPerInch, "-f", number, "-l", number, "-"};
  run.input = file;
  run.readable = {"/usr/share/poppler"};
  run.limits = options.limits;
  run.limits.wall_time = std::min(run.limits.wall_time, deadline.remaining_ms());
  run.weak = options.weak;
  KNAP_TRY(HelperResult result, run_helper(run, cancel));
  if (result.exit_code != 0 || result.output.empty())
    return make_error(ErrorCode::kCorruptData, "the page cannot be drawn");
  return std::move(result.output);
}

/// Takes over what was read; the document's confidence is that of all its words.
class Collector {
 public:
  explicit Collector(Document& document) : document_(document) {}
  void add(OcrText text) {
    words_ += text.words;
    confidence_ += text.confidence_sum;
    std::move(text.blocks.begin(), text.blocks.end(), std::back_inserter(document_.blocks));
  }
  void finish() const {
    if (words_ > 0) document_.confidence = static_cast<std::uint8_t>(confidence_ / words_);
  }

 private:
  Document& document_;
  std::uint64_t words_ = 0, confidence_ = 0;
};

bool is_ours(const Error& error) {
  return error.code == ErrorCode::kFailedPrecondition || error.code == ErrorCode::kCancelled ||
         error.code == ErrorCode::kIo || error.code == ErrorCode::kNotFound;
}

int number_of(std::string_view text) {
  int out = -1;
  std::from_chars(text.data(), text.data() + text.size(), out);
  return out;
}

}  // namespace

Status can_ocr() {
  if (::access(kTesseract, X_OK) == 0 && !languages().empty()) return {};
  return make_error(ErrorCode::kFailedPrecondition,
                    "tesseract is not installed: install the packages tesseract-ocr and "
                    "tesseract-ocr-eng");
}

OcrText read_tsv(std::string_view tsv, std::uint32_t place) {
  OcrText out;
  std::string paragraph, last;
  const auto end = [&] {
    std::string line = clean_line(paragraph);
    if (!line.empty()) out.blocks.push_back({Block::Kind::kParagraph, 0, place, std::move(line)});
    paragraph.clear();
  };
  for (std::size_t lines = 0; !tsv.empty() && lines < kBlocksMax; ++lines) {
    std::string_view line = tsv.substr(0, tsv.find('\n'));
    tsv.remove_prefix(std::min(tsv.size(), line.size() + 1));
    std::array<std::string_view, kTsvColumns> cells;
    std::size_t count = 0;
    for (; count < kTsvColumns; ++count) {
      const std::size_t tab = count + 1 < kTsvColumns ? line.find('\t') : std::string_view::npos;
      cells[count] = line.substr(0, tab);
      if (tab == std::string_view::npos) break;
      line.remove_prefix(tab + 1);
    }
    // level, page, block, paragraph, line, word, left, top, width, height, confidence, text
    if (count + 1 < kTsvColumns || cells[0] != "5") continue;
    const int confidence = number_of(cells[10]);
    if (confidence < kConfidenceMin || text::trim(cells[11]).empty()) continue;
    std::string where = fmt::format("{}.{}", cells[2], cells[3]);
    if (where != last) end();
    last = std::move(where);
    if (!paragraph.empty()) paragraph += ' ';
    paragraph += text::repair_utf8(cells[11]);
    ++out.words;
    out.confidence_sum += static_cast<std::uint64_t>(std::min(confidence, 100));
  }
  end();
  return out;
}

Result<Document> extract_image(int file, const ExtractOptions& options, Deadline deadline,
                               const CancelToken& cancel) {
  KNAP_CHECK_OK(can_ocr());
  KNAP_TRY(OcrText text, read_picture(file, 0, options, deadline, cancel));
  Document document;
  Collector all(document);
  all.add(std::move(text));
  all.finish();
  return document;
}

Result<Document> ocr_pdf(int file, std::uint32_t pages, const ExtractOptions& options,
                         Deadline deadline, const CancelToken& cancel) {
  KNAP_CHECK_OK(can_ocr());
  Document document;
  document.places = pages;
  Collector all(document);
  const std::uint32_t count = std::min(pages, options.ocr_pages_max);
  const auto warn = [&](std::string text) {
    if (document.warnings.size() < kWarningsMax) document.warnings.push_back(std::move(text));
  };
  if (count < pages) warn(fmt::format("pages after {} are left out: they are pictures", count));
  for (std::uint32_t page = 1; page <= count; ++page) {
    const auto read = [&]() -> Status {
      KNAP_TRY(const std::string picture, draw_page(file, page, options, deadline, cancel));
      KNAP_TRY(const FileDescriptor drawn, as_file(picture));
      KNAP_TRY(OcrText text, read_picture(drawn.get(), page, options, deadline, cancel));
      all.add(std::move(text));
      return {};
    }();
    if (read) continue;
    if (is_ours(read.error()) || deadline.expired()) return read.error();
    warn(fmt::format("page {} could not be read", page));
  }
  all.finish();
  if (document.blocks.empty()) return make_error(ErrorCode::kUnsupported, "no text layer");
  return document;
}

}  // namespace knap::extract
