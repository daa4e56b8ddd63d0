#include <algorithm>
#include <array>
#include <span>

#include "knap/base/text.hpp"
#include "knap/base/words.hpp"
#include "knap/web/import.hpp"

namespace knap::web {
namespace {

using Words = std::vector<std::string>;
using List = std::span<const std::string_view>;

constexpr std::size_t kShownBytes = 200;
constexpr std::size_t kReach = 7;  // words between a verb and what it speaks of

// Folded: lower case, without accents.
constexpr std::array<std::string_view, 30> kSetAside{
    "ignore",    "disregard",  "forget",    "override",   "bypass",       "discard",
    "overrule",  "ignoriere",  "ignoriert", "ignorieren", "vergiss",      "vergesst",
    "missachte", "missachten", "ubergehe",  "verwirf",    "ignorez",      "oublie",
    "oubliez",   "outrepasse", "contourne", "ignora",     "ignorad",      "olvida",
    "olvide",    "descarta",   "omite",     "ignoring",   "disregarding", "forgetting"};
constexpr std::array<std::string_view, 28> kOrders{
    "instruction", "instructions",  "prompt",   "prompts",      "directive",   "directives",
    "guidelines",  "guardrails",    "rules",    "anweisung",    "anweisungen", "regeln",
    "vorgaben",    "systemprompt",  "consigne", "consignes",    "regles",      "directivas",
    "instruccion", "instrucciones", "reglas",   "indicaciones", "safeguards",  "programming",
    "context",     "kontext",       "contexte", "contexto"};
constexpr std::array<std::string_view, 34> kEarlier{
    "previous", "prior",  "above",     "all",        "any",         "earlier",    "preceding",
    "your",     "system", "foregoing", "vorherigen", "bisherigen",  "obigen",     "alle",
    "deine",    "ihre",   "fruheren",  "vorigen",    "precedentes", "precedente", "toutes",
    "tous",     "tes",    "vos",       "anteriores", "anterior",    "previas",    "todas",
    "todos",    "tus",    "sus",       "everything", "existing",    "original"};
constexpr std::array<std::string_view, 20> kTell{
    "reveal",   "print",      "output",  "repeat",  "show",    "send",  "leak",
    "disclose", "exfiltrate", "post",    "verrate", "zeige",   "sende", "schicke",
    "revele",   "envoie",     "affiche", "revela",  "muestra", "envia"};
constexpr std::array<std::string_view, 5> kYours{"your", "the", "deinen", "ton", "tu"};
constexpr std::array<std::string_view, 7> kAddressees{"ai",  "assistant", "llm",  "chatbot",
                                                      "gpt", "chatgpt",   "agent"};
// Marks by which chat models tell who speaks, and the ends of fences.
constexpr std::array<std::string_view, 12> kMarkers{
    "<|im_start|>",    "<|im_end|>",       "<|system|>", "<|assistant|>", "<|user|>",
    "[inst]",          "[/inst]",          "<<sys>>",    "<|endoftext|>", "<|start_header_id|>",
    "<start_of_turn>", "<|begin_of_text|>"};
constexpr std::array<std::string_view, 16> kSecrets{
    "system prompt",      "initial prompt", "hidden prompt",  "api key",
    "api keys",           "systemprompt",   "system-prompt",  "initial instructions",
    "secret key",         "access token",   "private notes",  "prompt systeme",
    "prompt del sistema", "passwords",      "system message", "conversation history"};
constexpr std::array<std::string_view, 12> kRoles{
    "you are now",     "you must now act", "act as if you",    "pretend to be",
    "pretend you are", "du bist jetzt",    "du bist ab jetzt", "tu es maintenant",
    "ahora eres",      "from now on you",  "developer mode",   "new instructions"};

bool is_in(List list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

/// "ignore all previous instructions": a verb, and soon after it something earlier and orders.
bool sets_orders_aside(const Words& words) {
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (!is_in(kSetAside, words[i])) continue;
    bool earlier = false;
    bool orders = false;
    const std::size_t end = std::min(words.size(), i + 1 + kReach);
    for (std::size_t k = i + 1; k < end; ++k) {
      earlier = earlier || is_in(kEarlier, words[k]);
      orders = orders || is_in(kOrders, words[k]);
      if (earlier && orders) return true;
    }
  }
  return false;
}

bool has_phrase(const std::string& joined, List phrases) {
  return std::any_of(phrases.begin(), phrases.end(), [&](std::string_view phrase) {
    return joined.find(" " + std::string(phrase) + " ") != std::string::npos;
  });
}

/// "reveal your system prompt": a verb, soon after it a secret.
bool asks_for_secrets(const Words& words) {
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (!is_in(kTell, words[i])) continue;
    std::string near = " ";
    bool yours = false;
    for (std::size_t k = i + 1; k < std::min(words.size(), i + 1 + kReach); ++k) {
      near += words[k] + " ";
      yours = yours || is_in(kYours, words[k]);
    }
    if (yours && has_phrase(near, kSecrets)) return true;
  }
  return false;
}

/// "AI assistant, you are now a pirate": a machine is named, and close to it a part is given.
bool gives_a_part(const Words& words) {
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (!is_in(kAddressees, words[i])) continue;
    std::string near = " ";
    const std::size_t end = std::min(words.size(), i + 1 + kReach);
    for (std::size_t k = i - std::min(i, kReach); k < end; ++k)
      if (k != i) near += words[k] + " ";
    if (has_phrase(near, kRoles)) return true;
  }
  return false;
}

/// Empty: nothing was found.
std::string kind_of(const std::string& text) {
  std::string lower = text::fold_case(text);
  for (const std::string_view marker : kMarkers)
    if (lower.find(marker) != std::string::npos) return "marker";
  const Words words = text::folded_words(text);
  if (sets_orders_aside(words)) return "override";
  if (asks_for_secrets(words)) return "secrets";
  if (gives_a_part(words)) return "role";
  return {};
}

}  // namespace

std::vector<Flag> find_instructions(const extract::Document& document) {
  std::vector<Flag> out;
  for (const extract::Block& block : document.blocks) {
    if (out.size() >= kFlagsMax) break;
    std::string kind = kind_of(block.text);
    if (kind.empty()) continue;
    out.push_back({std::move(kind), extract::clean_line(text::truncate(block.text, kShownBytes))});
  }
  return out;
}

}  // namespace knap::web
