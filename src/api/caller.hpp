#pragma once

#include "route.hpp"

namespace knap::api {

/// What a request's headers say of who waits for it: X-Knap-Priority ("interactive", the default,
/// "search" or "background") and X-Knap-Tenant (1 to 128 visible ASCII characters). A local answer
/// model's scheduler goes by both. A caller can only ask for its own work to be put off: nobody is
/// more urgent than interactive.
/// Errors: 422, naming the header.
Checked<void> read_caller(Call& call);

/// Whether a text may name a tenant.
bool is_tenant(std::string_view text);

}  // namespace knap::api
