#include "web_options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace knap::app {
namespace {

namespace fs = std::filesystem;

fs::path resolved(const fs::path& path) {
  std::error_code error;
  fs::path out = fs::weakly_canonical(path, error);
  return error ? path.lexically_normal() : out;
}

/// The vault that a folder lies in, and its path there.
Status place_notes(const Config& config, web::ImportOptions& out) {
  out.note_folder = resolved(config.web.note_folder);
  for (const index::VaultConfig& vault : config.vaults) {
    const fs::path inner = out.note_folder.lexically_relative(resolved(vault.root));
    if (inner.empty() || *inner.begin() == "..") continue;
    out.note_vault = vault.name;
    if (inner != ".") out.note_prefix = inner.generic_string() + "/";
    return {};
  }
  return make_error(ErrorCode::kInvalidArgument,
                    fmt::format("web.note_folder is \"{}\", but must be a folder in one of the "
                                "vaults",
                                config.web.note_folder.string()));
}

}  // namespace

Result<web::ImportOptions> web_import_options(const Config& config) {
  web::ImportOptions out;
  out.fetch.enabled = config.web.enabled;
  out.fetch.allow_private = config.web.allow_private;
  out.fetch.allowed_hosts = config.web.allowed_hosts;
  out.fetch.name_server = config.web.name_server;
  out.fetch.bytes_max = config.web.max_bytes;
  for (const std::string& text : config.web.extra_ports) {
    std::uint16_t port = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    if (error != std::errc() || end != text.data() + text.size() || port == 0)
      return make_error(ErrorCode::kInvalidArgument,
                        fmt::format("web.extra_ports holds \"{}\", but must hold numbers from 1 "
                                    "to 65535",
                                    text));
    out.fetch.ports.push_back(port);
  }
  out.page.helper = extract::page_helper();
  out.kept_dir = config.data_dir / "web";
  if (!config.web.note_folder.empty()) KNAP_CHECK_OK(place_notes(config, out));
  return out;
}

}  // namespace knap::app
