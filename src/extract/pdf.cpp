#include "pdf.hpp"

#include <unistd.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "ocr.hpp"
#include "pdf_text.hpp"

namespace knap::extract {
namespace {

constexpr std::uint32_t kPagesPerRun = 100;
constexpr std::size_t kRunsMax = 400;  // of pdftotext for one file: damaged pages cost several
constexpr std::uint64_t kPageXmlBytesMax = 64ULL << 20;
constexpr std::uint64_t kFactsBytesMax = 1 << 20;
// Exit codes of poppler's programs.
constexpr int kCannotOpen = 1;
constexpr int kNotPermitted = 3;

constexpr std::string_view kReasonBroken = "not a readable PDF";

Status is_installed(const std::filesystem::path& program) {
  if (::access(program.c_str(), X_OK) == 0) return {};
  return make_error(ErrorCode::kFailedPrecondition,
                    fmt::format("{} is not installed: install the package poppler-utils",
                                program.filename().string()));
}

/// Runs poppler's programs over one file.
class Poppler {
 public:
  Poppler(int file, const ExtractOptions& options, Deadline deadline, const CancelToken& cancel)
      : file_(file), options_(options), deadline_(deadline), cancel_(cancel) {}

  Result<HelperResult> run(const char* program, std::vector<std::string> arguments,
                           std::uint64_t output_bytes) const {
    KNAP_CHECK_OK(still_wanted(cancel_, deadline_));
    HelperRun run;
    run.program = std::filesystem::path("/usr/bin") / program;
    KNAP_CHECK_OK(is_installed(run.program));
    run.arguments = std::move(arguments);
    // The place in the file is shared with the run before, which read to the end.
    if (::lseek(file_, 0, SEEK_SET) != 0)
      return make_error(ErrorCode::kIo, "a PDF must be a regular file");
    run.input = file_;
    run.readable = {"/usr/share/poppler"};  // character maps of Chinese, Japanese and Korean
    run.limits = options_.limits;
    run.limits.output_bytes = std::min(run.limits.output_bytes, output_bytes);
    run.limits.wall_time = std::min(run.limits.wall_time, deadline_.remaining_ms());
    run.weak = options_.weak;
    return run_helper(run, cancel_);
  }

 private:
  const int file_;
  const ExtractOptions& options_;
  const Deadline deadline_;
  const CancelToken& cancel_;
};

/// An error of ours, not of what the file makes a helper do: it concerns every page.
bool is_ours(const Error& error) {
  return error.code != ErrorCode::kResourceExhausted && error.code != ErrorCode::kDeadlineExceeded;
}

Result<PdfFacts> find_facts(const Poppler& poppler) {
  KNAP_TRY(const HelperResult result,
           poppler.run("pdfinfo", {"-isodates", "-enc", "UTF-8", "-"}, kFactsBytesMax));
  if (result.exit_code == 0) return read_facts(result.output);
  if (result.exit_code == kCannotOpen &&
      result.diagnostics.find("Incorrect password") != std::string::npos)
    return make_error(ErrorCode::kUnsupported, "encrypted: it needs a password");
  if (result.exit_code == kNotPermitted)
    return make_error(ErrorCode::kUnsupported, "encrypted: it does not permit copying of text");
  return make_error(ErrorCode::kCorruptData, std::string(kReasonBroken));
}

struct Range {
  std::uint32_t first = 1, last = 1;
};

/// Text of all pages. A range that a helper cannot do within its limits is halved, down to the
/// page that is to blame; that one is left out.
class PageReader {
 public:
  PageReader(const Poppler& poppler, Document& document) : poppler_(poppler), document_(document) {}

  Result<std::vector<Page>> read(std::uint32_t count) {
    std::vector<Range> waiting;
    for (std::uint32_t first = 1; first <= count; first += kPagesPerRun)
      waiting.push_back({first, std::min(count, first + kPagesPerRun - 1)});
    std::reverse(waiting.begin(), waiting.end());
    for (std::size_t runs = 0; !waiting.empty(); ++runs) {
      const Range range = waiting.back();
      waiting.pop_back();
      if (runs >= kRunsMax || bytes_ > kDocumentBytesMax) {
        warn(fmt::format("pages from {} on are left out: the file costs too much", range.first));
        break;
      }
      KNAP_TRY(const bool done, read_range(range));
      if (done) continue;
      if (range.first == range.last) {
        warn(fmt::format("page {} could not be read", range.first));
        continue;
      }
      const std::uint32_t middle = (range.first + range.last) / 2;
      waiting.push_back({middle + 1, range.last});
      waiting.push_back({range.first, middle});
    }
    return std::move(pages_);
  }

