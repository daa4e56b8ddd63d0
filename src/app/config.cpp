#include "config.hpp"

#include <unistd.h>

#include <algorithm>
#include <system_error>

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>
#include <boost/json.hpp>

#include "config_keys.hpp"
#include "knap/base/file.hpp"
#include "knap/base/json_text.hpp"
#include "knap/base/text.hpp"

namespace knap::app {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kConfigBytesMax = 1 << 20;
constexpr int kConfigDepthMax = 8;
constexpr std::size_t kVaultsMax = 256;

std::string get(const Environment& environment, const std::string& name) {
  const auto found = environment.find(name);
  return found == environment.end() ? std::string() : found->second;
}

fs::path home(const Environment& environment) {
  const std::string folder = get(environment, "HOME");
  return folder.empty() ? fs::path("/") : fs::path(folder);
}

fs::path user_data_dir(const Environment& environment) {
  const std::string base = get(environment, "XDG_DATA_HOME");
  return (base.empty() ? home(environment) / ".local" / "share" : fs::path(base)) / "knap";
}

Error at_line(const fs::path& file, const YAML::Mark& mark, std::string_view message) {
  return make_error(ErrorCode::kInvalidArgument,
                    fmt::format("{} line {}: {}", file.string(), mark.line + 1, message));
}

std::string unknown_key(std::string_view name) {
  const std::string nearest = nearest_key(name);
  return fmt::format(
      "unknown key {}{}", name,
      nearest.empty() ? "; `knap config` lists all keys" : "; did you mean " + nearest + "?");
}

Result<std::vector<std::string>> scalars(const YAML::Node& node, const fs::path& file,
                                         std::string_view key) {
  if (node.IsNull()) return std::vector<std::string>{""};
  if (node.IsScalar()) return std::vector<std::string>{node.Scalar()};
  if (!node.IsSequence())
    return at_line(file, node.Mark(), fmt::format("{} must be a value or a list", key));
  std::vector<std::string> out;
  for (const auto& item : node) {
    if (!item.IsScalar())
      return at_line(file, item.Mark(), fmt::format("{} must be a list of plain values", key));
    out.push_back(item.Scalar());
  }
  return out;
}

Status read_vaults(const YAML::Node& node, const fs::path& file, Config& config) {
  if (!node.IsSequence())
    return at_line(file, node.Mark(), "vaults must be a list of entries with name and path");
  for (const auto& item : node) {
    index::VaultConfig vault;
    if (item.IsScalar()) {
      KNAP_TRY(vault, parse_vault(item.Scalar()));
    } else if (item.IsMap()) {
      for (const auto& entry : item) {
        const std::string& name = entry.first.Scalar();
        if (!entry.second.IsScalar() || (name != "name" && name != "path")) {
          return at_line(file, entry.first.Mark(),
                         fmt::format("unknown key vaults[].{}; a vault has name and path", name));
        }
        if (name == "name") vault.name = entry.second.Scalar();
        if (name == "path") vault.root = entry.second.Scalar();
      }
      if (vault.root.empty()) return at_line(file, item.Mark(), "a vault needs a path");
      KNAP_TRY(auto named,
               parse_vault(vault.name.empty() ? vault.root.string()
                                              : vault.name + "=" + vault.root.string()));
      vault = std::move(named);
    } else {
      return at_line(file, item.Mark(), "a vault is a path, or name and path");
    }
    const bool home_relative = vault.root.string().starts_with('~');
    if (vault.root.is_relative() && !home_relative) vault.root = file.parent_path() / vault.root;
    config.vaults.push_back(std::move(vault));
  }
  return {};
}

Status read_map(const YAML::Node& map, const std::string& prefix, int depth, const fs::path& file,
                Config& config) {
  if (depth > kConfigDepthMax) return at_line(file, map.Mark(), "nested too deeply");
  for (const auto& entry : map) {
    if (!entry.first.IsScalar())
      return at_line(file, entry.first.Mark(), "a key must be plain text");
    const std::string name = prefix + entry.first.Scalar();
    if (name == "vaults") {
      KNAP_CHECK_OK(read_vaults(entry.second, file, config));
      config.sources["vaults"] = "file";
      continue;
    }
    const ConfigKey* key = find_key(name);
    if (key == nullptr) {
      const auto& keys = config_keys();
      const bool is_section = std::any_of(
          keys.begin(), keys.end(), [&](const auto& k) { return k.name.starts_with(name + "."); });
      if (is_section && entry.second.IsMap()) {
        KNAP_CHECK_OK(read_map(entry.second, name + ".", depth + 1, file, config));
        continue;
      }
      if (is_section && entry.second.IsNull()) continue;
      return at_line(
          file, entry.first.Mark(),
          is_section ? name + " is a section: indent its keys below it" : unknown_key(name));
    }
    KNAP_TRY(auto values, scalars(entry.second, file, name));
    if (auto status = set_key(*key, config, values); !status)
      return at_line(file, entry.second.Mark(), status.error().message);
    config.sources[name] = "file";
  }
  return {};
}

Status read_config_file(const fs::path& file, Config& config) {
  KNAP_TRY(const std::string text, read_file(file, kConfigBytesMax));
  try {
    const YAML::Node root = YAML::Load(text);
    config.file = file;
    if (root.IsNull()) return {};
    if (!root.IsMap()) return at_line(file, root.Mark(), "expected keys and values");
    return read_map(root, "", 0, file, config);
  } catch (const YAML::Exception& error) {
    return at_line(file, error.mark, "not valid YAML: " + error.msg);
  }
}

std::string environment_name(std::string_view key) {
  std::string out = "KNAP_";
  for (const char c : key)
    out += c == '.' ? '_' : static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
  return out;
}

std::vector<std::string> split_list(const std::string& text) {
  std::vector<std::string> out;
  std::size_t begin = 0;
  while (begin <= text.size()) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    if (const auto item = text::trim(std::string_view(text).substr(begin, end - begin));
        !item.empty())
      out.emplace_back(item);
    begin = end + 1;
  }
  return out;
}

