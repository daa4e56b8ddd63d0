#pragma once

#include <filesystem>
#include <vector>

#include "knap/base/result.hpp"
#include "knap/index/judged.hpp"

namespace knap::app {

using index::JudgedQuestion;

/// Reads a set of judged questions:
///
///     questions:
///       - query: when is the lease due
///         notes: [Home/Lease.md, {path: Home/Landlord.md, grade: 2}]
///         filter: "tag:#home"     # or none
///         vault: work             # or none
///
/// A note without a grade has 1. Errors: kNotFound, kInvalidArgument (file, line and what to do).
Result<std::vector<JudgedQuestion>> read_judged(const std::filesystem::path& file);

}  // namespace knap::app
