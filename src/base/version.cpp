#include "knap/base/version.hpp"

namespace knap {
std::string_view version() { return KNAP_VERSION; }
}  // namespace knap