Status set_from_text(const ConfigKey& key, Config& config, const std::string& value) {
  const bool is_list = std::holds_alternative<std::vector<std::string>*>(key.target(config));
  return set_key(key, config, is_list ? split_list(value) : std::vector<std::string>{value});
}

/// A variable of a known section that names no key is a mistake; other KNAP_ variables belong to
/// scripts.
Status refuse_unknown_variables(const Environment& environment) {
  for (const auto& [name, value] : environment) {
    if (!name.starts_with("KNAP_")) continue;
    std::string section;
    bool known = name == "KNAP_VAULTS" || name == "KNAP_CONFIG";
    std::string nearest;
    std::size_t distance = 5;
    for (const auto& key : config_keys()) {
      const std::string variable = environment_name(key.name);
      known = known || variable == name;
      if (name.starts_with(variable.substr(0, variable.find('_', 5) + 1)))
        section = key.name.substr(0, key.name.find('.'));
      if (const auto d = text::edit_distance(name, variable, 4); d < distance) {
        distance = d;
        nearest = variable;
      }
    }
    if (!known && !section.empty()) {
      return make_error(
          ErrorCode::kInvalidArgument,
          fmt::format("environment variable {}: no such key in the section {}{}", name, section,
                      nearest.empty() ? "; `knap config` lists all keys"
                                      : "; did you mean " + nearest + "?"));
    }
  }
  return {};
}

Status read_environment(const Environment& environment, Config& config) {
  KNAP_CHECK_OK(refuse_unknown_variables(environment));
  for (const auto& key : config_keys()) {
    const std::string name = environment_name(key.name);
    const auto found = environment.find(name);
    if (found == environment.end()) continue;
    if (auto status = set_from_text(key, config, found->second); !status) {
      return with_context(std::move(status).error(), "environment variable " + name);
    }
    config.sources[std::string(key.name)] = "environment";
  }
  if (const auto found = environment.find("KNAP_VAULTS"); found != environment.end()) {
    config.vaults.clear();
    for (const auto& text : split_list(found->second)) {
      KNAP_TRY(auto vault, parse_vault(text));
      config.vaults.push_back(std::move(vault));
    }
    config.sources["vaults"] = "environment";
  }
  return {};
}

