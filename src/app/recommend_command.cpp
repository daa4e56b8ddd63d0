#include <unistd.h>

#include <algorithm>

#include <fmt/format.h>
#include <boost/json.hpp>

#include "commands.hpp"
#include "engine.hpp"
#include "knap/base/json_text.hpp"
#include "knap/models/gpu.hpp"
#include "knap/models/recommend.hpp"
#include "terminal.hpp"

namespace knap::app {
namespace {

namespace json = boost::json;

models::Preference preference_of(std::string_view name) {
  if (name == "speed") return models::Preference::kSpeed;
  return name == "memory" ? models::Preference::kMemory : models::Preference::kAccuracy;
}

json::object to_json(const models::Hardware& hardware) {
  json::array gpus;
  for (const auto& gpu : hardware.gpus)
    gpus.push_back(json::object{{"name", gpu.name}, {"memory_bytes", gpu.memory_bytes}});
  return {{"processor", hardware.processor},
          {"cores", hardware.cores},
          {"instruction_sets", json::value_from(hardware.instruction_sets)},
          {"memory_bytes", hardware.memory_bytes},
          {"memory_bytes_per_second", hardware.bytes_per_second},
          {"gpus", std::move(gpus)}};
}

json::object to_json(const models::Recommendation& recommendation) {
  json::array prospects;
  for (const auto& each : recommendation.prospects) {
    prospects.push_back(json::object{{"name", each.name},
                                     {"installed", each.installed},
                                     {"memory_bytes", each.memory_bytes},
                                     {"read_tokens_per_second", each.read_tokens_per_second},
                                     {"write_tokens_per_second", each.write_tokens_per_second},
                                     {"answer_seconds", each.answer_seconds},
                                     {"against", each.against},
                                     {"arithmetic", each.arithmetic}});
  }
  return {{"model", recommendation.name},
          {"why", recommendation.why},
          {"models", std::move(prospects)}};
}

void print_gpus(const models::Hardware& hardware) {
  const auto usable = models::list_gpus();
  for (const auto& gpu : usable) {
    fmt::print("Graphics card {}: {}, {:.1f} of {:.1f} GiB free{}; answer models use it\n",
               gpu.name, gpu.description, static_cast<double>(gpu.free_bytes) / (1U << 30),
               static_cast<double>(gpu.total_bytes) / (1U << 30),
               gpu.shares_memory ? ", shared with the processor" : "");
  }
  if (!usable.empty()) return;
  for (const auto& gpu : hardware.gpus)
    fmt::print(
        "Graphics card: {}, not used: ./script/bootstrap --gpu vulkan (or cuda) lets answer "
        "models use it\n",
        gpu.name);
}

void explain(const models::Hardware& hardware, const models::Recommendation& recommendation) {
  fmt::print("\n{}\n{} cores ({}), {:.1f} GiB of memory, read at {:.1f} GB/s by all cores\n",
             hardware.processor.empty() ? "An unknown processor" : hardware.processor,
             hardware.cores, fmt::join(hardware.instruction_sets, ", "),
             static_cast<double>(hardware.memory_bytes) / (1U << 30),
             hardware.bytes_per_second / 1e9);
  print_gpus(hardware);
  fmt::print("\n");
  const Terminal terminal(Terminal::Stream::kOut);
  for (const auto& each : recommendation.prospects) {
    fmt::print("{} {:<32} {}\n", each.against.empty() ? terminal.good("+") : "-", each.name,
               each.against.empty() ? each.arithmetic : terminal.dim(each.against));
  }
  fmt::print("\nSpeeds are estimates; `knap models bench` measures what is installed.\n");
}

}  // namespace

int recommend(const Config& config, const RecommendCommand& command) {
  const auto threads =
      config.models.threads > 0
          ? config.models.threads
          : static_cast<std::size_t>(std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN)));
  const auto hardware = models::probe_hardware(threads);
  const auto found = models::recommend_model(models_options(config, {}), hardware,
                                             {.role = command.role,
                                              .preference = preference_of(command.priority),
                                              .language = command.language,
                                              .memory_bytes = config.models.memory_bytes});
  if (!found) return report(found.error());
  const int code = found->name.empty() ? kExitFailed : kExitDone;
  if (command.output == Output::kJson) {
    json::object out = to_json(*found);
    out["hardware"] = to_json(hardware);
    fmt::print("{}\n", json_text(out));
    return code;
  }
  if (found->name.empty()) {
    fmt::print("None: {}.\n", found->why);
  } else {
    const bool installed = found->prospects.front().installed;
    fmt::print("{}\nBecause it is {}.\n{} it with `knap models {} {}`.\n", found->name, found->why,
               installed ? "Choose" : "Fetch", installed ? "use" : "pull", found->name);
  }
  if (command.explain) explain(hardware, *found);
  return code;
}

}  // namespace knap::app
