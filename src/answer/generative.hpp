#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "knap/answer/answer.hpp"
#include "quotes.hpp"

namespace knap::answer {

/// What a model made of the quotes, after each statement was checked.
struct Wording {
  std::string text;           ///< Accepted statements with their marks; empty: none.
  std::vector<Claim> claims;  ///< One for each accepted statement; none is unsupported.
  bool unknown = false;       ///< The model said that the notes do not tell.
  std::size_t rejected = 0;   ///< Statements that the quotes did not support.
  std::string failure;  ///< Why the model gave nothing or was cut short; empty: it ended by itself.
  models::GenerateResult generated;
};

struct WordingOptions {
  enum class Accept {
    kSupportedOnly,   ///< Stop at the first statement that is less than supported.
    kSupportedOrWeak  ///< Leave out unsupported statements and go on.
  } accept = Accept::kSupportedOnly;
  std::uint32_t max_tokens = 160;
  std::uint32_t threads = 0;  ///< Leased for the model; 0: as the model is configured.
  models::Hold hold;          ///< Keeps the model loaded; null: it loads by itself.
  std::uint32_t context_tokens = 700;
  models::Priority priority = models::Priority::kInteractive;
  std::string tenant;
  models::Reach reach = models::Reach::kAnywhere;
  std::string request_id;
  std::string language;          ///< Of the question.
  std::string earlier_question;  ///< From the conversation, or empty.
};

/// An answer has few statements; a model that goes on is rambling.
inline constexpr std::size_t kMaxStatements = 6;

/// Lets the model word an answer. Each statement is checked as soon as it is whole, and only then
/// told to on_text (with its mark and a space before all but the first), so nothing is shown that
/// is taken back later.
Wording word_answer(std::string_view question, const std::vector<Quote>& quotes,
                    models::Generator& model, const WordingOptions& options, Deadline deadline,
                    const CancelToken& cancel,
                    const std::function<bool(std::string_view)>& on_text);

}  // namespace knap::answer