/// A leading "~/" is the user's home: the shell expands it neither in a file nor after "NAME=".
void expand_home(fs::path& path, const Environment& environment) {
  const std::string text = path.string();
  if (text == "~") path = home(environment);
  if (text.starts_with("~/")) path = home(environment) / text.substr(2);
}

Status check_vaults(Config& config) {
  if (config.vaults.size() > kVaultsMax) {
    return make_error(ErrorCode::kInvalidArgument, fmt::format("more than {} vaults", kVaultsMax));
  }
  for (auto& vault : config.vaults) {
    std::error_code error;
    vault.root = fs::absolute(vault.root, error).lexically_normal();
    if (!vault.root.has_filename()) vault.root = vault.root.parent_path();
    const auto same = std::count_if(config.vaults.begin(), config.vaults.end(),
                                    [&](const auto& v) { return v.name == vault.name; });
    if (same > 1) {
      return make_error(
          ErrorCode::kInvalidArgument,
          fmt::format("two vaults are named {}: give one another name, as in --vault other={}",
                      vault.name, vault.root.string()));
    }
  }
  return {};
}

}  // namespace

Environment process_environment() {
  Environment out;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    if (const auto equals = text.find('='); equals != std::string_view::npos)
      out.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return out;
}

fs::path user_config_file(const Environment& environment) {
  if (const std::string named = get(environment, "KNAP_CONFIG"); !named.empty()) return named;
  std::error_code error;
  if (fs::exists("knap.yaml", error)) return "knap.yaml";
  const std::string base = get(environment, "XDG_CONFIG_HOME");
  return (base.empty() ? home(environment) / ".config" : fs::path(base)) / "knap" / "knap.yaml";
}

Result<index::VaultConfig> parse_vault(std::string_view text) {
  constexpr std::size_t kNameMax = 64;
  index::VaultConfig vault;
  const auto equals = text.find('=');
  const auto slash = text.find('/');
  if (equals != std::string_view::npos && equals < slash) {
    vault.name = text.substr(0, equals);
    text.remove_prefix(equals + 1);
  }
  vault.root = fs::path(text);
  if (vault.root.empty())
    return make_error(ErrorCode::kInvalidArgument, "a vault needs a folder: --vault [NAME=]DIR");
  if (vault.name.empty()) {
    std::error_code error;
    fs::path folder = fs::absolute(vault.root, error).lexically_normal();
    if (!folder.has_filename()) folder = folder.parent_path();
    vault.name = folder.filename().string();
  }
  if (vault.name.empty() || vault.name.size() > kNameMax ||
      vault.name.find_first_of("/\\:\n") != std::string::npos) {
    return make_error(
        ErrorCode::kInvalidArgument,
        fmt::format("a vault's name has 1 to {} characters and no slash or colon: \"{}\"", kNameMax,
                    text::truncate(vault.name, 80)));
  }
  return vault;
}

Result<Config> load_config(const CommandLine& command_line, const Environment& environment) {
  Config config;
  config.data_dir = user_data_dir(environment);
  config.models.dir = user_data_dir(environment) / "models";

  const fs::path file = command_line.config_file.value_or(user_config_file(environment));
  const bool named = command_line.config_file || !get(environment, "KNAP_CONFIG").empty();
  std::error_code error;
  if (named || fs::exists(file, error)) {
    if (auto status = read_config_file(file, config); !status) {
      return status.error().code == ErrorCode::kInvalidArgument
                 ? status.error()
                 : with_context(status.error(), "configuration");
    }
  }
  KNAP_CHECK_OK(read_environment(environment, config));
  for (const auto& [name, value] : command_line.values) {
    const ConfigKey* key = find_key(name);
    if (key == nullptr) return make_error(ErrorCode::kInvalidArgument, unknown_key(name));
    KNAP_CHECK_OK(set_from_text(*key, config, value));
    config.sources[name] = "command line";
  }
  if (!command_line.vaults.empty()) {
    config.vaults.clear();
    config.sources["vaults"] = "command line";
  }
  for (const auto& text : command_line.vaults) {
    KNAP_TRY(auto vault, parse_vault(text));
    config.vaults.push_back(std::move(vault));
  }
  for (auto& vault : config.vaults) expand_home(vault.root, environment);
  for (auto* path : {&config.data_dir, &config.models.dir}) expand_home(*path, environment);
  // As vaults in the file: a server may be started from anywhere.
  const auto judged_from = config.sources.find("search.judged_questions");
  auto& judged = config.search.judged_questions;
  const bool in_file = judged_from != config.sources.end() && judged_from->second == "file";
  if (in_file && !judged.starts_with('~') && !judged.empty() && fs::path(judged).is_relative())
    judged = (file.parent_path() / judged).string();
  for (auto* text : {&config.log.file, &judged}) {
    fs::path path = *text;
    expand_home(path, environment);
    *text = path.string();
  }
  KNAP_CHECK_OK(check_vaults(config));
  return config;
}

