#include "catalogue.hpp"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <initializer_list>

#include "knap/base/file.hpp"
#include "knap/base/text.hpp"

namespace knap::models {
namespace {

constexpr std::uint64_t kCatalogueBytesMax = 4U << 20;
constexpr std::size_t kModelsMax = 1'000;
constexpr std::size_t kFilesMax = 64;
constexpr std::uint32_t kPartsMax = 1'000;
constexpr std::uint64_t kFileBytesMax = 1ULL << 40;
constexpr std::size_t kTextMax = 1'000;
constexpr std::size_t kVariantsMax = 32;
constexpr std::uint32_t kContextMax = 1'048'576;
constexpr std::size_t kNearLimit = 5;  // further away, a suggestion only confuses

// Thrown inside this file only; yaml-cpp throws too. Both are caught in Catalogue::parse().
struct CatalogueError {
  std::string message;
};

[[noreturn]] void fail(const YAML::Node& node, const std::string& message) {
  const YAML::Mark mark = node.Mark();
  if (mark.is_null()) throw CatalogueError{message};
  throw CatalogueError{fmt::format("line {}: {}", mark.line + 1, message)};
}

template <typename Names>
std::string nearest(std::string_view wanted, const Names& names) {
  std::string best;
  std::size_t best_distance = kNearLimit + 1;
  for (const auto& name : names) {
    const std::size_t distance = text::edit_distance(wanted, name, kNearLimit);
    if (distance < best_distance) {
      best = name;
      best_distance = distance;
    }
  }
  return best.empty() ? std::string() : fmt::format("; did you mean '{}'?", best);
}

void check_keys(const YAML::Node& node, std::initializer_list<std::string_view> known,
                std::string_view where) {
  if (!node.IsMap()) fail(node, fmt::format("{} must be a mapping", where));
  for (const auto& each : node) {
    const std::string& key = each.first.Scalar();
    if (std::ranges::find(known, key) == known.end()) {
      fail(each.first, fmt::format("unknown key '{}' in {}{}", key, where, nearest(key, known)));
    }
  }
}

std::string read_text(const YAML::Node& parent, const char* key, bool required) {
  const YAML::Node node = parent[key];
  if (!node.IsDefined()) {
    if (required) fail(parent, fmt::format("'{}' is missing", key));
    return {};
  }
  if (!node.IsScalar()) fail(node, fmt::format("'{}' must be text", key));
  if (node.Scalar().size() > kTextMax) fail(node, fmt::format("'{}' is too long", key));
  return node.Scalar();
}

std::uint64_t read_number(const YAML::Node& parent, const char* key, std::uint64_t max,
                          std::uint64_t missing) {
  const YAML::Node node = parent[key];
  if (!node.IsDefined()) return missing;
  const std::string value = read_text(parent, key, true);
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc() || end != value.data() + value.size() || number == 0 || number > max) {
    fail(node, fmt::format("'{}' must be a whole number from 1 to {}", key, max));
  }
  return number;
}

bool read_bool(const YAML::Node& parent, const char* key) {
  const std::string value = read_text(parent, key, false);
  if (!value.empty() && value != "true" && value != "false") {
    fail(parent[key], fmt::format("'{}' must be true or false", key));
  }
  return value == "true";
}

// Names become folder and file names: nothing that could climb out of the models folder.
bool is_plain_name(std::string_view name) {
  if (name.empty() || name.size() > 100 || name.front() == '.') return false;
  return std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  });
}

