#pragma once

#include <filesystem>
#include <vector>

#include "knap/ops/alerts.hpp"

namespace knap::ops {

struct AlertFile {
  std::uint64_t next_id = 1;
  std::vector<Alert> alerts;  ///< Newest first.
};

/// Errors: kNotFound; kCorruptData.
Result<AlertFile> read_alerts(const std::filesystem::path& file);
Status write_alerts(const std::filesystem::path& file, const AlertFile& alerts);

}  // namespace knap::ops
