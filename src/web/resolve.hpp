#pragma once

#include <string>
#include <vector>

#include "address_rules.hpp"
#include "knap/base/deadline.hpp"
#include "knap/base/result.hpp"

namespace knap::web {

inline constexpr std::size_t kAddressesMax = 32;

/// All addresses of a host name, asked for once.
///
/// @param name_server  "ADDRESS:PORT" or "[ADDRESS]:PORT" of the name server to ask over UDP;
///                     empty: as the system resolves names
/// Errors: kNotFound (no such name, no address), kUnavailable (no answer), kInvalidArgument
/// (name_server), kResourceExhausted (more than kAddressesMax).
/// Threads: safe. Blocks; the system's resolver by its own time-outs.
Result<std::vector<Address>> resolve(const std::string& host, const std::string& name_server,
                                     Deadline deadline);

}  // namespace knap::web
