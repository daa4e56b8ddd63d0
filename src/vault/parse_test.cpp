#include "knap/vault/parse.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test_notes.hpp"

namespace knap::vault {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

TEST(FileType, FollowsExtensionWhateverItsCase) {
  EXPECT_EQ(file_type("a/b.md"), FileType::kMarkdown);
  EXPECT_EQ(file_type("a/B.MD"), FileType::kMarkdown);
  EXPECT_EQ(file_type("x.excalidraw.md"), FileType::kExcalidraw);
  EXPECT_EQ(file_type("x.PDF"), FileType::kPdf);
  EXPECT_EQ(file_type("folder.md/noextension"), FileType::kOther);
  EXPECT_EQ(to_string(FileType::kBase), "base");
}

TEST(Parse, EmptyFileIsANoteWithoutPassages) {
  const Note note = parsed("", "Folder/My note.md");
  EXPECT_EQ(note.title, "My note");
  EXPECT_THAT(note.passages, IsEmpty());
  EXPECT_THAT(note.warnings, IsEmpty());
}

TEST(Parse, AttachmentHasNameAndTypeOnly) {
  const Note note = parsed(std::string_view("\x89PNG\0\0", 6), "img/a.b.png");
  EXPECT_EQ(note.type, FileType::kImage);
  EXPECT_EQ(note.name, "a.b");
  EXPECT_THAT(note.passages, IsEmpty());
}

TEST(Parse, BinaryUnderTextNameIsUnsupportedWithReason) {
  const auto nul = parse("a.md", std::string_view("PK\x03\x04\0\0", 6));
  ASSERT_FALSE(nul.has_value());
  EXPECT_EQ(nul.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(nul.error().message, HasSubstr("NUL"));
  const auto utf16 = parse("a.md", std::string_view("\xFF\xFEh\0", 4));
  ASSERT_FALSE(utf16.has_value());
  EXPECT_THAT(utf16.error().message, HasSubstr("UTF-16"));
}

TEST(Parse, BomAndCrlfKeepLineNumbers) {
  const Note note =
      parsed("\xEF\xBB\xBF---\r\ntags: x\r\n---\r\n# Title\r\n\r\nText one\r\nand two\r\n");
  EXPECT_THAT(tag_names(note), ElementsAre("x"));
  ASSERT_EQ(note.passages.size(), 1U);
  EXPECT_EQ(note.passages[0].lines, (LineRange{4, 7}));
  EXPECT_EQ(note.passages[0].text, "# Title\n\nText one\nand two");
  EXPECT_EQ(note.passages[0].plain, "Text one\nand two");
}

TEST(Parse, BrokenUtf8IsRepairedWithWarning) {
  const Note note = parsed("good\nbad \xC3( end\nlast");
  ASSERT_EQ(note.passages.size(), 1U);
  EXPECT_EQ(note.passages[0].text, "good\nbad \xEF\xBF\xBD( end\nlast");
  EXPECT_THAT(note.warnings, ElementsAre(HasSubstr("UTF-8")));
}

TEST(Parse, TitleFollowsPropertyThenOpeningHeadingThenName) {
  EXPECT_EQ(parsed("---\ntitle: From property\n---\n# Heading\n").title, "From property");
  EXPECT_EQ(parsed("%% c\n%%\n# *Heading* [[x|y]]\ntext").title, "Heading y");
  EXPECT_EQ(parsed("text\n# Heading\n").title, "Note");
}

TEST(Parse, HeadingPathAndLinesReachEveryPassage) {
  const Note note = parsed("# A\n## B\ntext b\n\n## C\n### D ###\n\ntext d\n# E\n");
  ASSERT_EQ(note.passages.size(), 3U);
  EXPECT_THAT(note.passages[0].headings, ElementsAre("A", "B"));
  EXPECT_EQ(note.passages[0].lines, (LineRange{1, 3}));
  EXPECT_THAT(note.passages[1].headings, ElementsAre("A", "C", "D"));
  EXPECT_EQ(note.passages[1].lines, (LineRange{5, 8}));
  EXPECT_THAT(note.passages[2].headings, ElementsAre("E"));
  EXPECT_EQ(note.passages[2].plain, "E");
  EXPECT_EQ(note.headings.size(), 5U);
  EXPECT_EQ(note.headings[3].text, "D");
  EXPECT_EQ(note.headings[3].line, 6U);
}

TEST(Parse, SetextHeadingIsAHeading) {
  const Note note = parsed("Big\n===\ntext\n\nSmall\n---\nmore");
  ASSERT_EQ(note.headings.size(), 2U);
  EXPECT_EQ(note.headings[0].text, "Big");
  EXPECT_EQ(note.headings[1].level, 2);
  EXPECT_EQ(note.passages[1].lines, (LineRange{5, 7}));
}

TEST(Parse, TagsAreFoundWhereObsidianFindsThem) {
  const Note note = parsed(
      "#start text #a/b/c, (#paren) #日本語 #ünï #1984 #y1984 x#no #-dash\n"
      "`#code` $#math$ %%#comment%% https://x.org/#frag [t](a.md#head) [[n#head]] \\#escaped\n"
      "```\n#fenced\n```\n\n    #indented\n\n<!-- #html -->\n");
  EXPECT_THAT(tag_names(note),
              ElementsAre("start", "a/b/c", "paren", "日本語", "ünï", "y1984", "-dash"));
}

TEST(Parse, TagsDifferingInCaseAreOne) {
  EXPECT_THAT(tag_names(parsed("---\ntags: [Über]\n---\n#über #ÜBER #x")),
              ElementsAre("Über", "x"));
}

TEST(Parse, LinksOfEveryKindAreRead) {
  const Note note = parsed(
      "[[Note]] [[Dir/Note#H1#H2|alias]] [[#Own]] [[N#^blk]] ![[pic.png|300]] ![[Note#Sec]]\n"
      "[text](My%20Note.md#Head) ![alt](<my pic.png>) [out](https://x.org) [r][ref]\n\n[ref]: "
      "Target.md\n");
  ASSERT_EQ(note.links.size(), 9U);
  EXPECT_THAT(link_targets(note), ElementsAre("Note", "Dir/Note", "", "N", "pic.png", "Note",
                                              "My Note.md", "my pic.png", "Target.md"));
  EXPECT_THAT(note.links[1].heading, ElementsAre("H1", "H2"));
  EXPECT_EQ(note.links[1].alias, "alias");
  EXPECT_EQ(note.links[3].block, "blk");
  EXPECT_EQ(note.links[4].kind, Link::Kind::kEmbed);
  EXPECT_EQ(note.links[4].alias, "");
  EXPECT_EQ(note.links[6].kind, Link::Kind::kMarkdown);
  EXPECT_THAT(note.links[6].heading, ElementsAre("Head"));
  EXPECT_EQ(note.links[7].kind, Link::Kind::kMarkdownEmbed);
  EXPECT_EQ(note.links[8].line, 2U);
  EXPECT_EQ(note.passages[0].plain, "Note alias Own N pic.png Note > Sec\ntext alt out r");
}

TEST(Parse, PlainTextIsWhatAReaderSees) {
  const Note note = parsed(
      "**bold** *it* ***both*** __u__ ~~s~~ ==hi== `co*de` $x_1$ &amp; &#x41; \\*lit\\* 2 * 3 "
      "snake_case_name\n"
      "a<b>b</b><br>c [^1] ^[inline note] %%gone%% <https://auto.link> text ^blk-1");
  EXPECT_EQ(note.passages[0].plain,
            "bold it both u s hi co*de x_1 & A *lit* 2 * 3 snake_case_name\n"
            "ab c  inline note  https://auto.link text");
  EXPECT_EQ(note.passages[0].block, "blk-1");
  EXPECT_EQ(note.blocks.at("blk-1"), 2U);
}

TEST(Parse, CommentsOverSeveralLinesAreHidden) {
  const Note note = parsed(
      "before\n\n%%\nhidden [[no]] #no\n- [ ] no\n%%\nafter %%x\ny%% end\n\n%% never closed\n");
  EXPECT_THAT(note.links, IsEmpty());
  EXPECT_THAT(note.tags, IsEmpty());
  EXPECT_THAT(note.tasks, IsEmpty());
  EXPECT_EQ(note.passages[0].plain, "before\nafter\nend\n%% never closed");
}

TEST(Parse, TableCellsAreJoinedAndLinksInThemKept) {
  const Note note = parsed("| A | B |\n|:--|--:|\n| [[x\\|y]] | `a` |\n| z | |\n");
  ASSERT_EQ(note.passages.size(), 1U);
  EXPECT_EQ(note.passages[0].kind, Passage::Kind::kTable);
  EXPECT_EQ(note.passages[0].plain, "A | B\ny | a\nz |");
  EXPECT_THAT(link_targets(note), ElementsAre("x"));
}

TEST(Parse, CalloutKeepsItsTitleAndContent) {
  const Note note = parsed(
      "> [!tip]+ My **title**\n> text\n> - [ ] task\nlazy\n> ```\n> #code\n> ```\n\n> [!info]\n> "
      "x");
  ASSERT_EQ(note.passages.size(), 1U);
  EXPECT_EQ(note.passages[0].kind, Passage::Kind::kCallout);
  EXPECT_EQ(note.passages[0].plain, "My title\ntext\ntask\nlazy\n#code\ninfo\nx");
  EXPECT_EQ(note.tasks.size(), 1U);
  EXPECT_THAT(note.tags, IsEmpty());
}

TEST(Parse, TasksCarryStateAndDatesOfBothNotations) {
  const Note note = parsed(
      "- [ ] Pay **rent** 🔁 every month on the 1st ⏳ 2026-01-02 📅 2026-01-03 ⏫ #home ^t1\n"
      "\t- [/] half [due:: 2026-02-01] (scheduled:: 2026-01-31) rest\n"
      "* [X] done ➕ 2025-01-01 🛫 2025-01-02 ✅ 2025-01-03\n1. [-] gone ❌ 2025-05-05\n- [>] "
      "forwarded\n- [] none\n");
  ASSERT_EQ(note.tasks.size(), 5U);
  EXPECT_EQ(note.tasks[0].text, "Pay rent #home");
  EXPECT_EQ(note.tasks[0].recurrence, "every month on the 1st");
  EXPECT_EQ(note.tasks[0].due, (DateTime{.year = 2026, .month = 1, .day = 3}));
  EXPECT_EQ(note.tasks[0].scheduled, (DateTime{.year = 2026, .month = 1, .day = 2}));
  EXPECT_EQ(note.tasks[1].state, U'/');
  EXPECT_EQ(note.tasks[1].due, (DateTime{.year = 2026, .month = 2, .day = 1}));
  EXPECT_EQ(note.tasks[1].scheduled, (DateTime{.year = 2026, .month = 1, .day = 31}));
  EXPECT_EQ(note.tasks[1].text, "half rest");
  EXPECT_EQ(note.tasks[2].done, (DateTime{.year = 2025, .month = 1, .day = 3}));
  EXPECT_EQ(note.tasks[3].cancelled, (DateTime{.year = 2025, .month = 5, .day = 5}));
  EXPECT_EQ(note.tasks[3].line, 4U);
  EXPECT_EQ(note.tasks[4].state, U'>');
}

TEST(Parse, CodeInListsStaysCodeAndTheListWhole) {
  const Note note = parsed(
      "- one\n  ```sh\n  # no heading [[no]]\n\n  run\n  ```\n\n  para\n- two\nlazy\n\nafter");
  EXPECT_THAT(note.links, IsEmpty());
  EXPECT_THAT(note.headings, IsEmpty());
  EXPECT_THAT(note.passages[0].plain, HasSubstr("# no heading [[no]]\n\nrun"));
}

TEST(Parse, DailyNoteIsKnownByItsName) {
  EXPECT_EQ(parsed("", "d/2026-02-28.md").daily, (DateTime{.year = 2026, .month = 2, .day = 28}));
  EXPECT_EQ(parsed("", "2026-02-28 Saturday.md").daily,
            (DateTime{.year = 2026, .month = 2, .day = 28}));
  EXPECT_FALSE(parsed("", "2026-02-30.md").daily.has_value());
  EXPECT_FALSE(parsed("", "2026-02-281.md").daily.has_value());
}

TEST(Parse, LanguageIsGuessedByScriptAndStopWords) {
  EXPECT_EQ(
      parsed("Das ist ein Text, der nicht mit Englisch zu verwechseln ist und auch nicht kurz.")
          .language,
      "de");
  EXPECT_EQ(parsed("This is the text that you can read in English, and it is not German.").language,
            "en");
  EXPECT_EQ(parsed("Это предложение написано по-русски, чтобы проверить язык.").language, "ru");
  EXPECT_EQ(parsed("这是一个中文句子，用来检查语言。").language, "zh");
  EXPECT_EQ(parsed("これは日本語の文章です。言語を調べます。").language, "ja");
  EXPECT_EQ(parsed("x").language, "");
  EXPECT_EQ(parsed("---\nlang: fr-CA\n---\nThis is the text that you can read.").language, "fr");
}

TEST(Parse, ExcalidrawGivesItsTextAndNotItsDrawing) {
  const Note note = parsed(
      "---\nexcalidraw-plugin: parsed\ntags: [excalidraw]\n---\n==\xE2\x9A\xA0  Switch to "
      "EXCALIDRAW VIEW in the MORE OPTIONS menu==\n"
      "My own remark\n\n%%\n# Excalidraw Data\n## Text Elements\nHello box [[Linked]] "
      "^abc\n\nSecond ^def\n\n%%\n## Drawing\n"
      "```compressed-json\nN4KAkARALgngDgUwgLgAQQQDwMYEMA2AlgCYBOuA7hADTgQBuCpAzoQ\n```\n%%",
      "Draw.md");
  EXPECT_EQ(note.type, FileType::kExcalidraw);
  ASSERT_EQ(note.passages.size(), 2U - 1U);
  EXPECT_EQ(note.passages[0].plain, "My own remark\nHello box Linked\nSecond");
  EXPECT_EQ(note.passages[0].lines.first, 6U);
  EXPECT_THAT(link_targets(note), ElementsAre("Linked"));
}

TEST(Parse, ExcalidrawJsonGivesTextElements) {
  const Note note = parsed(
      "{\"type\":\"excalidraw\",\n\"elements\":[\n{\"type\":\"rectangle\"},\n{\"type\":\"text\","
      "\n\"text\":\"box words\"}]}",
      "a.excalidraw");
  ASSERT_EQ(note.passages.size(), 1U);
  EXPECT_EQ(note.passages[0].plain, "box words");
  EXPECT_EQ(note.passages[0].lines, (LineRange{5, 5}));
}

TEST(Parse, BaseFileIsOnePassageOfItsText) {
  const Note note = parsed("filters:\n  and:\n    - file.hasTag(\"x\")\n", "T.base");
  ASSERT_EQ(note.passages.size(), 1U);
  EXPECT_EQ(note.passages[0].kind, Passage::Kind::kCode);
  EXPECT_EQ(note.passages[0].lines, (LineRange{1, 3}));
}

TEST(Parse, PassagesBeyondTheLimitAreLeftOutWithWarning) {
  std::string text;
  for (int i = 0; i < 30; ++i) text += "# H\ntext\n";
  const Note note = parsed(text, "Note.md", {.max_passages = 10});
  EXPECT_EQ(note.passages.size(), 10U);
  EXPECT_THAT(note.warnings, ElementsAre(HasSubstr("10 passages")));
}

}  // namespace
}  // namespace knap::vault
