#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "knap/vault/parse.hpp"

namespace knap::vault {

inline Note parsed(std::string_view bytes, std::string_view path = "Note.md",
                   const ParseOptions& options = {}) {
  auto note = parse(path, bytes, options);
  EXPECT_TRUE(note.has_value()) << (note ? "" : note.error().message);
  return note ? std::move(*note) : Note{};
}

inline std::vector<std::string> tag_names(const Note& note) {
  std::vector<std::string> names;
  for (const Tag& tag : note.tags) names.push_back(tag.name);
  return names;
}

inline std::vector<std::string> link_targets(const Note& note) {
  std::vector<std::string> targets;
  for (const Link& link : note.links) targets.push_back(link.target);
  return targets;
}

/// The evaluation data beside the project, where it is there.
inline std::filesystem::path shared_data(std::string_view below) {
  const char* const given = std::getenv("KNAP_SHARED");
#ifdef KNAP_TEST_SHARED
  const std::filesystem::path beside(KNAP_TEST_SHARED);
#else
  const std::filesystem::path beside;
#endif
  const std::filesystem::path root = given != nullptr ? std::filesystem::path(given) : beside;
  return root / "data" / below;
}

}  // namespace knap::vault
