#pragma once

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace knap::models {

/// A folder of one test, removed at its end.
class TestFolder {
 public:
  TestFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "knap-models-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;
  ~TestFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }

  std::filesystem::path write(const std::string& name, std::string_view bytes) const {
    auto file = path_ / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << bytes;
    return file;
  }
  std::filesystem::path write_program(const std::string& name, std::string_view text) const {
    auto file = write(name, text);
    std::filesystem::permissions(file, std::filesystem::perms::owner_all);
    return file;
  }

 private:
  std::filesystem::path path_;
};

/// Where models lie on this machine: KNAP_MODELS_DIR, else the default of `knap models pull`. May
/// not exist.
// NOLINTBEGIN(concurrency-mt-unsafe): read once a test, and nothing here sets the environment.
inline std::filesystem::path installed_models_dir() {
  if (const char* dir = std::getenv("KNAP_MODELS_DIR"); dir != nullptr) return dir;
  if (const char* data = std::getenv("XDG_DATA_HOME"); data != nullptr)
    return std::filesystem::path(data) / "knap" / "models";
  const char* home = std::getenv("HOME");
  return std::filesystem::path(home == nullptr ? "/" : home) / ".local" / "share" / "knap" /
         "models";
}
// NOLINTEND(concurrency-mt-unsafe)

}  // namespace knap::models
