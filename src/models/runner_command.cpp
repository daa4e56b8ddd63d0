#include "runner_command.hpp"

#include <fmt/format.h>

#include "model_files.hpp"

namespace knap::models {

std::vector<std::string> runner_command(const ModelSpec& spec, const ModelsOptions& options,
                                        std::size_t threads, std::string_view precision) {
  const std::filesystem::path dir = ModelFiles(spec, options.models_dir).dir();
  std::vector<std::string> command = {options.runner_program.string(),
                                      "runner",
                                      "--role",
                                      std::string(to_string(spec.role)),
                                      "--threads",
                                      fmt::format("{}", threads),
                                      "--model",
                                      spec.name};
  const auto add = [&](std::initializer_list<std::string> more) {
    command.insert(command.end(), more);
  };
  switch (spec.role) {
    case Role::kEmbed:
    case Role::kRerank:
      add({"--model-dir", dir.string(), "--max-tokens", fmt::format("{}", spec.max_tokens),
           "--precision", std::string(precision)});
      if (spec.role == Role::kEmbed && spec.pooling == Pooling::kCls) add({"--first-token"});
      break;
    case Role::kSpeech: add({"--model-file", (dir / "model.bin").string()}); break;
    case Role::kAnswer:
      add({"--model-file", (dir / "model.gguf").string(), "--context",
           fmt::format("{}", spec.context), "--passages-memory-bytes",
           fmt::format("{}", options.passages_memory_bytes), "--passages-disk-bytes",
           fmt::format("{}", options.passages_disk_bytes), "--passages-dir",
           options.passages_dir.string()});
      break;
  }
  return command;
}

}  // namespace knap::models
