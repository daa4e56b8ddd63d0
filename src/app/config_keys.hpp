#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "config.hpp"

namespace knap::app {

/// One key of knap.yaml: its name, and where its value lives in a Config.
struct ConfigKey {
  using Target = std::variant<std::string*, bool*, std::uint16_t*, std::uint32_t*, std::uint64_t*,
                              float*, double*, std::vector<std::string>*, std::filesystem::path*>;
  enum class Kind { kPlain, kSecret };

  std::string_view name;  ///< "section.key"
  std::function<Target(Config&)> target;
  double min = 0, max = 0;                ///< Numbers only; min == max: any.
  std::vector<std::string_view> choices;  ///< Texts only; empty: any.
  Kind kind = Kind::kPlain;
};

/// All keys except `vaults`, sorted by name.
const std::vector<ConfigKey>& config_keys();
const ConfigKey* find_key(std::string_view name);

/// Nearest known key (or "vaults") for a message; empty when none is near.
std::string nearest_key(std::string_view name);

/// Sets a key from one text (lists: comma-separated) or several. Errors: kInvalidArgument saying
/// what is allowed.
Status set_key(const ConfigKey& key, Config& config, const std::vector<std::string>& values);

/// The value as JSON, secrets as "***".
std::string value_json(const ConfigKey& key, const Config& config);

}  // namespace knap::app
