#include "knap/vault/walk.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gitignore.hpp"
#include "test_folder.hpp"

namespace knap::vault {
namespace {

using testing::AnyOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;
using Kind = IgnoreRules::EntryKind;

std::map<std::string, std::string> walked(const std::filesystem::path& root,
                                          const WalkOptions& options = {}) {
  std::map<std::string, std::string> found;
  const Status status =
      walk(root, IgnoreRules::load(root), options, CancelToken(), [&](const WalkEntry& entry) {
        EXPECT_EQ(found.count(entry.path), 0U) << entry.path;
        found[entry.path] = entry.problem;
      });
  EXPECT_TRUE(status.has_value()) << (status ? "" : status.error().message);
  return found;
}

TEST(Walk, FindsFilesAndLeavesOutHiddenOnes) {
  const TestFolder vault;
  for (const char* const file : {"a.md", "b/c.md", "b/🗂️ emoji.md", ".obsidian/app.json",
                                 ".trash/old.md", ".hidden.md", "b/.git/x"})
    vault.write(file);
  EXPECT_THAT(walked(vault.path()), UnorderedElementsAre(Pair("a.md", ""), Pair("b/c.md", ""),
                                                         Pair("b/🗂️ emoji.md", "")));
}

TEST(Walk, NamesStayAsTheyStandOnDisk) {
  const TestFolder vault;
  vault.write("e\xCC\x81.md");
  vault.write("\xC3\xA9.md");
  EXPECT_EQ(walked(vault.path()).size(), 2U);
}

TEST(Walk, OddEntriesAreReportedAndStopNothing) {
  const TestFolder vault;
  vault.write("ok.md");
  vault.write("sub/in.md");
  ASSERT_EQ(::mkfifo((vault / "pipe.md").c_str(), 0600), 0);
  std::filesystem::create_directory_symlink(vault.path(), vault / "sub/loop");
  std::filesystem::create_symlink("nowhere", vault / "dangling.md");
  std::filesystem::create_symlink("self.md", vault / "self.md");
  vault.write("bad\xFF.md");
  const auto found = walked(vault.path());
  EXPECT_EQ(found.at("ok.md"), "");
  EXPECT_EQ(found.at("sub/in.md"), "");
  EXPECT_EQ(found.at("pipe.md"), "named pipe");
  EXPECT_EQ(found.at("sub/loop"), "symbolic link loop");
  EXPECT_EQ(found.at("dangling.md"), "symbolic link to nothing");
  EXPECT_EQ(found.at("self.md"), "symbolic link loop");
  EXPECT_EQ(found.at("bad\xFF.md"), "name is not UTF-8");
}

TEST(Walk, LinkedFoldersAreReadOnceUnderTheirRealPath) {
  const TestFolder vault;
  const TestFolder outside;
  outside.write("far.md");
  vault.write("real/note.md");
  std::filesystem::create_directory_symlink(vault / "real", vault / "a-link");
  std::filesystem::create_directory_symlink(outside.path(), vault / "out");
  std::filesystem::create_symlink(outside / "far.md", vault / "one.md");
  const auto found = walked(vault.path());
  EXPECT_EQ(found.at("real/note.md"), "");
  EXPECT_EQ(found.at("out/far.md"), "");
  EXPECT_EQ(found.at("one.md"), "");
  EXPECT_EQ(found.at("a-link"), "symbolic link loop");
}

TEST(Walk, DepthAndNumberHaveLimits) {
  const TestFolder vault;
  vault.write("1/2/3/deep.md");
  EXPECT_EQ(walked(vault.path(), {.max_depth = 2}).at("1/2/3"), "path deeper than 2 folders");
  const Status many =
      walk(vault.path(), IgnoreRules(), {.max_entries = 2}, CancelToken(), [](const WalkEntry&) {});
  ASSERT_FALSE(many.has_value());
  EXPECT_EQ(many.error().code, ErrorCode::kResourceExhausted);
}

TEST(Walk, UnreadableFolderIsReported) {
  if (::geteuid() == 0) GTEST_SKIP() << "root reads every folder";
  const TestFolder vault;
  vault.write("closed/x.md");
  std::filesystem::permissions(vault / "closed", std::filesystem::perms::none);
  EXPECT_THAT(walked(vault.path()).at("closed"), HasSubstr("unreadable folder"));
  std::filesystem::permissions(vault / "closed", std::filesystem::perms::owner_all);
}

TEST(Walk, MissingRootAndCancelAreErrors) {
  const Status missing =
      walk("/nonexistent/vault", IgnoreRules(), {}, CancelToken(), [](const WalkEntry&) {});
  ASSERT_FALSE(missing.has_value());
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  const TestFolder vault;
  vault.write("a.md");
  const CancelToken cancel;
  cancel.cancel();
  const Status stopped = walk(vault.path(), IgnoreRules(), {}, cancel, [](const WalkEntry&) {});
  ASSERT_FALSE(stopped.has_value());
  EXPECT_EQ(stopped.error().code, ErrorCode::kCancelled);
}

TEST(Fingerprint, ChangesWithTheFileAndIsGoneWithIt) {
  const TestFolder vault;
  vault.write("a.md", "one");
  const auto before = fingerprint(vault / "a.md");
  ASSERT_TRUE(before.has_value());
  EXPECT_EQ(before, fingerprint(vault / "a.md"));
  vault.write("a.md", "longer");
  EXPECT_NE(before, fingerprint(vault / "a.md"));
  std::filesystem::remove(vault / "a.md");
  EXPECT_FALSE(fingerprint(vault / "a.md").has_value());
  EXPECT_FALSE(fingerprint(vault.path()).has_value());
}

TEST(IgnoreRules, KnapignoreFollowsGitignore) {
  const TestFolder vault;
  vault.write(".knapignore",
              "# "
              "comment\n*.tmp\n!keep.tmp\n/root-only.md\nTemplates/\nlogs/**/old.md\n**/cache\ndoc/"
              "*.txt\n[ab]?.md\n\\#literal\r\n");
  const IgnoreRules rules = IgnoreRules::load(vault.path());
  EXPECT_THAT(rules.warnings(), IsEmpty());
  EXPECT_EQ(rules.ignored("x/a.tmp", Kind::kFile), ".knapignore line 2");
  EXPECT_FALSE(rules.ignored("x/keep.tmp", Kind::kFile).has_value());
  EXPECT_TRUE(rules.ignored("root-only.md", Kind::kFile).has_value());
  EXPECT_FALSE(rules.ignored("x/root-only.md", Kind::kFile).has_value());
  EXPECT_EQ(rules.ignored("x/Templates", Kind::kFolder), ".knapignore line 5");
  EXPECT_EQ(rules.ignored("x/Templates/n.md", Kind::kFile), ".knapignore line 5");
  EXPECT_FALSE(rules.ignored("Templates", Kind::kFile).has_value());
  for (const char* const path : {"logs/old.md", "logs/a/old.md", "logs/a/b/old.md", "cache",
                                 "x/y/cache", "doc/a.txt", "a1.md", "#literal"}) {
    EXPECT_TRUE(rules.ignored(path, Kind::kFile).has_value()) << path;
  }
  for (const char* const path : {"logs/older.md", "doc/x/a.txt", "c1.md", "a12.md"})
    EXPECT_FALSE(rules.ignored(path, Kind::kFile).has_value()) << path;
}

TEST(IgnoreRules, ObsidiansExcludedFilesArePrefixesAndExpressions) {
  const TestFolder vault;
  vault.write(".obsidian/app.json",
              R"({"userIgnoreFilters": ["Archive/", "/^drafts?\\/.*\\.md$/", "/(/", 5]})");
  const IgnoreRules rules = IgnoreRules::load(vault.path());
  EXPECT_THAT(rules.ignored("Archive/x.md", Kind::kFile).value_or(""), HasSubstr("excluded"));
  EXPECT_TRUE(rules.ignored("Archive", Kind::kFolder).has_value());
  EXPECT_TRUE(rules.ignored("drafts/a.md", Kind::kFile).has_value());
  EXPECT_FALSE(rules.ignored("my/drafts/a.md", Kind::kFile).has_value());
  EXPECT_THAT(rules.warnings(), ElementsAre(HasSubstr("regular expression")));
}

TEST(IgnoreRules, OddRuleFilesHideNothing) {
  const TestFolder vault;
  vault.write(".obsidian/app.json", "{no json");
  std::filesystem::create_directory(vault / ".knapignore");
  const IgnoreRules rules = IgnoreRules::load(vault.path());
  EXPECT_FALSE(rules.ignored("a.md", Kind::kFile).has_value());
  EXPECT_EQ(rules.warnings().size(), 2U);
  EXPECT_EQ(rules.ignored(".trash/x.md", Kind::kFile), "Obsidian's trash");
}

TEST(IgnorePatterns, HostilePatternsTakeNoTime) {
  std::string stars;
  for (int i = 0; i < 300; ++i) stars += "*a";
  EXPECT_FALSE(IgnorePatterns::glob(stars, std::string(2'000, 'a') + "b"));
  EXPECT_TRUE(IgnorePatterns::glob("**/*.md", "a.md"));
  EXPECT_TRUE(IgnorePatterns::glob("**/*.md", "x/y/a.md"));
  EXPECT_FALSE(IgnorePatterns::glob("**/foo", "xfoo"));
  EXPECT_TRUE(IgnorePatterns::glob("a/**", "a/b/c"));
  EXPECT_TRUE(IgnorePatterns::glob("[", "["));
  EXPECT_TRUE(IgnorePatterns::glob("[!x]b", "ab"));
}

}  // namespace
}  // namespace knap::vault
