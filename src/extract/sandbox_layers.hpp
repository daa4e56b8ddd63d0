#pragma once

#include <linux/filter.h>

#include <filesystem>
#include <vector>

#include "knap/base/file.hpp"
#include "knap/base/result.hpp"

namespace knap::extract {

/// The namespaces a helper gets: flags of unshare(2).
extern const int kNamespaces;

/// A Landlock ruleset that allows to run `program` and the system's libraries and to read
/// `readable`, and nothing else. Errors: kUnsupported (kernel without Landlock); kNotFound; kIo.
Result<FileDescriptor> make_file_rules(const std::filesystem::path& program,
                                       const std::vector<std::filesystem::path>& readable);

/// The program that lets pass what a computing, reading, writing process needs; all else fails
/// with EPERM. Errors: kInternal.
Result<std::vector<sock_filter>> make_call_filter();

}  // namespace knap::extract
