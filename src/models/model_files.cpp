#include "model_files.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <vector>

#include "knap/base/file.hpp"

namespace knap::models {
namespace {

constexpr const char* kStampName = ".verified";
constexpr std::uint64_t kStampBytesMax = 64U << 10;
constexpr std::size_t kHashStepBytes = 4U << 20;  // about 3 ms

}  // namespace

Result<std::string> sha256_of(const std::filesystem::path& file, const CancelToken& cancel) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> input(std::fopen(file.c_str(), "rbe"),
                                                              std::fclose);
  if (!input) return errno_error(errno, "cannot read", file);
  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(EVP_MD_CTX_new(),
                                                                   EVP_MD_CTX_free);
  EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr);
  std::vector<char> step(kHashStepBytes);
  for (;;) {
    if (cancel.cancelled()) return make_error(ErrorCode::kCancelled, "stopped");
    const std::size_t got = std::fread(step.data(), 1, step.size(), input.get());
    EVP_DigestUpdate(context.get(), step.data(), got);
    if (got < step.size()) break;
  }
  if (std::ferror(input.get()) != 0) return errno_error(EIO, "cannot read", file);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  EVP_DigestFinal_ex(context.get(), digest, &length);
  std::string hex;
  for (unsigned int i = 0; i < length; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

ModelFiles::ModelFiles(const ModelSpec& spec, std::filesystem::path models_dir)
    : spec_(spec), dir_(std::move(models_dir) / spec.name) {}

std::string ModelFiles::repair_advice() const {
  return fmt::format("run `knap models verify {0}`, or fetch it again: `knap models pull {0}`",
                     spec_.name);
}

Status ModelFiles::check_sizes() const {
  std::error_code error;
  if (!std::filesystem::is_directory(dir_, error)) {
    return make_error(ErrorCode::kNotFound,
                      fmt::format("not installed: run `knap models pull {}`", spec_.name));
  }
  for (const ModelFile& file : spec_.files) {
    const std::uint64_t bytes = std::filesystem::file_size(dir_ / file.name, error);
    if (error) {
      return make_error(ErrorCode::kCorruptData,
                        fmt::format("{} is missing; {}", file.name, repair_advice()));
    }
    if (file.bytes > 0 && bytes != file.bytes) {
      return make_error(ErrorCode::kCorruptData,
                        fmt::format("{} has {} bytes instead of {}; {}", file.name, bytes,
                                    file.bytes, repair_advice()));
    }
  }
  return {};
}

std::string ModelFiles::stamp_text() const {
  std::string text = "knap verified 1\n";
  for (const ModelFile& file : spec_.files) {
    struct stat status {};
    if (::stat((dir_ / file.name).c_str(), &status) != 0) return {};
    text += fmt::format("{} {} {} {}.{:09}\n", file.name, file.sha256, status.st_size,
                        status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
  }
  return text;
}

Status ModelFiles::check(const CancelToken& cancel) const {
  KNAP_CHECK_OK(check_sizes());
  const auto stamp = read_file(dir_ / kStampName, kStampBytesMax);
  if (stamp && *stamp == stamp_text()) return {};
  return verify(cancel);
}

Status ModelFiles::verify(const CancelToken& cancel) const {
  std::error_code ignored;
  std::filesystem::remove(dir_ / kStampName, ignored);
  KNAP_CHECK_OK(check_sizes());
  const std::string before = stamp_text();
  for (const ModelFile& file : spec_.files) {
    if (file.sha256.empty()) {
      return make_error(ErrorCode::kFailedPrecondition,
                        fmt::format("the catalogue has no checksum of {}: `knap models import FILE "
                                    "NAME` takes a file that you trust",
                                    file.name));
    }
    KNAP_TRY(const std::string found, sha256_of(dir_ / file.name, cancel));
    if (found != file.sha256) {
      return make_error(
          ErrorCode::kCorruptData,
          fmt::format(
              "{} has checksum {}... instead of {}...: it is damaged; fetch it again: `knap models "
              "pull {}`",
              file.name, found.substr(0, 12), file.sha256.substr(0, 12), spec_.name));
    }
  }
  // A read-only models folder is no fault: the files are then hashed again at the next start.
  if (before == stamp_text())
    static_cast<void>(write_file_atomic(dir_ / kStampName, before).has_value());
  return {};
}

}  // namespace knap::models
