#include <algorithm>
#include <memory>

#include <fmt/format.h>
#include <boost/json.hpp>
#include <boost/regex.hpp>

#include "gitignore.hpp"
#include "knap/base/file.hpp"
#include "knap/vault/walk.hpp"

namespace knap::vault {
namespace {

constexpr std::uint64_t kRuleFileBytesMax = 1U << 20;
constexpr std::size_t kFiltersMax = 1'000;
constexpr std::size_t kFilterBytesMax = 1'000;

}  // namespace

struct IgnoreRules::Rules {
  IgnorePatterns patterns;
  std::vector<std::string> prefixes;
  std::vector<boost::regex> expressions;

  void load_obsidian(std::string_view json, std::vector<std::string>& warnings);
  std::optional<std::string> obsidian(std::string_view path, EntryKind kind) const;
};

void IgnoreRules::Rules::load_obsidian(std::string_view text, std::vector<std::string>& warnings) {
  boost::json::error_code error;
  boost::json::value root;
  try {
    root = boost::json::parse(boost::json::string_view(text.data(), text.size()), error);
  } catch (const std::exception&) {
    root = nullptr;  // Out of memory: as good as no JSON.
  }
  if (error || !root.is_object()) {
    warnings.emplace_back(".obsidian/app.json is not valid JSON: its excluded files are not known");
    return;
  }
  const boost::json::value* filters = root.get_object().if_contains("userIgnoreFilters");
  if (filters == nullptr || !filters->is_array()) return;
  for (const boost::json::value& value : filters->get_array()) {
    if (!value.is_string()) continue;
    const std::string filter(value.get_string().data(), value.get_string().size());
    if (filter.empty() || filter.size() > kFilterBytesMax ||
        prefixes.size() + expressions.size() == kFiltersMax) {
      warnings.push_back(fmt::format(
          ".obsidian/app.json: an excluded file is left out (empty, over {} bytes or beyond {})",
          kFilterBytesMax, kFiltersMax));
      continue;
    }
    if (filter.size() < 3 || filter.front() != '/' || filter.back() != '/') {
      prefixes.push_back(filter);
      continue;
    }
    try {
      expressions.emplace_back(filter.substr(1, filter.size() - 2),
                               boost::regex::perl | boost::regex::icase);
    } catch (const std::exception&) {
      warnings.emplace_back(
          ".obsidian/app.json: an excluded file is no regular expression that can be read");
    }
  }
}

std::optional<std::string> IgnoreRules::Rules::obsidian(std::string_view path,
                                                        EntryKind kind) const {
  for (const std::string& prefix : prefixes) {
    // A folder is written "Folder/"; the folder itself is hidden with all in it.
    if (path.starts_with(prefix) ||
        (kind == EntryKind::kFolder && prefix.size() == path.size() + 1 && prefix.back() == '/' &&
         prefix.starts_with(path))) {
      return "Obsidian's excluded files: " + prefix;
    }
  }
  for (const boost::regex& expression : expressions) {
    try {
      // Boost stops by itself where an expression backtracks without end.
      if (boost::regex_search(path.begin(), path.end(), expression))
        return "Obsidian's excluded files: /" + expression.str() + "/";
    } catch (const std::exception&) {
      continue;
    }
  }
  return std::nullopt;
}

IgnoreRules IgnoreRules::load(const std::filesystem::path& root) {
  IgnoreRules rules;
  auto loaded = std::make_shared<Rules>();
  const auto read = [&](const char* name) -> std::optional<std::string> {
    auto text = read_file(root / name, kRuleFileBytesMax);
    if (text) return std::move(*text);
    if (text.error().code != ErrorCode::kNotFound)
      rules.warnings_.push_back(std::string(name) + " is not read: " + text.error().message);
    return std::nullopt;
  };
  if (const auto text = read(".knapignore")) {
    const std::size_t left_out = loaded->patterns.load(*text);
    if (left_out > 0)
      rules.warnings_.push_back(
          fmt::format(".knapignore: {} patterns are left out (over {} bytes, or beyond {})",
                      left_out, IgnorePatterns::kPatternBytesMax, IgnorePatterns::kPatternsMax));
  }
  if (const auto text = read(".obsidian/app.json")) loaded->load_obsidian(*text, rules.warnings_);
  rules.rules_ = std::move(loaded);
  return rules;
}

std::optional<std::string> IgnoreRules::ignored(std::string_view path, EntryKind kind) const {
  // From the root down: what lies in a hidden folder is hidden, whatever a later "!" says (as in
  // gitignore).
  for (std::size_t end = 0; end < path.size();) {
    const std::size_t begin = end == 0 ? 0 : end + 1;
    end = std::min(path.find('/', begin), path.size());
    const std::string_view part = path.substr(begin, end - begin);
    const std::string_view entry = path.substr(0, end);
    const EntryKind entry_kind = end == path.size() ? kind : EntryKind::kFolder;
    if (part == ".trash") return "Obsidian's trash";
    if (part.starts_with('.')) return "hidden";
    if (rules_ == nullptr) continue;
    if (const std::uint32_t line = rules_->patterns.match(entry, entry_kind == EntryKind::kFolder))
      return fmt::format(".knapignore line {}", line);
    if (auto reason = rules_->obsidian(entry, entry_kind)) return reason;
  }
  return std::nullopt;
}

}  // namespace knap::vault
