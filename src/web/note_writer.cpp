#include "note_writer.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>

#include "knap/base/file.hpp"
#include "knap/base/text.hpp"
#include "knap/extract/document.hpp"

namespace knap::web {
namespace {

constexpr std::size_t kNameBytesMax = 120;
constexpr unsigned kSameNameMax = 100;
constexpr mode_t kMode = 0644;

Status write_all(int file, std::string_view text, const std::filesystem::path& folder) {
  while (!text.empty()) {
    const ssize_t done = ::write(file, text.data(), text.size());
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return errno_error(errno, "cannot write a note into", folder);
    text.remove_prefix(static_cast<std::size_t>(done));
  }
  if (::fsync(file) != 0) return errno_error(errno, "cannot write a note into", folder);
  return {};
}

/// Where files without a name are not known: a name from the start, taken back on failure.
Status write_named(int directory, const std::string& name, std::string_view text,
                   const std::filesystem::path& folder, bool& taken) {
  const FileDescriptor file(::openat(directory, name.c_str(),
                                     O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, kMode));
  taken = !file.valid() && errno == EEXIST;
  if (taken) return {};
  if (!file.valid()) return errno_error(errno, "cannot write a note into", folder);
  Status written = write_all(file.get(), text, folder);
  if (!written) ::unlinkat(directory, name.c_str(), 0);
  return written;
}

}  // namespace

std::string note_name(std::string_view title) {
  // What file systems, Obsidian's links or shells would take for something else.
  constexpr std::string_view kForbidden = "/\\:*?\"<>|#^[]%";
  std::string out;
  for (const char c : extract::clean_line(title))
    out += kForbidden.find(c) == std::string_view::npos ? c : ' ';
  out = extract::clean_line(out);
  out = text::truncate(out, kNameBytesMax);
  while (!out.empty() && (out.back() == '.' || out.back() == ' ')) out.pop_back();
  const std::size_t begin = out.find_first_not_of(". ");
  out.erase(0, begin == std::string::npos ? out.size() : begin);
  return out.empty() ? "Web page" : out;
}

Result<std::string> write_new_note(const std::filesystem::path& folder, const std::string& name,
                                   std::string_view text) {
  const FileDescriptor directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid())
    return make_error(ErrorCode::kFailedPrecondition,
                      "the folder that web.note_folder names cannot be opened: make it, or name "
                      "another");
  const FileDescriptor file(
      ::openat(directory.get(), ".", O_WRONLY | O_TMPFILE | O_CLOEXEC, kMode));
  if (file.valid()) KNAP_CHECK_OK(write_all(file.get(), text, folder));
  const std::string nameless = fmt::format("/proc/self/fd/{}", file.get());
  for (unsigned number = 1; number <= kSameNameMax; ++number) {
    const std::string candidate =
        number == 1 ? name + ".md" : fmt::format("{} {}.md", name, number);
    bool taken = false;
    if (!file.valid()) {
      KNAP_CHECK_OK(write_named(directory.get(), candidate, text, folder, taken));
    } else if (::linkat(AT_FDCWD, nameless.c_str(), directory.get(), candidate.c_str(),
                        AT_SYMLINK_FOLLOW) != 0) {
      taken = errno == EEXIST;
      if (!taken) return errno_error(errno, "cannot write a note into", folder);
    }
    if (taken) continue;
    ::fsync(directory.get());
    return candidate;
  }
  return make_error(ErrorCode::kAlreadyExists,
                    fmt::format("{} notes of this name exist already", kSameNameMax));
}

}  // namespace knap::web
