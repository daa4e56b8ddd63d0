#include "caller.hpp"

#include <algorithm>
#include <array>

#include "body_reader.hpp"

namespace knap::api {
namespace {

constexpr std::size_t kTenantMax = 128;
constexpr std::array<std::string_view, 3> kPriorities{"interactive", "search", "background"};
static_assert(static_cast<std::size_t>(models::Priority::kBackground) == kPriorities.size() - 1);

}  // namespace

bool is_tenant(std::string_view text) {
  return !text.empty() && text.size() <= kTenantMax &&
         std::ranges::all_of(text, [](char c) { return c > ' ' && c < '\x7F'; });
}

Checked<void> read_caller(Call& call) {
  if (const auto wanted = call.request->fields.get("X-Knap-Priority")) {
    const auto found = std::ranges::find(kPriorities, *wanted);
    if (found == kPriorities.end()) {
      return refuse(wrong_field("X-Knap-Priority",
                                "X-Knap-Priority must be interactive, search or background" +
                                    nearest_hint(*wanted, kPriorities)));
    }
    call.priority = static_cast<models::Priority>(found - kPriorities.begin());
  }
  if (const auto tenant = call.request->fields.get("X-Knap-Tenant")) {
    if (!is_tenant(*tenant)) {
      return refuse(wrong_field("X-Knap-Tenant",
                                "X-Knap-Tenant must have 1 to 128 visible ASCII characters"));
    }
    call.tenant = std::string(*tenant);
  }
  return {};
}

}  // namespace knap::api
