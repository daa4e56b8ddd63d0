#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "knap/models/models.hpp"
#include "words.hpp"

namespace knap::answer {

/// What kind of thing a question asks for, by its question words (English, German; a few of
/// Chinese).
enum class Expects { kAnything, kTime, kNumber, kPerson, kPlace };

/// A word of the question that a note should hold, and how much finding it means.
struct QuestionTerm {
  std::string stem;
  float weight =
      0;  ///< By rarity; small for words such as "year" or "name", which answers rarely repeat.
  bool name = false;
  bool number = false;
  bool known = true;      ///< Some note holds it.
  bool borrowed = false;  ///< From an earlier question of the conversation.
  bool generic = false;
};

/// A question as read in one language.
struct Question {
  std::vector<QuestionTerm> terms;  ///< No stem twice, in the order of the question.
  float weight = 0;                 ///< Sum over terms.
  Expects expects = Expects::kAnything;
};

/// A word that cannot occur: its rarity is the largest there is.
inline constexpr std::string_view kInNoNote = "\x01";

/// Rarity of an analysed word (index::Service::inverse_document_frequency).
using Rarity = std::function<float(std::string_view)>;

inline constexpr std::size_t kMaxQuestionTerms = 64;

/// @param borrowed  an earlier question whose content words help, or empty
Question read_question(std::string_view text, std::string_view borrowed, WordReader& reader,
                       const Rarity& rarity);

Expects what_is_asked(std::string_view question);

/// The last question of the user in `history` when the new one cannot stand alone (pronouns, hardly
/// a content word); else empty. At most the last 20 turns are looked at.
std::string borrow_from_history(std::string_view question,
                                const std::vector<models::ChatMessage>& history);

/// How well a sentence holds something of the kind asked for that the question does not name
/// itself, 0-1.
float holds_expected(Expects expects, const std::vector<Word>& words,
                     const std::vector<bool>& names, const Question& question);

}  // namespace knap::answer
