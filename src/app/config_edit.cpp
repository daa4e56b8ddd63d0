#include "config_edit.hpp"

#include <system_error>
#include <vector>

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include "knap/base/file.hpp"

namespace knap::app {
namespace {

constexpr std::uint64_t kConfigBytesMax = 1 << 20;

std::vector<std::string> split_lines(const std::string& text) {
  std::vector<std::string> lines;
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

bool is_blank(const std::string& line) {
  const auto first = line.find_first_not_of(" \t\r");
  return first == std::string::npos || line[first] == '#';
}

std::string edited(const std::string& text, std::string_view section, std::string_view key,
                   std::string_view value) {
  auto lines = split_lines(text);
  const std::string head = std::string(section) + ":";
  const std::string entry = fmt::format("{}: {}", key, value);
  std::size_t at = 0;
  while (at < lines.size() &&
         !(lines[at].starts_with(head) && is_blank(lines[at].substr(head.size()) + " ")))
    ++at;
  if (at == lines.size()) {
    lines.push_back(head);
    lines.push_back("  " + entry);
  } else {
    std::string indent = "  ";
    std::size_t i = at + 1;
    bool replaced = false;
    for (; i < lines.size() && (is_blank(lines[i]) || lines[i].starts_with(' ')); ++i) {
      if (is_blank(lines[i])) continue;
      indent = lines[i].substr(0, lines[i].find_first_not_of(' '));
      if (lines[i].substr(indent.size()).starts_with(std::string(key) + ":")) {
        lines[i] = indent + entry;
        replaced = true;
        break;
      }
    }
    if (!replaced)
      lines.insert(lines.begin() + static_cast<std::ptrdiff_t>(at) + 1, indent + entry);
  }
  std::string out;
  for (const auto& line : lines) out += line + "\n";
  return out;
}

bool holds(const std::string& text, std::string_view section, std::string_view key,
           std::string_view value) {
  try {
    const YAML::Node root = YAML::Load(text);
    const YAML::Node found = root[std::string(section)][std::string(key)];
    return found.IsScalar() && found.Scalar() == value;
  } catch (const YAML::Exception&) {
    return false;
  }
}

}  // namespace

Status set_in_config_file(const std::filesystem::path& file, std::string_view section,
                          std::string_view key, std::string_view value) {
  std::error_code error;
  std::string text;
  if (std::filesystem::exists(file, error)) {
    KNAP_TRY(text, read_file(file, kConfigBytesMax));
  } else if (file.has_parent_path()) {
    std::filesystem::create_directories(file.parent_path(), error);
    if (error) return errno_error(error.value(), "create", file.parent_path());
  }
  const std::string changed = edited(text, section, key, value);
  if (!holds(changed, section, key, value)) {
    return make_error(ErrorCode::kFailedPrecondition,
                      fmt::format("{} cannot be edited safely; write `{}: {}` under `{}:` yourself",
                                  file.string(), key, value, section));
  }
  return write_file_atomic(file, changed);
}

}  // namespace knap::app
