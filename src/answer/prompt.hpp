#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "knap/index/service.hpp"
#include "knap/models/models.hpp"
#include "quotes.hpp"

namespace knap::answer {

/// The instructions: the same bytes in every request, so that a runner reads them once and keeps
/// them.
std::string_view system_prompt();

/// Text of a note (or a question) as it may stand inside a prompt: one line, without anything that
/// a chat template or our own fence could take for structure; [n] becomes (n), so that only our
/// numbers are marks.
std::string neutralise(std::string_view text, std::size_t max_bytes);

/// A passage as it stands in prompts when a model has read it ahead, whatever the question; empty:
/// it is too long for that.
std::string known_passage(const index::PassageView& passage);
/// The number before it.
std::string known_lead(std::uint32_t number);

/// System prompt, then the numbered quotes with their neighbours between two lines that hold
/// `nonce`, then the question.
/// Quotes whose passages may be known to the model stand as parts: the whole passage where it has
/// been read ahead, else the quote.
/// @param nonce           unpredictable for who writes notes: text in a note cannot close the fence
/// @param context_tokens  about how long the quotes may be together
std::vector<models::ChatMessage> build_prompt(std::string_view question,
                                              std::string_view earlier_question,
                                              const std::vector<Quote>& quotes,
                                              std::string_view nonce, std::uint32_t context_tokens);

/// 56 bits from the system's random source, as few tokens: twelve letters.
std::string make_nonce();

}  // namespace knap::answer
