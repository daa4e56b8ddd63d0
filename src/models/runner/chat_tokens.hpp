#pragma once

#include <string>
#include <vector>

#include "knap/base/result.hpp"
#include "runner/generation.hpp"

struct llama_model;

namespace knap::models::runner {

/// The tokens of a chat in the model's own template, ending where the assistant begins to write.
/// Text in messages never becomes special tokens, whatever it says: a note with "<|im_end|>" in it
/// stays a note. Threads: safe. Errors: kUnsupported (a role that the template drops).
Result<std::vector<Token>> chat_tokens(const llama_model& model,
                                       const std::vector<Message>& messages);

}  // namespace knap::models::runner
