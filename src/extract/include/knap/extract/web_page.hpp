#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "knap/base/deadline.hpp"
#include "knap/base/result.hpp"
#include "knap/extract/document.hpp"
#include "knap/extract/sandbox.hpp"

namespace knap::extract {

inline constexpr std::size_t kPageBytesMax = 16U << 20;  ///< Of HTML.

/// Raised when what comes out of a page changes.
inline constexpr std::uint32_t kPageReaderVersion = 1;

/// The readable part of a web page. All of it comes from outside: it is material, never an
/// instruction.
struct WebPage {
  std::string canonical;    ///< Address that the page gives itself, absolute; empty: none.
  std::string site;         ///< Name of the site; empty: unknown.
  std::string description;  ///< In the page's own words; empty: none.
  std::string language;     ///< BCP 47 tag, as in "de-AT"; empty: unknown.
  std::string markdown;     ///< The text as Markdown, without title and front matter.
  /// Title, author, date of publication (`created`) and the text in plain blocks.
  Document document;
};

struct PageSource {
  std::string address;  ///< Where the page comes from: base of its links; may be empty.
  std::string charset;  ///< As the server says; empty: it does not.
};

/// Reads a page in this process: for the helper program, tests and fuzzers.
/// Errors: kResourceExhausted (over kPageBytesMax, too many elements), kUnsupported (no text).
/// Cost: about linear in the size; a hostile page may need minutes.
Result<WebPage> read_page_here(std::string_view html, const PageSource& source);

struct PageOptions {
  std::filesystem::path helper;  ///< The program knap-extract; see page_helper().
  WeakSandbox weak = WeakSandbox::kRefuse;
  HelperLimits limits{std::chrono::seconds(10), std::chrono::milliseconds(20'000)};
};

/// The helper program as it is installed: beside the running one.
std::filesystem::path page_helper();

/// The same in a sandboxed child: any bytes are safe to give.
/// Errors: as above; kFailedPrecondition (the helper is not installed, or the kernel cannot contain
/// it); kDeadlineExceeded, kCancelled, kIo. kCorruptData: the helper failed on the page.
/// Threads: safe from any thread. Blocks. Cost: some milliseconds to start the child.
Result<WebPage> read_page(std::string_view html, const PageSource& source,
                          const PageOptions& options, Deadline deadline, const CancelToken& cancel);

/// Bytes for the pipe from the child and for the store.
std::string encode(const WebPage& page);
/// Errors: kCorruptData. Never reads outside of `bytes`.
Result<WebPage> decode_page(std::string_view bytes);

/// main() of the helper program: reads a file from standard input and writes what decode_page()
/// reads. Arguments: "html" ADDRESS CHARSET.
int helper_main(int count, char** arguments);

}  // namespace knap::extract