 private:
  Result<bool> read_range(Range range) {
    auto result =
        poppler_.run("pdftotext",
                     {"-q", "-bbox-layout", "-enc", "UTF-8", "-f", std::to_string(range.first),
                      "-l", std::to_string(range.last), "-", "-"},
                     kPageXmlBytesMax);
    if (!result) {
      if (is_ours(result.error())) return result.error();
      return false;
    }
    if (result->exit_code == kNotPermitted)
      return make_error(ErrorCode::kUnsupported, "encrypted: it does not permit copying of text");
    if (result->exit_code != 0) return false;
    auto pages = read_pages(result->output, range.first);
    if (!pages) return false;
    for (Page& page : *pages) {
      for (const TextLine& line : page.lines) bytes_ += line.text.size();
      pages_.push_back(std::move(page));
    }
    return true;
  }

  void warn(std::string text) {
    if (document_.warnings.size() < kWarningsMax) document_.warnings.push_back(std::move(text));
  }

  const Poppler& poppler_;
  Document& document_;
  std::vector<Page> pages_;
  std::size_t bytes_ = 0;
};

std::vector<OutlineItem> find_outline(const Poppler& poppler) {
  // The first page alone: the outline comes whole whatever the pages.
  const auto result = poppler.run(
      "pdftohtml",
      {"-q", "-xml", "-i", "-stdout", "-f", "1", "-l", "1", "-enc", "UTF-8", "-", "unused"},
      kPageXmlBytesMax);
  // Text without headings is better than none.
  return result ? read_outline(result->output) : std::vector<OutlineItem>();
}

/// Whether the file begins as a PDF does. Readers look for the mark within the first kilobyte.
bool is_pdf(int file) {
  std::array<char, 1024> head{};
  const ssize_t got = ::pread(file, head.data(), head.size(), 0);
  return got > 0 && std::string_view(head.data(), static_cast<std::size_t>(got)).find("%PDF-") !=
                        std::string_view::npos;
}

}  // namespace

Status can_extract_pdf() {
  KNAP_CHECK_OK(is_installed("/usr/bin/pdfinfo"));
  return is_installed("/usr/bin/pdftotext");
}

Result<Document> extract_pdf(int file, const ExtractOptions& options, Deadline deadline,
                             const CancelToken& cancel) {
  if (!is_pdf(file)) return make_error(ErrorCode::kCorruptData, "not a PDF, in spite of its name");
  const Poppler poppler(file, options, deadline, cancel);
  KNAP_TRY(PdfFacts facts, find_facts(poppler));
  if (facts.pages == 0) return make_error(ErrorCode::kCorruptData, "a PDF without pages");
  Document document;
  document.title = std::move(facts.title);
  document.author = std::move(facts.author);
  document.created = std::move(facts.created);
  document.places = facts.pages;
  const std::uint32_t count = std::min(facts.pages, options.pages_max);
  if (count < facts.pages)
    document.warnings.push_back(fmt::format("pages after {} are left out", count));
  KNAP_TRY(std::vector<Page> pages, PageReader(poppler, document).read(count));
  drop_running_lines(pages);
  add_blocks(pages, find_outline(poppler), document);
  if (document.blocks.empty()) {
    if (!document.warnings.empty())
      return make_error(ErrorCode::kCorruptData,
                        std::string(kReasonBroken) + ": " + document.warnings.front());
    if (!options.ocr) return make_error(ErrorCode::kUnsupported, "no text layer");
    KNAP_TRY(Document read, ocr_pdf(file, count, options, deadline, cancel));
    document.confidence = read.confidence;
    document.blocks = std::move(read.blocks);
    for (std::string& warning : read.warnings)
      if (document.warnings.size() < kWarningsMax) document.warnings.push_back(std::move(warning));
  }
  return document;
}

}  // namespace knap::extract
