#include "knap/base/assert.hpp"

#include <cstdio>
#include <cstdlib>

namespace knap::detail {

void assertion_failed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "knap: invariant broken: %s at %s:%d. This is a bug; please report it.\n",
               expression, file, line);
  std::abort();
}

}  // namespace knap::detail