std::string replace_all(std::string text, std::string_view from, const std::string& to) {
  for (std::size_t at = text.find(from); at != std::string::npos;
       at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

std::vector<PackagePart> read_pypi(const YAML::Node& node) {
  check_keys(node, {"package", "member", "parts"}, "pypi");
  const std::string package = read_text(node, "package", true);
  const std::string member = read_text(node, "member", true);
  // The requirement becomes an argument of pip: a name and one exact version, never an option or an
  // address.
  const std::size_t version = package.find("==");
  std::string name = package.substr(0, version);
  name = replace_all(replace_all(name, "{nn}", "1"), "{n}", "1");
  if (version == std::string::npos || !is_plain_name(name) || name.front() == '-' ||
      !is_plain_name(package.substr(version + 2))) {
    fail(node, fmt::format("'{}' is not a package with its version, as name==1.2.3", package));
  }
  const auto parts = static_cast<std::uint32_t>(read_number(node, "parts", kPartsMax, 0));
  if (parts == 0) return {{package, member}};
  std::vector<PackagePart> result;
  for (std::uint32_t n = 1; n <= parts; ++n) {
    const auto expand = [&](const std::string& pattern) {
      return replace_all(replace_all(pattern, "{nn}", fmt::format("{:02}", n)), "{n}",
                         fmt::format("{}", n));
    };
    result.push_back({expand(package), expand(member)});
  }
  return result;
}

// "135M", "1.5B": a number as the makers of models write it, in thousandths at most.
std::uint64_t read_parameters(const YAML::Node& parent) {
  const std::string value = read_text(parent, "parameters", false);
  if (value.empty()) return 0;
  double number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  const std::string_view unit(end, static_cast<std::size_t>(value.data() + value.size() - end));
  const double scale = unit == "M" ? 1e6 : unit == "B" ? 1e9 : 0;
  if (error != std::errc() || scale == 0 || !(number > 0) || number > 10'000) {
    fail(parent["parameters"],
         "'parameters' must be a number of millions or billions, as 135M or 1.5B");
  }
  return static_cast<std::uint64_t>(std::llround(number * 1'000)) *
         static_cast<std::uint64_t>(scale / 1'000);
}

HubFile read_hub(const YAML::Node& node) {
  check_keys(node, {"repository", "revision", "file"}, "hub");
  HubFile hub{read_text(node, "repository", true), read_text(node, "revision", false),
              read_text(node, "file", true)};
  // They become parts of an address: plain names between slashes, nothing that climbs.
  const auto is_path = [](const std::string& path) {
    std::size_t begin = 0;
    for (std::size_t at = 0; at <= path.size(); ++at) {
      if (at < path.size() && path[at] != '/') continue;
      if (!is_plain_name(std::string_view(path).substr(begin, at - begin))) return false;
      begin = at + 1;
    }
    return true;
  };
  if (!is_path(hub.repository) || !is_path(hub.file) ||
      (!hub.revision.empty() && !is_plain_name(hub.revision))) {
    fail(node, "'repository', 'file' and 'revision' must be plain names, with / between them");
  }
  return hub;
}

bool is_sha256(std::string_view text) {
  return text.size() == 64 && std::ranges::all_of(text, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

WhisperSource read_whisper(const YAML::Node& node) {
  check_keys(node, {"vocabulary", "published_sha256"}, "whisper");
  WhisperSource source;
  if (!node["vocabulary"].IsDefined()) fail(node, "'vocabulary' is missing in whisper");
  const auto parts = read_pypi(node["vocabulary"]);
  source.vocabulary = parts.front();
  source.published_sha256 = read_text(node, "published_sha256", true);
  if (parts.size() != 1 || !is_sha256(source.published_sha256))
    fail(node,
         "whisper needs a vocabulary in one part and 'published_sha256' in hexadecimal digits");
  return source;
}

ModelFile read_model_file(const YAML::Node& node) {
  check_keys(node, {"name", "bytes", "sha256", "pypi", "hub", "whisper"}, "a file");
  ModelFile file;
  file.name = read_text(node, "name", true);
  if (!is_plain_name(file.name)) fail(node, "'name' must be a plain file name");
  if (const std::string bytes = read_text(node, "bytes", false); bytes.empty()) {
    fail(node, "'bytes' is missing: write its size, or unknown");
  } else if (bytes != "unknown") {
    file.bytes = read_number(node, "bytes", kFileBytesMax, 0);
  }
  file.sha256 = read_text(node, "sha256", true);
  if (file.sha256 == "unknown") file.sha256.clear();
  if (!file.sha256.empty() && !is_sha256(file.sha256))
    fail(node, "'sha256' must be 64 lower-case hexadecimal digits, or unknown");
  if (const YAML::Node pypi = node["pypi"]; pypi.IsDefined()) file.parts = read_pypi(pypi);
  if (const YAML::Node hub = node["hub"]; hub.IsDefined()) file.hub = read_hub(hub);
  if (const YAML::Node whisper = node["whisper"]; whisper.IsDefined()) {
    if (file.parts.empty()) fail(node, "'whisper' needs 'pypi', which it is made from");
    file.whisper = read_whisper(whisper);
  }
  return file;
}

Role read_role(const YAML::Node& node) {
  const std::string name = read_text(node, "role", true);
  for (const Role role : {Role::kEmbed, Role::kAnswer, Role::kRerank, Role::kSpeech}) {
    if (to_string(role) == name) return role;
  }
  fail(node["role"], fmt::format("unknown role '{}': one of embed, answer, rerank, speech", name));
}

Pooling read_pooling(const YAML::Node& node) {
  const std::string name = read_text(node, "pooling", false);
  if (name.empty()) return Pooling::kNone;
  for (const Pooling pooling : {Pooling::kMean, Pooling::kCls, Pooling::kLast}) {
    if (to_string(pooling) == name) return pooling;
  }
  fail(node["pooling"], fmt::format("unknown pooling '{}': one of mean, cls, last", name));
}

AttentionShape read_attention(const YAML::Node& node) {
  const YAML::Node shape = node["attention"];
  if (!shape.IsDefined()) return {};
  check_keys(shape, {"layers", "kv_heads", "head_size"}, "attention");
  const auto part = [&](const char* key) {
    if (!shape[key].IsDefined()) fail(shape, fmt::format("'{}' is missing in attention", key));
    return static_cast<std::uint32_t>(read_number(shape, key, 4'096, 0));
  };
  return {part("layers"), part("kv_heads"), part("head_size")};
}

bool has_file(const ModelSpec& spec, std::string_view name) {
  return std::ranges::find(spec.files, name, &ModelFile::name) != spec.files.end();
}

bool has_encoder_files(const ModelSpec& spec) {
  return has_file(spec, "model.safetensors") && has_file(spec, "config.json") &&
         has_file(spec, "vocab.txt");
}

// What the runners open: an embedder's folder and an answer model's one file.
void check_files(const YAML::Node& node, const ModelSpec& spec) {
  if (spec.role == Role::kEmbed) {
    if (!has_file(spec, "model.e5") && !has_file(spec, "model.gguf") && !has_encoder_files(spec)) {
      fail(node,
           "an embed model needs the files model.safetensors, config.json and vocab.txt, or "
           "model.e5, or model.gguf");
    }
    if (spec.dimensions == 0 || spec.max_tokens < 2)
      fail(node, "an embed model needs dimensions and max_tokens");
  }
  if (spec.role == Role::kAnswer) {
    if (!has_file(spec, "model.gguf")) fail(node, "an answer model needs the file model.gguf");
    if (spec.context == 0) fail(node, "an answer model needs context");
  }
  if (spec.role == Role::kRerank && has_encoder_files(spec) && spec.max_tokens < 8)
    fail(node, "a rerank model in model.safetensors needs max_tokens, 8 or more");
  if (spec.role == Role::kSpeech && !has_file(spec, "model.bin"))
    fail(node, "a speech model needs the file model.bin");
  // What runs here was measured here: only what nobody has run may be half known.
  for (const ModelFile& file : spec.files) {
    if (spec.run_by_us && (file.bytes == 0 || file.sha256.empty())) {
      fail(node, fmt::format("{} is run by us, so bytes and sha256 of {} are known", spec.name,
                             file.name));
    }
  }
}

void read_files(const YAML::Node& node, ModelSpec& spec) {
  const YAML::Node files = node["files"];
  if (!files.IsDefined() || !files.IsSequence() || files.size() == 0 || files.size() > kFilesMax) {
    fail(node, fmt::format("model '{}' needs a list of 1 to {} files", spec.name, kFilesMax));
  }
  spec.files.clear();
  for (const auto& each : files) {
    ModelFile file = read_model_file(each);
    if (has_file(spec, file.name)) fail(each, fmt::format("file '{}' stands twice", file.name));
    spec.files.push_back(std::move(file));
  }
  check_files(node, spec);
}

void read_languages(const YAML::Node& node, ModelSpec& spec) {
  const YAML::Node languages = node["languages"];
  if (!languages.IsDefined()) return;
  if (!languages.IsSequence()) fail(languages, "'languages' must be a list");
  for (const auto& each : languages) {
    if (!each.IsScalar()) fail(each, "'languages' must be a list of codes");
    spec.languages.push_back(each.Scalar());
  }
}

ModelSpec read_model(const std::string& name, const YAML::Node& node) {
  check_keys(
      node,
      {"role", "family", "parameters", "summary", "licence", "run_by_us", "languages", "dimensions",
       "max_tokens", "pooling", "context", "trained_context", "attention", "chat_template",
       "query_prefix", "passage_prefix", "quantisation", "files", "variants"},
      fmt::format("model '{}'", name));
  ModelSpec spec;
  spec.name = name;
  spec.role = read_role(node);
  spec.family = read_text(node, "family", false);
  spec.parameters = read_parameters(node);
  spec.summary = read_text(node, "summary", false);
  spec.licence = read_text(node, "licence", true);
  spec.run_by_us = read_bool(node, "run_by_us");
  spec.query_prefix = read_text(node, "query_prefix", false);
  spec.passage_prefix = read_text(node, "passage_prefix", false);
  spec.chat_template = read_text(node, "chat_template", false);
  spec.quantisation = read_text(node, "quantisation", false);
  spec.pooling = read_pooling(node);
  spec.attention = read_attention(node);
  spec.dimensions = static_cast<std::uint32_t>(read_number(node, "dimensions", 8'192, 0));
  spec.max_tokens = static_cast<std::uint32_t>(read_number(node, "max_tokens", 65'536, 0));
  spec.context = static_cast<std::uint32_t>(read_number(node, "context", kContextMax, 0));
  spec.trained_context =
      static_cast<std::uint32_t>(read_number(node, "trained_context", kContextMax, 0));
  read_languages(node, spec);
  read_files(node, spec);
  return spec;
}

// The same model in other quantisations: what they do not say is as the model itself says.
std::vector<ModelSpec> read_variants(const ModelSpec& model, const YAML::Node& node) {
  const YAML::Node variants = node["variants"];
  if (!variants.IsDefined()) return {};
  if (!variants.IsMap() || variants.size() > kVariantsMax) {
    fail(variants,
         fmt::format("'variants' must be a mapping of at most {} quantisations", kVariantsMax));
  }
  std::vector<ModelSpec> result;
  for (const auto& each : variants) {
    const std::string& quantisation = each.first.Scalar();
    if (!is_plain_name(quantisation))
      fail(each.first,
           fmt::format("'{}' is no quantisation: letters, digits, - _ .", quantisation));
    check_keys(each.second, {"files", "run_by_us"}, fmt::format("variant '{}'", quantisation));
    ModelSpec variant = model;
    variant.name = fmt::format("{}:{}", model.name, quantisation);
    variant.quantisation = quantisation;
    variant.run_by_us = read_bool(each.second, "run_by_us");
    read_files(each.second, variant);
    result.push_back(std::move(variant));
  }
  return result;
}

}  // namespace

std::string_view to_string(Role role) {
  switch (role) {
    case Role::kEmbed: return "embed";
    case Role::kAnswer: return "answer";
    case Role::kRerank: return "rerank";
    case Role::kSpeech: return "speech";
  }
  return "answer";
}

std::string_view to_string(Pooling pooling) {
  switch (pooling) {
    case Pooling::kNone: return "none";
    case Pooling::kMean: return "mean";
    case Pooling::kCls: return "cls";
    case Pooling::kLast: return "last";
  }
  return "none";
}

bool ModelSpec::runnable() const {
  switch (role) {
    case Role::kAnswer: return has_file(*this, "model.gguf");
    case Role::kEmbed:
      return (has_file(*this, "model.e5") || has_encoder_files(*this)) &&
             (pooling == Pooling::kMean || pooling == Pooling::kCls || pooling == Pooling::kNone);
    case Role::kSpeech: return has_file(*this, "model.bin");
    case Role::kRerank: return has_encoder_files(*this);
  }
  return false;
}

bool ModelSpec::fetchable() const {
  return std::ranges::all_of(files, [](const ModelFile& file) {
    return !file.sha256.empty() && (!file.parts.empty() || file.hub.has_value());
  });
}

std::uint64_t ModelSpec::bytes() const {
  std::uint64_t sum = 0;
  for (const ModelFile& file : files) sum += file.bytes;
  return sum;
}

Result<Catalogue> Catalogue::parse(const std::string& text) {
  if (text.size() > kCatalogueBytesMax)
    return make_error(ErrorCode::kInvalidArgument, "the catalogue is too large");
  try {
    const YAML::Node root = YAML::Load(text);
    check_keys(root, {"version", "models"}, "the catalogue");
    if (read_number(root, "version", 1, 0) != 1) fail(root, "'version: 1' is missing");
    const YAML::Node models = root["models"];
    if (!models.IsDefined() || !models.IsMap() || models.size() > kModelsMax) {
      fail(root, fmt::format("'models' must be a mapping of at most {} models", kModelsMax));
    }
    Catalogue result;
    for (const auto& each : models) {
      const std::string& name = each.first.Scalar();
      if (!is_plain_name(name))
        fail(each.first, fmt::format("'{}' is no model name: letters, digits, - _ .", name));
      ModelSpec spec = read_model(name, each.second);
      for (ModelSpec& variant : read_variants(spec, each.second)) {
        const std::string key = variant.name;
        result.models_.insert_or_assign(key, std::move(variant));
      }
      if (!result.models_.try_emplace(name, std::move(spec)).second) {
        fail(each.first, fmt::format("model '{}' stands twice", name));
      }
    }
    return result;
  } catch (const CatalogueError& failure) {
    return make_error(ErrorCode::kInvalidArgument, failure.message);
  } catch (const YAML::Exception& failure) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("line {}: {}", failure.mark.line + 1, failure.msg));
  } catch (const std::exception& failure) {
    return make_error(ErrorCode::kInvalidArgument, failure.what());
  }
}

Result<Catalogue> Catalogue::open(const std::filesystem::path& user_file,
                                  const std::filesystem::path& models_dir) {
  auto shipped = parse(std::string(shipped_catalogue()));
  if (!shipped) return with_context(std::move(shipped).error(), "models.yaml");
  std::vector<std::filesystem::path> files;
  std::error_code error;
  if (!models_dir.empty() && std::filesystem::exists(imported_catalogue(models_dir), error))
    files.push_back(imported_catalogue(models_dir));
  if (!user_file.empty() && std::filesystem::exists(user_file, error)) files.push_back(user_file);
  for (const auto& file : files) {
    KNAP_TRY(const std::string text, read_file(file, kCatalogueBytesMax));
    auto added = parse(text);
    if (!added) return with_context(std::move(added).error(), file.string());
    for (auto& each : added->models_) shipped->replace(std::move(each.second));
  }
  return shipped;
}

bool Catalogue::erase(std::string_view name) {
  const auto found = models_.find(name);
  if (found == models_.end()) return false;
  models_.erase(found);
  return true;
}

bool is_model_name(std::string_view name) { return is_plain_name(name); }

std::filesystem::path imported_catalogue(const std::filesystem::path& models_dir) {
  return models_dir / "imported.yaml";
}

const ModelSpec* Catalogue::find(std::string_view name) const {
  const auto found = models_.find(name);
  return found == models_.end() ? nullptr : &found->second;
}

Result<const ModelSpec*> Catalogue::require(std::string_view name) const {
  if (const ModelSpec* spec = find(name); spec != nullptr) return spec;
  std::vector<std::string> names;
  for (const auto& each : models_) names.push_back(each.first);
  return make_error(ErrorCode::kInvalidArgument,
                    fmt::format("no model is called '{}'{} (`knap models list` shows all)", name,
                                nearest(name, names)));
}

}  // namespace knap::models
