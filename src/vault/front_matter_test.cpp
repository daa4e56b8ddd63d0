#include "front_matter.hpp"

#include <array>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test_notes.hpp"

namespace knap::vault {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Scalar = Property::Scalar;

const Property* find(const FrontMatter& front_matter, std::string_view name) {
  for (const Property& property : front_matter.properties)
    if (property.name == name) return &property;
  return nullptr;
}

TEST(FrontMatter, ValuesHaveObsidiansTypes) {
  const FrontMatter read = read_front_matter(
      "n: 4.5\ni: -3\nyes: true\nday: 2026-01-05\nat: 2026-01-05T10:30:15\ntext: 1 apple\nquoted: "
      "\"12\"\nempty:\n"
      "list: [a, 2, true]\nblock:\n  - x: 1\n  - [p, q]\n  - plain\nmap:\n  k: v\n  m: [1, "
      "2]\nfolded: >\n  one\n  two\n",
      2, 64);
  ASSERT_EQ(read.error, "");
  EXPECT_EQ(find(read, "n")->values, (std::vector<Scalar>{4.5}));
  EXPECT_EQ(find(read, "i")->values, (std::vector<Scalar>{-3.0}));
  EXPECT_EQ(find(read, "yes")->values, (std::vector<Scalar>{true}));
  EXPECT_EQ(find(read, "day")->values,
            (std::vector<Scalar>{DateTime{.year = 2026, .month = 1, .day = 5}}));
  EXPECT_EQ(find(read, "at")->values, (std::vector<Scalar>{DateTime{.year = 2026,
                                                                    .month = 1,
                                                                    .day = 5,
                                                                    .hour = 10,
                                                                    .minute = 30,
                                                                    .second = 15,
                                                                    .has_time = true}}));
  EXPECT_EQ(find(read, "text")->values, (std::vector<Scalar>{std::string("1 apple")}));
  EXPECT_EQ(find(read, "quoted")->values, (std::vector<Scalar>{std::string("12")}));
  EXPECT_EQ(find(read, "empty")->values, (std::vector<Scalar>{std::monostate{}}));
  EXPECT_EQ(find(read, "list")->values, (std::vector<Scalar>{std::string("a"), 2.0, true}));
  EXPECT_TRUE(find(read, "list")->is_list);
  EXPECT_EQ(
      find(read, "block")->values,
      (std::vector<Scalar>{std::string("{x: 1}"), std::string("[p, q]"), std::string("plain")}));
  EXPECT_EQ(find(read, "map")->values, (std::vector<Scalar>{std::string("{k: v, m: [1, 2]}")}));
  EXPECT_EQ(find(read, "folded")->values, (std::vector<Scalar>{std::string("one two\n")}));
}

TEST(FrontMatter, SimpleReaderAgreesWithTheFullOne) {
  for (const std::string_view yaml :
       {"a: 1\nb: text with: colon\n", "a:\n- 1\n- two\n\n# comment\nb: 'x y'\n",
        "tags: [a, b/c, \"d e\"]\n", "a:\n  - x\n  - y\n",
        "key with space: v\nurl: https://x.org/a#b\n", "a: -5\nb: -x\nc: [ ]\nd: [a,]\n",
        "a: ~\nb: null\nc: yes\n", "tags: \n- \npublish: true\n", "a: x # comment\n",
        "a: \"es\\\"c\"\n", "a: [[Note]]\n", "a: b\n  c\n", "a: 2026-01-05 10:11\n"}) {
    FrontMatter simple;
    if (!read_simple_yaml(yaml, 2, simple)) continue;
    // A second name in flow style sends the text to the full reader.
    const FrontMatter full = read_front_matter(std::string(yaml) + "zz: {q: 1}\n", 2, 64);
    ASSERT_EQ(full.error, "") << yaml;
    ASSERT_EQ(simple.properties.size() + 1, full.properties.size()) << yaml;
    for (std::size_t i = 0; i < simple.properties.size(); ++i) {
      EXPECT_EQ(simple.properties[i].name, full.properties[i].name) << yaml;
      EXPECT_EQ(simple.properties[i].values, full.properties[i].values) << yaml;
      EXPECT_EQ(simple.properties[i].is_list, full.properties[i].is_list) << yaml;
      EXPECT_EQ(simple.lines[i], full.lines[i]) << yaml;
    }
  }
}

TEST(FrontMatter, TagsAndAliasesAreListsOrText) {
  EXPECT_THAT(tag_names(parsed("---\ntags: a, b/c d,#e 2024\n---\n")),
              ElementsAre("a", "b/c", "d", "e"));
  EXPECT_THAT(tag_names(parsed("---\ntag:\n  - x\n  - '#y'\n---\n")), ElementsAre("x", "y"));
  EXPECT_THAT(parsed("---\naliases: One, Two words\n---\n").aliases,
              ElementsAre("One", "Two words"));
  EXPECT_THAT(parsed("---\nalias: [\"A, b\", 2024]\n---\n").aliases, ElementsAre("A, b", "2024"));
  EXPECT_THAT(parsed("---\ncssclasses: wide\n---\n").tags, IsEmpty());
}

TEST(FrontMatter, LinksInPropertiesAreLinks) {
  const Note note = parsed("---\nup: \"[[Parent#H|p]]\"\nrelated:\n  - \"[[A]] and [[B]]\"\n---\n");
  EXPECT_THAT(link_targets(note), ElementsAre("Parent", "A", "B"));
  EXPECT_EQ(note.links[0].kind, Link::Kind::kFrontMatter);
  EXPECT_EQ(note.links[0].line, 2U);
}

TEST(FrontMatter, BrokenYamlIsReadAsTextWithTheLine) {
  const Note note = parsed("---\nok: 1\nbad: [unclosed\nword searchable\n---\nBody\n");
  ASSERT_EQ(note.warnings.size(), 1U);
  EXPECT_THAT(note.warnings[0], HasSubstr("not valid YAML"));
  ASSERT_EQ(note.passages.size(), 2U);
  EXPECT_THAT(note.passages[0].plain, HasSubstr("searchable"));
  EXPECT_EQ(note.passages[0].lines, (LineRange{2, 4}));
  EXPECT_EQ(note.passages[1].lines, (LineRange{6, 6}));
}

TEST(FrontMatter, UnclosedIsNoFrontMatter) {
  const Note note = parsed("---\ntags: x\n\ntext");
  EXPECT_THAT(note.tags, IsEmpty());
  EXPECT_THAT(note.properties, IsEmpty());
}

TEST(FrontMatter, BombsAreRefusedOrCostNothing) {
  EXPECT_THAT(read_front_matter("a: " + std::string(10'000, '['), 2, 64).error,
              HasSubstr("too deep"));
  std::string dashes = "a:\n";
  for (int i = 0; i < 5'000; ++i) dashes += "- ";
  EXPECT_THAT(read_front_matter(dashes, 2, 64).error, HasSubstr("too deep"));
  std::string laughs = "a: &a [x, x, x, x, x, x, x, x, x]\n";
  for (char c = 'b'; c < 'p'; ++c) {
    laughs += std::string(1, c) + ": &" + c + " [";
    for (int i = 0; i < 9; ++i)
      laughs += std::string(i > 0 ? ", *" : "*") + static_cast<char>(c - 1);
    laughs += "]\n";
  }
  EXPECT_EQ(read_front_matter(laughs, 2, 64).error, "");
  std::string many = "a: [";
  for (int i = 0; i < 30'000; ++i) many += "{}, ";
  EXPECT_THAT(read_front_matter(many + "x]\n", 2, 64).error, HasSubstr("more than"));
  EXPECT_THAT(read_front_matter("a: " + std::string(1U << 20, 'x'), 2, 64).error,
              HasSubstr("larger"));
}

TEST(FrontMatter, ScalarOrListAtTopIsAnErrorAndEmptyIsNone) {
  EXPECT_THAT(read_front_matter("- a\n- b\n", 2, 64).error, HasSubstr("not a list of properties"));
  EXPECT_THAT(read_front_matter("just words\n", 2, 64).error,
              HasSubstr("not a list of properties"));
  EXPECT_EQ(read_front_matter("\n# only a comment\n", 2, 64).error, "");
}

TEST(FrontMatter, YamlTestSuiteIsReadWithoutCrash) {
  const auto archive = shared_data("formats/yaml-test-suite/src.tar.xz");
  if (!std::filesystem::exists(archive)) GTEST_SKIP() << "no ../shared with the YAML test suite";
  // Each member is YAML that holds YAML; both levels are read.
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(
      ::popen(("tar -xJOf '" + archive.string() + "'").c_str(), "r"), ::pclose);
  ASSERT_NE(pipe, nullptr);
  std::string text;
  std::array<char, 65536> buffer{};
  for (std::size_t bytes = 0;
       (bytes = std::fread(buffer.data(), 1, buffer.size(), pipe.get())) > 0;)
    text.append(buffer.data(), bytes);
  ASSERT_GT(text.size(), 100'000U);
  std::size_t cases = 0;
  for (std::size_t at = text.find("yaml: |"); at != std::string::npos; ++cases) {
    const std::size_t begin = text.find('\n', at) + 1;
    const std::size_t next = text.find("yaml: |", begin);
    std::string yaml;
    std::istringstream lines(text.substr(begin, next - begin));
    for (std::string line; std::getline(lines, line) && (line.empty() || line.starts_with("    "));)
      yaml += (line.size() > 4 ? line.substr(4) : "") + "\n";
    (void)read_front_matter(yaml, 2, 64);
    for (const std::string_view mark : {"———»", "——»", "—»", "»"}) {
      for (std::size_t found = 0; (found = yaml.find(mark, found)) != std::string::npos;)
        yaml.replace(found, mark.size(), "\t");
    }
    (void)read_front_matter(yaml, 2, 64);
    at = next;
  }
  EXPECT_GT(cases, 300U);
}

TEST(FrontMatter, TemplatesAsNamesAndAnchorsDoNotBreak) {
  const FrontMatter read =
      read_front_matter("{{title}}: x\nbase: &b word\nsame: *b\nlist: &l [1]\nother: *l\n", 2, 64);
  EXPECT_EQ(read.error, "");
  EXPECT_EQ(find(read, "same")->values, (std::vector<Scalar>{std::string("word")}));
  EXPECT_EQ(find(read, "base")->values, (std::vector<Scalar>{std::string("word")}));
}

}  // namespace
}  // namespace knap::vault
