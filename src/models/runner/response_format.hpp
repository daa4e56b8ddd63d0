#pragma once

#include <boost/json/object.hpp>

#include "knap/base/result.hpp"
#include "runner/generation.hpp"

namespace knap::models::runner {

/// Reads OpenAI's `response_format` into the request's grammar: "text", "json_object" (any object)
/// or "json_schema", whose schema is kept exactly, whether it is called `strict` or not.
/// Errors: kInvalidArgument, saying where in the schema and what cannot be kept.
Status read_response_format(const boost::json::object& body, GenerationRequest& work);

}  // namespace knap::models::runner
