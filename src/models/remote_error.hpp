#pragma once

#include <string_view>

#include "knap/base/result.hpp"

namespace knap::models {

/// Turns an error answer of an OpenAI-shaped server (a runner or a remote one) into ours.
Error remote_error(int status, std::string_view body, std::string_view model);

/// Turns a failed call into ours: a connection that broke means that the model stopped.
Error connection_error(Error error, std::string_view model);

}  // namespace knap::models
