#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "knap/base/result.hpp"
#include "knap/models/models.hpp"

namespace knap::models {

/// What a machine has for computing.
struct Hardware {
  struct Gpu {
    std::string name;
    std::uint64_t memory_bytes = 0;  ///< 0: not known.
  };
  std::string processor;  ///< Its makers' name; empty: not known.
  std::size_t cores = 1;
  std::vector<std::string> instruction_sets;  ///< Of those that matter, as the kernel names them.
  std::uint64_t memory_bytes = 0;             ///< Of the machine or its container.
  double bytes_per_second = 0;                ///< Read from memory by all cores together, measured.
  std::vector<Gpu> gpus;  ///< By the drivers' own files; list_gpus() tells which can be used.
};
/// Looks and measures; takes about a third of a second of all `threads`.
Hardware probe_hardware(std::size_t threads);

enum class Preference { kAccuracy, kSpeed, kMemory };

struct ModelWish {
  std::string role = "answer";  ///< "answer" or "embed"
  Preference preference = Preference::kAccuracy;
  std::string language;            ///< ISO 639-1; empty: any.
  std::uint64_t memory_bytes = 0;  ///< What models may take; 0: three quarters of the machine's.
};

/// One model of the catalogue beside the wish, with the arithmetic.
struct ModelProspect {
  std::string name;
  bool installed = false, run_by_us = false;
  std::uint64_t memory_bytes = 0;
  double read_tokens_per_second = 0, write_tokens_per_second = 0;
  double answer_seconds = 0;  ///< kPromptTokens read and kAnswerTokens written.
  std::uint64_t parameters = 0;
  std::string against;     ///< Why it is not proposed; empty: it could be.
  std::string arithmetic;  ///< One line for people.
};
struct Recommendation {
  std::string name;  ///< Empty: none fits.
  std::string why;
  std::vector<ModelProspect>
      prospects;  ///< The proposed first, then those that could be, then others.
};

/// Proposes a model of the catalogue that Knap can run. Speeds are estimates from the hardware;
/// what `knap models bench` measures is the truth. Errors: kInvalidArgument (role; catalogue
/// errors).
Result<Recommendation> recommend_model(const ModelsOptions& options, const Hardware& hardware,
                                       const ModelWish& wish);

}  // namespace knap::models
