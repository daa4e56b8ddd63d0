#include "knap/models/recommend.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "catalogue.hpp"
#include "model_files.hpp"

namespace knap::models {
namespace {

// What an answer from notes takes: the prompt with its quotes, and what is usually written.
constexpr double kPromptTokens = 700;
constexpr double kAnswerTokens = 80;
// Longer, and people go away: above it accuracy is worth nothing.
constexpr double kPatienceSeconds = 30;
// Operations a second of one core on weights in 4 bits. Measured: 240 and 590 milliards on AVX-512
// VNNI with models of .135 and 1.5 milliards; llama.cpp alone 134 and 101 with 1.5 and .5, which
// stands for ARM's like; the others are guesses in proportion to the width.
constexpr double kVnniOperations = 240e9;
constexpr double kArmOperations = 110e9;
constexpr double kAvx2Operations = 50e9;
constexpr double kPlainOperations = 15e9;
constexpr double kGiB = 1U << 30;

bool has(const Hardware& hardware, std::string_view set) {
  return std::ranges::find(hardware.instruction_sets, set) != hardware.instruction_sets.end();
}

double operations_of(const Hardware& hardware) {
  if (has(hardware, "avx512_vnni")) return kVnniOperations;
  if (has(hardware, "i8mm")) return kArmOperations;
  if (has(hardware, "avx2") || has(hardware, "avx_vnni") || has(hardware, "asimddp"))
    return kAvx2Operations;
  return kPlainOperations;
}

bool speaks(const ModelSpec& spec, const std::string& language) {
  return language.empty() || std::ranges::find(spec.languages, language) != spec.languages.end() ||
         std::ranges::find(spec.languages, "*") != spec.languages.end();
}

ModelProspect look_at(const ModelSpec& spec, const ModelsOptions& options, const Hardware& hardware,
                      const ModelWish& wish, std::uint64_t budget) {
  ModelProspect out;
  out.name = spec.name;
  out.run_by_us = spec.run_by_us;
  out.installed = ModelFiles(spec, options.models_dir).check_sizes().has_value();
  out.parameters = spec.parameters;
  const MemoryNeed need = spec.memory_need(spec.context);
  out.memory_bytes = need.total();
  if (spec.parameters > 0) {
    out.read_tokens_per_second = operations_of(hardware) * static_cast<double>(hardware.cores) /
                                 (2 * static_cast<double>(spec.parameters));
  }
  if (spec.bytes() > 0)
    out.write_tokens_per_second = hardware.bytes_per_second / static_cast<double>(spec.bytes());
  if (!spec.runnable()) {
    out.against = "no engine of Knap's runs it yet";
  } else if (out.memory_bytes == 0 || spec.parameters == 0) {
    out.against = "its size or shape is not known";
  } else if (out.memory_bytes > budget) {
    out.against = fmt::format("needs more than the {:.1f} GiB for models",
                              static_cast<double>(budget) / kGiB);
  } else if (!speaks(spec, wish.language)) {
    out.against = fmt::format("was not trained for '{}'", wish.language);
  } else if (!out.installed && !spec.fetchable()) {
    out.against = "not installed, and no source with a checksum is known";
  }
  if (out.memory_bytes == 0) return out;
  if (spec.role == Role::kAnswer && out.read_tokens_per_second > 0) {
    out.answer_seconds =
        kPromptTokens / out.read_tokens_per_second + kAnswerTokens / out.write_tokens_per_second;
    out.arithmetic =
        fmt::format("{}; {:.0f} tokens / {:.0f} a second + {:.0f} / {:.0f} = {:.1f} s an answer",
                    need.arithmetic(), kPromptTokens, out.read_tokens_per_second, kAnswerTokens,
                    out.write_tokens_per_second, out.answer_seconds);
    if (out.against.empty() && out.answer_seconds > kPatienceSeconds)
      out.against = fmt::format("an answer takes longer than {:.0f} s", kPatienceSeconds);
  } else {
    out.arithmetic = fmt::format("{}; about {:.0f} tokens a second", need.arithmetic(),
                                 out.read_tokens_per_second);
  }
  return out;
}

// True when a is to be proposed before b.
bool better(const ModelProspect& a, const ModelProspect& b, const ModelWish& wish) {
  if (a.against.empty() != b.against.empty()) return a.against.empty();
  switch (wish.preference) {
    case Preference::kMemory:
      if (a.memory_bytes != b.memory_bytes) return a.memory_bytes < b.memory_bytes;
      break;
    case Preference::kSpeed:
      if (a.answer_seconds != b.answer_seconds) return a.answer_seconds < b.answer_seconds;
      if (a.parameters != b.parameters) return a.parameters < b.parameters;
      break;
    case Preference::kAccuracy: break;
  }
  if (a.parameters != b.parameters) return a.parameters > b.parameters;
  if (a.run_by_us != b.run_by_us) return a.run_by_us;
  if (a.memory_bytes != b.memory_bytes) return a.memory_bytes < b.memory_bytes;
  return a.name < b.name;
}

std::string_view reason_of(Preference preference) {
  switch (preference) {
    case Preference::kSpeed: return "the quickest";
    case Preference::kMemory: return "the smallest in memory";
    case Preference::kAccuracy: break;
  }
  return "the largest, which answers best as a rule,";
}

}  // namespace

Result<Recommendation> recommend_model(const ModelsOptions& options, const Hardware& hardware,
                                       const ModelWish& wish) {
  if (wish.role != "answer" && wish.role != "embed") {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("the role is '{}': one of answer, embed", wish.role));
  }
  KNAP_TRY(const Catalogue catalogue, Catalogue::open(options.user_catalogue, options.models_dir));
  const std::uint64_t budget =
      wish.memory_bytes > 0 ? wish.memory_bytes : hardware.memory_bytes / 4 * 3;
  Recommendation out;
  for (const auto& each : catalogue.models()) {
    if (to_string(each.second.role) != wish.role) continue;
    out.prospects.push_back(look_at(each.second, options, hardware, wish, budget));
  }
  std::ranges::sort(out.prospects,
                    [&](const auto& a, const auto& b) { return better(a, b, wish); });
  if (out.prospects.empty() || !out.prospects.front().against.empty()) {
    out.why = "no model of the catalogue fits: give it more memory, or take away a condition";
    return out;
  }
  const ModelProspect& best = out.prospects.front();
  out.name = best.name;
  out.why = fmt::format("{} of those that fit{}: {}", reason_of(wish.preference),
                        wish.language.empty() ? "" : fmt::format(" and know '{}'", wish.language),
                        best.arithmetic);
  return out;
}

}  // namespace knap::models
