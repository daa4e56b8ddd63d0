#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "catalogue.hpp"
#include "knap/models/models.hpp"

namespace knap::models {

/// Program and arguments that run one model, but for the socket. The files of the model are taken
/// to lie where ModelFiles says.
std::vector<std::string> runner_command(const ModelSpec& spec, const ModelsOptions& options,
                                        std::size_t threads, std::string_view precision);

}  // namespace knap::models
