// Takes the place of runner_main.cpp in builds without engines (KNAP_ENGINES=OFF: fuzzers, quick
// checks of other rooms).
#include <cstdio>

#include "knap/models/models.hpp"

namespace knap::models {

int runner_main(int, char**) {
  std::fputs("knap runner: this build has no engines\n", stderr);
  return 1;
}

}  // namespace knap::models
