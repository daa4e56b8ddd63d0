#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "knap/base/result.hpp"
#include "runner/generation.hpp"

struct llama_model;

namespace knap::models::runner {

/// The tokens of a chat in the model's own template, ending where the assistant begins to write.
/// Text in messages never becomes special tokens, whatever it says: a note with "<|im_end|>" in it
/// stays a note. The tokens of what was read ahead stand as they were read. Threads: safe. Errors:
/// kUnsupported (a role that the template drops).
Result<Prompt> chat_tokens(const llama_model& model, const std::vector<ResolvedMessage>& messages);

/// The tokens of a text by itself, none of them special. Threads: safe.
std::vector<Token> plain_tokens(const llama_model& model, std::string_view text);

}  // namespace knap::models::runner
