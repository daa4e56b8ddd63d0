#pragma once

#include <string>
#include <vector>

#include "knap/models/models.hpp"
#include "requests.hpp"
#include "routes.hpp"

namespace knap::api {

/// The model "knap": the last user message is the question, earlier turns are its history. The
/// citations come as a list of sources in the text, as annotations, and whole in the extra field
/// `knap`.
Outcome chat_with_notes(const Context& context, Call& call, const ChatBody& body,
                        std::vector<std::string> vaults);

/// Any other model, as it is.
Outcome chat_with_model(const Context& context, Call& call, const ChatBody& body,
                        models::Generator& generator);

/// "\n\nSources:\n[1] [Title](uri), lines 3-5\n..." for the answer's citations; empty when there
/// are none.
std::string render_sources(const answer::Answer& answer);

}  // namespace knap::api
