#include "knap/vault/links.hpp"

#include <gtest/gtest.h>

namespace knap::vault {
namespace {

LinkResolver resolver() {
  LinkResolver links;
  for (const char* const path : {"Home.md", "a/Note.md", "b/c/Note.md", "b/Other.md", "img/Pic.PNG",
                                 "Version 1.2.md", "b/c/Deep.md", "Élan.md"})
    links.add(path, {});
  links.add("People/Ada.md", {"Ada Lovelace", "Countess"});
  return links;
}

TEST(LinkResolver, FindsNamesAnywhereWhateverTheCase) {
  const LinkResolver links = resolver();
  EXPECT_EQ(links.resolve("other", "Home.md"), "b/Other.md");
  EXPECT_EQ(links.resolve("Other.md", "Home.md"), "b/Other.md");
  EXPECT_EQ(links.resolve("pic.png", "Home.md"), "img/Pic.PNG");
  EXPECT_EQ(links.resolve("Version 1.2", "Home.md"), "Version 1.2.md");
  EXPECT_EQ(links.resolve("éLAN", "Home.md"), "Élan.md");
  EXPECT_EQ(links.resolve("E\xCC\x81lan", "Home.md"), "Élan.md");
  EXPECT_EQ(links.resolve("", "a/Note.md"), "a/Note.md");
  EXPECT_FALSE(links.resolve("Missing", "Home.md").has_value());
}

TEST(LinkResolver, PrefersOwnFolderThenShortestPath) {
  const LinkResolver links = resolver();
  EXPECT_EQ(links.resolve("Note", "Home.md"), "a/Note.md");
  EXPECT_EQ(links.resolve("Note", "b/c/Deep.md"), "b/c/Note.md");
}

TEST(LinkResolver, FollowsFoldersAndRelativePaths) {
  const LinkResolver links = resolver();
  EXPECT_EQ(links.resolve("c/Note", "Home.md"), "b/c/Note.md");
  EXPECT_EQ(links.resolve("b/c/Note", "a/Note.md"), "b/c/Note.md");
  EXPECT_EQ(links.resolve("/a/Note", "b/c/Deep.md"), "a/Note.md");
  EXPECT_EQ(links.resolve("./Deep", "b/c/Note.md"), "b/c/Deep.md");
  EXPECT_EQ(links.resolve("../Other.md", "b/c/Note.md"), "b/Other.md");
  EXPECT_FALSE(links.resolve("../../../../x", "b/c/Note.md").has_value());
  EXPECT_FALSE(links.resolve("./Other", "Home.md").has_value());
}

TEST(LinkResolver, KnowsAliasesAfterNames) {
  LinkResolver links = resolver();
  EXPECT_EQ(links.resolve("ada lovelace", "Home.md"), "People/Ada.md");
  links.add("Countess.md", {});
  EXPECT_EQ(links.resolve("Countess", "Home.md"), "Countess.md");
}

TEST(LinkResolver, RemovedAndChangedFilesAreForgotten) {
  LinkResolver links = resolver();
  links.remove("a/Note.md");
  EXPECT_EQ(links.resolve("Note", "Home.md"), "b/c/Note.md");
  links.remove("b/c/Note.md");
  links.remove("b/c/Note.md");
  EXPECT_FALSE(links.resolve("Note", "Home.md").has_value());
  links.add("People/Ada.md", {"Augusta"});
  EXPECT_FALSE(links.resolve("Ada Lovelace", "Home.md").has_value());
  EXPECT_EQ(links.resolve("Augusta", "Home.md"), "People/Ada.md");
}

TEST(LinkResolver, KeepsFilesThatDifferInCaseOnly) {
  LinkResolver links;
  links.add("x/note.md", {});
  links.add("x/Note.md", {});
  EXPECT_EQ(links.resolve("x/note", "Home.md"), "x/note.md");
  EXPECT_EQ(links.resolve("x/Note", "Home.md"), "x/Note.md");
  links.remove("x/Note.md");
  EXPECT_EQ(links.resolve("Note", "Home.md"), "x/note.md");
}

}  // namespace
}  // namespace knap::vault
