#include "runner/mapped_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>

#include "knap/base/file.hpp"

namespace knap::models::runner {

MappedFile::~MappedFile() {
  // munmap takes a plain pointer; the mapping itself is read-only.
  if (!bytes_.empty())
    ::munmap(const_cast<char*>(bytes_.data()),  // NOLINT(cppcoreguidelines-pro-type-const-cast)
             bytes_.size());
}

Result<MappedFile> MappedFile::open(const std::filesystem::path& file) {
  const FileDescriptor descriptor(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!descriptor.valid()) return errno_error(errno, "cannot open", file);
  struct stat status {};
  if (::fstat(descriptor.get(), &status) != 0) return errno_error(errno, "cannot read", file);
  if (!S_ISREG(status.st_mode) || status.st_size == 0) {
    return make_error(ErrorCode::kCorruptData,
                      fmt::format("{} is empty or no file", file.filename().string()));
  }
  const auto bytes = static_cast<std::size_t>(status.st_size);
  void* mapped = ::mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, descriptor.get(), 0);
  if (mapped == MAP_FAILED) return errno_error(errno, "cannot map", file);
  MappedFile result;
  result.bytes_ = {static_cast<const char*>(mapped), bytes};
  return result;
}

}  // namespace knap::models::runner
