#include "runner/weights_print.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "knap/base/file.hpp"

namespace knap::models::runner {
namespace {

constexpr std::size_t kSamples = 64;
constexpr std::size_t kSampleBytes = 16U << 10;

}  // namespace

Result<Hash128> weights_print(const std::filesystem::path& file) {
  const FileDescriptor open(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!open.valid()) return errno_error(errno, "open", file);
  struct stat info {};
  if (::fstat(open.get(), &info) != 0) return errno_error(errno, "look at", file);
  const auto size = static_cast<std::uint64_t>(std::max<off_t>(info.st_size, 0));
  std::string sampled = KNAP_LLAMA_VERSION;
  sampled.append(reinterpret_cast<const char*>(&size), sizeof size);
  std::string sample(kSampleBytes, '\0');
  for (std::size_t i = 0; i < kSamples; ++i) {
    const std::uint64_t last = size > kSampleBytes ? size - kSampleBytes : 0;
    const auto at = static_cast<off_t>(last * i / (kSamples - 1));
    const ssize_t got = ::pread(open.get(), sample.data(), sample.size(), at);
    if (got < 0) return errno_error(errno, "read", file);
    sampled.append(sample, 0, static_cast<std::size_t>(got));
  }
  return hash128(sampled);
}

}  // namespace knap::models::runner
