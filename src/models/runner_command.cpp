#include "runner_command.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "model_files.hpp"

namespace knap::models {
namespace {

// Two processes would count and clean the same folder.
std::filesystem::path passages_dir(const ModelsOptions& options, std::size_t replica) {
  if (options.passages_dir.empty() || replica == 0) return options.passages_dir;
  return options.passages_dir / fmt::format("runner-{}", replica + 1);
}

}  // namespace

std::vector<std::string> runner_command(const ModelSpec& spec, const ModelsOptions& options,
                                        const RunnerPlan& plan) {
  const std::filesystem::path dir = ModelFiles(spec, options.models_dir).dir();
  std::vector<std::string> command = {options.runner_program.string(),
                                      "runner",
                                      "--role",
                                      std::string(to_string(spec.role)),
                                      "--threads",
                                      fmt::format("{}", plan.threads),
                                      "--model",
                                      spec.name};
  const auto add = [&](std::initializer_list<std::string> more) {
    command.insert(command.end(), more);
  };
  switch (spec.role) {
    case Role::kEmbed:
    case Role::kRerank:
      add({"--model-dir", dir.string(), "--max-tokens", fmt::format("{}", spec.max_tokens),
           "--precision", std::string(plan.precision)});
      if (spec.role == Role::kEmbed && spec.pooling == Pooling::kCls) add({"--first-token"});
      break;
    case Role::kSpeech: add({"--model-file", (dir / "model.bin").string()}); break;
    case Role::kAnswer:
      add({"--model-file", (dir / "model.gguf").string(), "--context",
           fmt::format("{}", spec.context), "--passages-memory-bytes",
           fmt::format("{}", options.passages_memory_bytes), "--passages-disk-bytes",
           fmt::format("{}", options.passages_disk_bytes), "--passages-dir",
           passages_dir(options, plan.replica).string(), "--gpu",
           std::string(to_string(plan.processor_only ? GpuUse::kNever : options.gpu.use)),
           "--gpu-memory-fraction", fmt::format("{}", options.gpu.memory_fraction), "--replica",
           fmt::format("{}", plan.replica), "--replicas",
           fmt::format("{}", std::max<std::size_t>(options.replicas, 1))});
      break;
  }
  return command;
}

}  // namespace knap::models
