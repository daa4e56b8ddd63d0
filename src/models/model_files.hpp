#pragma once

#include <filesystem>
#include <string>

#include "catalogue.hpp"
#include "knap/base/deadline.hpp"
#include "knap/base/result.hpp"

namespace knap::models {

/// The files of one model in its folder, and whether they are what the catalogue says.
///
/// Hashing a gigabyte takes seconds: a stamp in the folder keeps each file's size and time of
/// change as they were when its checksum was last found right. Threads: const and safe; two
/// processes may verify at the same time.
class ModelFiles {
 public:
  ModelFiles(const ModelSpec& spec, std::filesystem::path models_dir);

  const std::filesystem::path& dir() const { return dir_; }

  /// Cheap. kNotFound: no such folder. kCorruptData: a file is missing or has another size; says
  /// which and what to do.
  Status check_sizes() const;
  /// check_sizes(), then checksums unless the stamp vouches for them. Writes the stamp.
  Status check(const CancelToken& cancel) const;
  /// Checksums whatever the stamp says. Writes the stamp, or removes it.
  Status verify(const CancelToken& cancel) const;

 private:
  std::string stamp_text()
      const;  ///< What the stamp should hold now; empty when a file is missing.
  std::string repair_advice() const;

  const ModelSpec& spec_;
  std::filesystem::path dir_;
};

/// SHA-256 of a file in hex, in steps that look at `cancel`. Errors: kIo, kCancelled.
Result<std::string> sha256_of(const std::filesystem::path& file, const CancelToken& cancel);

}  // namespace knap::models