std::vector<api::Setting> describe(const Config& config) {
  std::vector<api::Setting> out;
  const auto source = [&](const std::string& key) {
    const auto found = config.sources.find(key);
    return found == config.sources.end() ? std::string("default") : found->second;
  };
  for (const auto& key : config_keys()) {
    const std::string name(key.name);
    out.push_back({name, value_json(key, config), source(name)});
  }
  boost::json::array vaults;
  for (const auto& vault : config.vaults)
    vaults.push_back({{"name", vault.name}, {"path", vault.root.string()}});
  out.push_back({"vaults", json_text(vaults), source("vaults")});
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.key < b.key; });
  return out;
}

fs::path judged_questions_file(const Config& config) {
  if (!config.search.judged_questions.empty()) return config.search.judged_questions;
  std::error_code error;
  const fs::path usual = config.data_dir / "judged.yaml";
  return fs::exists(usual, error) ? usual : fs::path();
}

std::optional<cache::Layers::Options> cache_options(const Config& config) {
  using std::chrono::seconds;
  const auto& from = config.cache;
  const auto wanted = [&](std::string_view name) {
    return std::find(from.layers.begin(), from.layers.end(), name) != from.layers.end();
  };
  cache::Layers::Options out;
  out.memory = wanted("memory");
  out.disk = wanted("disk");
  out.memory_bytes = from.memory_bytes;
  out.disk_bytes = from.disk_bytes;
  out.folder = config.data_dir / "cache";
  auto& lifetimes = out.lifetimes;
  lifetimes.layer[index_of(cache::Layer::kMemory)] = seconds(from.memory_seconds);
  lifetimes.layer[index_of(cache::Layer::kDisk)] = seconds(from.disk_seconds);
  lifetimes.layer[index_of(cache::Layer::kRedis)] = seconds(from.redis.seconds);
  lifetimes.kind[index_of(cache::Kind::kSearch)] = seconds(from.search_seconds);
  lifetimes.kind[index_of(cache::Kind::kAnswer)] = seconds(from.answer_seconds);
  std::optional<cache::RedisMode> mode;
  if (wanted("redis")) mode = cache::RedisMode::kSingle;
  if (wanted("redis_cluster")) mode = cache::RedisMode::kCluster;
  if (wanted("redis_sentinel")) mode = cache::RedisMode::kSentinel;
  if (mode) {
    out.redis = cache::RedisOptions{*mode,
                                    from.redis.addresses,
                                    from.redis.user,
                                    from.redis.password,
                                    from.redis.master_name,
                                    from.redis.database,
                                    from.redis.tls,
                                    from.redis.ca_file,
                                    from.redis.prefix,
                                    std::chrono::milliseconds(from.redis.timeout_ms)};
  }
  if (!out.memory && !out.disk && !out.redis) return std::nullopt;
  return out;
}

observe::LogOptions log_options(const Config& config) {
  using observe::LogLevel;
  observe::LogOptions out;
  out.level = config.log.level == "debug"     ? LogLevel::kDebug
              : config.log.level == "warning" ? LogLevel::kWarning
              : config.log.level == "error"   ? LogLevel::kError
                                              : LogLevel::kInfo;
  out.format = config.log.format == "json" ? observe::LogOptions::Format::kJson
                                           : observe::LogOptions::Format::kText;
  out.file = config.log.file;
  out.file_bytes_max = config.log.file_bytes_max;
  return out;
}

}  // namespace knap::app
