#include "runner/chat_tokens.hpp"

#include <fmt/format.h>
#include <llama.h>

#include <algorithm>
#include <string_view>

#include "runner/passage_state.hpp"

namespace knap::models::runner {
namespace {

constexpr std::size_t kTemplateSlack = 4'096;

Result<std::string> apply_template(const llama_model& model,
                                   const std::vector<llama_chat_message>& chat) {
  std::string text(kTemplateSlack, '\0');
  const auto apply = [&](const char* name) {
    return llama_chat_apply_template(name, chat.data(), chat.size(), true, text.data(),
                                     static_cast<std::int32_t>(text.size()));
  };
  const char* own = llama_model_chat_template(&model, nullptr);
  const char* used = own != nullptr && apply(own) >= 0 ? own : "chatml";
  for (int attempt = 0; attempt < 2; ++attempt) {
    const std::int32_t length = apply(used);
    if (length < 0) break;
    const bool fits = static_cast<std::size_t>(length) <= text.size();
    text.resize(static_cast<std::size_t>(length));
    if (fits) return text;
  }
  return make_error(ErrorCode::kUnsupported, "the model's chat template cannot be applied");
}

enum class Specials { kRead, kSpelledOut };

void append_tokens(const llama_vocab* vocabulary, std::string_view text, bool begin,
                   Specials specials, std::vector<Token>& tokens) {
  // Templates that write the begin token themselves must not get a second one.
  const Token bos = llama_vocab_bos(vocabulary);
  if (begin && bos >= 0 && text.starts_with(llama_vocab_get_text(vocabulary, bos))) begin = false;
  if (text.empty() && !begin) return;
  const std::size_t before = tokens.size();
  tokens.resize(before + text.size() + 2);
  const std::int32_t count = llama_tokenize(
      vocabulary, text.data(), static_cast<std::int32_t>(text.size()), tokens.data() + before,
      static_cast<std::int32_t>(tokens.size() - before), begin, specials == Specials::kRead);
  tokens.resize(before + static_cast<std::size_t>(std::max(count, 0)));
}

}  // namespace

// The template is applied to marks instead of the messages' texts and cut at the marks: its own
// parts may hold special tokens, the texts may not.
Result<Prompt> chat_tokens(const llama_model& model, const std::vector<ResolvedMessage>& messages) {
  std::vector<std::string> marks;
  std::vector<llama_chat_message> chat;
  for (std::size_t i = 0; i < messages.size(); ++i)
    marks.push_back(fmt::format("@@knap-content-{}@@", i));
  for (std::size_t i = 0; i < messages.size(); ++i)
    chat.push_back({messages[i].role.c_str(), marks[i].c_str()});
  KNAP_TRY(const std::string rendered, apply_template(model, chat));

  const llama_vocab* vocabulary = llama_model_get_vocab(&model);
  Prompt prompt;
  std::vector<Token>& tokens = prompt.tokens;
  std::string_view rest = rendered;
  bool first = true;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const std::size_t at = rest.find(marks[i]);
    if (at == std::string_view::npos) {
      return make_error(
          ErrorCode::kUnsupported,
          fmt::format("the model's template drops a message of role '{}'", messages[i].role));
    }
    append_tokens(vocabulary, rest.substr(0, at), first, Specials::kRead, tokens);
    for (const ResolvedMessage::Piece& piece : messages[i].pieces) {
      if (piece.state == nullptr) {
        append_tokens(vocabulary, piece.text, false, Specials::kSpelledOut, tokens);
        continue;
      }
      prompt.known.push_back({.begin = tokens.size(), .state = piece.state});
      tokens.insert(tokens.end(), piece.state->tokens.begin(), piece.state->tokens.end());
    }
    rest.remove_prefix(at + marks[i].size());
    first = false;
  }
  append_tokens(vocabulary, rest, first, Specials::kRead, tokens);
  return prompt;
}

std::vector<Token> plain_tokens(const llama_model& model, std::string_view text) {
  std::vector<Token> tokens;
  append_tokens(llama_model_get_vocab(&model), text, false, Specials::kSpelledOut, tokens);
  return tokens;
}

}  // namespace knap::models::runner
