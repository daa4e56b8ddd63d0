#pragma once

#include <string_view>

#include "knap/extract/extract.hpp"

namespace knap::extract {

/// main() of the helper program: reads the file that is its standard input, writes what
/// extract_office() reads. Returns the exit code.
int office_child_main(std::string_view format);

/// can_extract() of an office file, the kernel aside.
Status can_extract_office(const ExtractOptions& options);

/// extract() of an office file: read_office() in a sandboxed child.
Result<Document> extract_office(Format format, int file, const ExtractOptions& options,
                                Deadline deadline, const CancelToken& cancel);

}  // namespace knap::extract
