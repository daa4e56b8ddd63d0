// Both sides of the pipe between extract() and the helper program that reads office files.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <new>

#include <fmt/format.h>

#include "knap/base/text.hpp"
#include "office.hpp"
#include "office_child.hpp"

namespace knap::extract {
namespace {

constexpr std::size_t kFileBytesMax = 128U << 20;
constexpr std::size_t kReasonBytesMax = 200;
constexpr int kWrongUse = 2;

struct Name {
  std::string_view name;
  Format format;
};
constexpr std::array kNames{
    Name{"docx", Format::kDocx}, Name{"pptx", Format::kPptx}, Name{"xlsx", Format::kXlsx},
    Name{"odf", Format::kOdf},   Name{"rtf", Format::kRtf},   Name{"csv", Format::kCsv},
    Name{"text", Format::kText}, Name{"epub", Format::kEpub}, Name{"html", Format::kHtml}};

Result<std::string> read_input() {
  struct stat info {};
  if (::fstat(STDIN_FILENO, &info) != 0)
    return make_error(ErrorCode::kIo, "the file cannot be read");
  if (static_cast<std::uint64_t>(info.st_size) > kFileBytesMax)
    return make_error(ErrorCode::kResourceExhausted,
                      fmt::format("larger than {} MiB", kFileBytesMax >> 20));
  std::string out(static_cast<std::size_t>(info.st_size), '\0');
  std::size_t length = 0;
  while (length < out.size()) {
    const ssize_t got = ::read(STDIN_FILENO, out.data() + length, out.size() - length);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return make_error(ErrorCode::kIo, "the file cannot be read");
    if (got == 0) break;
    length += static_cast<std::size_t>(got);
  }
  out.resize(length);
  return out;
}

Result<Document> read(Format format) {
  try {
    KNAP_TRY(const std::string bytes, read_input());
    return read_office(format, bytes);
  } catch (const std::bad_alloc&) {
    return make_error(ErrorCode::kResourceExhausted, "unpacked it is larger than the limit");
  }
}

/// An error as the child tells it; whatever it says, it is about its own file.
Error told(std::string_view output) {
  const auto code = static_cast<ErrorCode>(static_cast<unsigned char>(output[0]));
  const bool known = code == ErrorCode::kUnsupported || code == ErrorCode::kResourceExhausted ||
                     code == ErrorCode::kIo;
  return make_error(known ? code : ErrorCode::kCorruptData,
                    std::string(text::truncate(clean_line(output.substr(1)), kReasonBytesMax)));
}

}  // namespace

int office_child_main(std::string_view name) {
  for (const Name& candidate : kNames) {
    if (candidate.name != name) continue;
    const auto document = read(candidate.format);
    std::string out(1, '\0');
    if (document) {
      out += encode(*document);
    } else {
      out[0] = static_cast<char>(document.error().code);
      out += document.error().message;
    }
    // A first byte of zero says that a document follows: no error of ours has that code.
    static_assert(static_cast<int>(ErrorCode::kInvalidArgument) == 0);
    return std::fwrite(out.data(), 1, out.size(), stdout) == out.size() ? 0 : 1;
  }
  std::fputs("knap-office: no such format\n", stderr);
  return kWrongUse;
}

Status can_extract_office(const ExtractOptions& options) {
  if (::access(options.helper.c_str(), X_OK) == 0) return {};
  return make_error(ErrorCode::kFailedPrecondition,
                    options.helper.string() + " is not there: install Knap whole");
}

Result<Document> extract_office(Format format, int file, const ExtractOptions& options,
                                Deadline deadline, const CancelToken& cancel) {
  KNAP_CHECK_OK(can_extract_office(options));
  KNAP_CHECK_OK(still_wanted(cancel, deadline));
  if (::lseek(file, 0, SEEK_SET) != 0)
    return make_error(ErrorCode::kIo, "a document must be a regular file");
  HelperRun run;
  run.program = options.helper;
  for (const Name& name : kNames)
    if (name.format == format) run.arguments = {std::string(name.name)};
  run.input = file;
  run.limits = options.limits;
  run.limits.wall_time = std::min(run.limits.wall_time, deadline.remaining_ms());
  run.weak = options.weak;
  KNAP_TRY(const HelperResult result, run_helper(run, cancel));
  if (result.exit_code != 0 || result.output.empty()) {
    return make_error(ErrorCode::kCorruptData,
                      fmt::format("it could not be read (its reader ended with {} {})",
                                  result.signal != 0 ? "signal" : "code",
                                  result.signal != 0 ? result.signal : result.exit_code));
  }
  if (result.output[0] != '\0') return told(result.output);
  return decode(std::string_view(result.output).substr(1));
}

}  // namespace knap::extract
