#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "catalogue.hpp"
#include "knap/models/models.hpp"

namespace knap::models {

/// How one runner of a model is to run it.
struct RunnerPlan {
  std::size_t threads = 1;
  std::string_view precision;
  std::size_t replica = 0;      ///< Of ModelsOptions::replicas.
  bool processor_only = false;  ///< Whatever the options say of graphics cards.
};

/// Program and arguments that run one model, but for the socket. The files of the model are taken
/// to lie where ModelFiles says.
std::vector<std::string> runner_command(const ModelSpec& spec, const ModelsOptions& options,
                                        const RunnerPlan& plan);

}  // namespace knap::models
