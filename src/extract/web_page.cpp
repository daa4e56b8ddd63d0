#include "knap/extract/web_page.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "html_charset.hpp"
#include "html_markdown.hpp"
#include "html_text.hpp"
#include "html_tree.hpp"
#include "knap/base/bytes.hpp"
#include "knap/base/text.hpp"
#include "page_facts.hpp"
#include "readable.hpp"

namespace knap::extract {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kFieldBytesMax = 4096;
// Exit codes of the helper program.
constexpr int kTooMuch = 3;
constexpr int kNoText = 4;

void write_text(ByteWriter& out, std::string_view text) {
  out.varint(text.size());
  out.raw(text);
}

std::string read_text(ByteReader& in, std::size_t bytes_max) {
  const std::uint64_t size = in.varint();
  if (size > bytes_max) in.fail();
  std::string text(in.ok() ? in.take(size) : std::string_view());
  if (!text::is_valid_utf8(text)) in.fail();
  return text;
}

/// A file in memory that can only be read.
Result<FileDescriptor> as_file(std::string_view bytes) {
  const FileDescriptor memory(::memfd_create("knap-page", MFD_CLOEXEC));
  if (!memory.valid()) return errno_error(errno, "cannot make a file in memory for", "a page");
  while (!bytes.empty()) {
    const ssize_t done = ::write(memory.get(), bytes.data(), bytes.size());
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return errno_error(errno, "cannot write", "a file in memory");
    bytes.remove_prefix(static_cast<std::size_t>(done));
  }
  const std::string path = fmt::format("/proc/self/fd/{}", memory.get());
  FileDescriptor readable(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!readable.valid()) return errno_error(errno, "cannot open", path);
  return readable;
}

/// Only the helper's own word: its output may quote the page.
Result<WebPage> judge(const HelperResult& result) {
  if (result.exit_code == 0) return decode_page(result.output);
  if (result.exit_code == kTooMuch)
    return make_error(ErrorCode::kResourceExhausted,
                      "the page is too large or too complex to be read");
  if (result.exit_code == kNoText)
    return make_error(ErrorCode::kUnsupported, "a page without text");
  return make_error(ErrorCode::kCorruptData,
                    fmt::format("the page could not be read (its reader ended with {} {})",
                                result.signal != 0 ? "signal" : "code",
                                result.signal != 0 ? result.signal : result.exit_code));
}

}  // namespace

Result<WebPage> read_page_here(std::string_view html, const PageSource& source) {
  if (html.size() > kPageBytesMax)
    return make_error(ErrorCode::kResourceExhausted, "the page has more than 16 MiB of HTML");
  const std::string utf8 = html::to_utf8(html, source.charset);
  KNAP_TRY(const html::Tree tree, html::Tree::parse(utf8));
  html::PageFacts facts = html::find_page_facts(tree, source.address);
  const html::Article article = html::find_article(tree, {facts.title, !facts.author.empty()});
  html::Written written = html::write_markdown(article.tree, article.content, facts.base);
  if (written.blocks.empty()) return make_error(ErrorCode::kUnsupported, "a page without text");
  WebPage page;
  page.canonical = std::move(facts.canonical);
  page.site = std::move(facts.site);
  page.description = std::move(facts.description);
  page.language = std::move(facts.language);
  page.markdown = std::move(written.markdown);
  page.document.title = std::move(facts.title);
  page.document.author = facts.author.empty() ? clean_line(article.byline) : facts.author;
  page.document.created = std::move(facts.published);
  page.document.blocks = std::move(written.blocks);
  return page;
}

std::string encode(const WebPage& page) {
  ByteWriter out;
  out.value(kVersion);
  for (const std::string* field : {&page.canonical, &page.site, &page.description, &page.language})
    write_text(out, text::truncate(*field, kFieldBytesMax));
  write_text(out, page.markdown);
  write_text(out, encode(page.document));
  return out.take();
}

Result<WebPage> decode_page(std::string_view bytes) {
  const auto damaged = [] {
    return make_error(ErrorCode::kCorruptData, "an extracted page is damaged");
  };
  ByteReader in(bytes);
  if (in.value<std::uint8_t>() != kVersion) return damaged();
  WebPage page;
  for (std::string* field : {&page.canonical, &page.site, &page.description, &page.language})
    *field = read_text(in, kFieldBytesMax);
  page.markdown = read_text(in, kDocumentBytesMax);
  const std::uint64_t size = in.varint();
  const std::string_view document = in.take(size);
  if (!in.ok() || !in.at_end()) return damaged();
  KNAP_TRY(page.document, decode(document));
  return page;
}

std::filesystem::path page_helper() {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? std::filesystem::path() : self.parent_path() / "knap-extract";
}

Result<WebPage> read_page(std::string_view html, const PageSource& source,
                          const PageOptions& options, Deadline deadline,
                          const CancelToken& cancel) {
  KNAP_CHECK_OK(still_wanted(cancel, deadline));
  if (html.size() > kPageBytesMax)
    return make_error(ErrorCode::kResourceExhausted, "the page has more than 16 MiB of HTML");
  if (::access(options.helper.c_str(), X_OK) != 0)
    return make_error(ErrorCode::kFailedPrecondition,
                      "the program knap-extract is not installed beside knap: build or install it");
  KNAP_TRY(const FileDescriptor file, as_file(html));
  HelperRun run;
  run.program = options.helper;
  run.arguments = {"html", source.address, source.charset};
  run.input = file.get();
  run.limits = options.limits;
  run.limits.wall_time = std::min(run.limits.wall_time, deadline.remaining_ms());
  run.weak = options.weak;
  KNAP_TRY(const HelperResult result, run_helper(run, cancel));
  return judge(result);
}

int helper_main(int count, char** arguments) {
  constexpr int kWrongUse = 2;
  if (count != 4 || std::string_view(arguments[1]) != "html") return kWrongUse;
  std::string bytes;
  std::array<char, 64 << 10> buffer;  // NOLINT(*-member-init): read fills it
  for (ssize_t got = 0; (got = ::read(STDIN_FILENO, buffer.data(), buffer.size())) > 0;) {
    bytes.append(buffer.data(), static_cast<std::size_t>(got));
    if (bytes.size() > kPageBytesMax) return kTooMuch;
  }
  const auto page = read_page_here(bytes, {arguments[2], arguments[3]});
  if (!page) return page.error().code == ErrorCode::kUnsupported ? kNoText : kTooMuch;
  const std::string out = encode(*page);
  for (std::size_t at = 0; at < out.size();) {
    const ssize_t done = ::write(STDOUT_FILENO, out.data() + at, out.size() - at);
    if (done < 0) return kWrongUse;
    at += static_cast<std::size_t>(done);
  }
  return 0;
}

}  // namespace knap::extract
