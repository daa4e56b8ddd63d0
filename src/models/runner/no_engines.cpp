// Takes the place of runner_main.cpp in builds without engines (KNAP_ENGINES=OFF: fuzzers, quick
// checks of other rooms).
#include <cstdio>

#include "knap/models/gpu.hpp"
#include "knap/models/measure.hpp"
#include "knap/models/models.hpp"

namespace knap::models {

int runner_main(int, char**) {
  std::fputs("knap runner: this build has no engines\n", stderr);
  return 1;
}

std::vector<GpuDevice> list_gpus() { return {}; }

const std::vector<std::string>& quantisation_levels() {
  static const std::vector<std::string> kNone;
  return kNone;
}

Result<QuantizeReport> quantize_model(const QuantizeOptions&, const Models::Progress&,
                                      const CancelToken&) {
  return make_error(ErrorCode::kUnsupported, "this build has no engines");
}

}  // namespace knap::models
