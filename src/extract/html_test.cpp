#include <gtest/gtest.h>

#include <string>

#include "html_address.hpp"
#include "html_charset.hpp"
#include "html_markdown.hpp"
#include "html_text.hpp"
#include "html_tree.hpp"
#include "markdown_line.hpp"

namespace knap::extract::html {
namespace {

std::string repeated(std::string_view text, std::size_t times) {
  std::string out;
  for (std::size_t i = 0; i < times; ++i) out += text;
  return out;
}

std::string markdown_of(const std::string& html) {
  const auto tree = Tree::parse(html);
  return tree ? write_markdown(*tree, tree->body(), "https://example.org/dir/page").markdown
              : "error";
}

TEST(HtmlTree, FlattensWhatIsNestedDeeperThanTheLimit) {
  const auto tree = Tree::parse(repeated("<div>", 20'000) + "deep");
  ASSERT_TRUE(tree);
  std::uint32_t depth = 0;
  for (Id id = tree->body(); tree->first_element(id) != kNone; id = tree->first_element(id))
    ++depth;
  EXPECT_LE(depth, kDepthMax);
  EXPECT_EQ(text_of(*tree, tree->root()), "deep");
}

TEST(HtmlTree, RefusesTooManyNodesAndTooManyBytes) {
  const auto many = Tree::parse(repeated("<p>a", kNodesMax / 2 + 1));
  ASSERT_FALSE(many);
  EXPECT_EQ(many.error().code, ErrorCode::kResourceExhausted);
  const auto large = Tree::parse(std::string(kHtmlBytesMax + 1, ' '));
  ASSERT_FALSE(large);
  EXPECT_EQ(large.error().code, ErrorCode::kResourceExhausted);
}

TEST(HtmlTree, StopsAtItsMemoryWhenFormattingIsOpenedAgainAndAgain) {
  std::string html = "<p>";
  for (int i = 0; i < 3000; ++i) html += "<b id=a" + std::to_string(i) + ">";
  html += repeated("<p>x", 3000);
  const auto tree = Tree::parse(html);
  ASSERT_FALSE(tree);
  EXPECT_EQ(tree.error().code, ErrorCode::kResourceExhausted);
}

TEST(HtmlTree, MovesAndRemoves) {
  auto tree = Tree::parse("<body><p>a</p><div>b</div><p>c</p>");
  ASSERT_TRUE(tree);
  const Id first = tree->first_element(tree->body());
  const Id box = tree->next_element(first);
  tree->append(box, first);
  EXPECT_EQ(text_of(*tree, tree->body()), "bac");
  tree->remove(box);
  EXPECT_EQ(text_of(*tree, tree->body()), "c");
}

TEST(HtmlText, MeasuresLinksAndCommas) {
  const auto tree = Tree::parse("<body>one,  two <a href='/x'>three</a> four");
  ASSERT_TRUE(tree);
  const Measure measured = measure(*tree, tree->body());
  EXPECT_EQ(measured.characters, std::string("one, two three four").size());
  EXPECT_EQ(measured.commas, 1U);
  EXPECT_DOUBLE_EQ(measured.link_characters, 5);
}

TEST(HtmlCharset, FollowsMarkServerPageAndBytes) {
  EXPECT_EQ(to_utf8("\xEF\xBB\xBF\xC3\xA4", ""), "ä");
  EXPECT_EQ(to_utf8("\xE4", "iso-8859-1"), "ä");
  EXPECT_EQ(to_utf8("<meta charset=windows-1251>\xE4 ", ""), "<meta charset=windows-1251>д ");
  EXPECT_EQ(to_utf8("\x80", ""), "€");
  EXPECT_EQ(to_utf8("\xC3\xA4", "no-such-thing"), "ä");
  EXPECT_EQ(to_utf8("\x82\xA0", "shift_jis"), "あ");
  EXPECT_EQ(to_utf8("a\xFF", "utf-8"), "a\uFFFD");
}

TEST(HtmlAddress, IsAbsoluteAndOfTheWebOrEmpty) {
  EXPECT_EQ(absolute_address("https://a.org/b/c", "../d e"), "https://a.org/d%20e");
  EXPECT_EQ(absolute_address("https://a.org/", "//b.org/(x)"), "https://b.org/%28x%29");
  EXPECT_EQ(absolute_address("", "mailto:a@b.org"), "mailto:a@b.org");
  for (const char* bad : {"javascript:alert(1)", "data:text/html,x", "file:///etc/passwd",
                          "obsidian://open?vault=x", "http://", "", "JaVaScRiPt:x"})
    EXPECT_EQ(absolute_address("https://a.org/", bad), "") << bad;
  EXPECT_EQ(absolute_address("", "relative"), "");
}

TEST(HtmlMarkdown, WritesBlocks) {
  EXPECT_EQ(markdown_of("<h1>Top</h1><p>One <b>two</b> <i>three</i>.</p><hr><h3>Sub</h3>"),
            "## Top\n\nOne **two** *three*.\n\n***\n\n### Sub\n");
  EXPECT_EQ(markdown_of("<ul><li>a<li>b<ol start=3><li>c<li>d</ol></ul>"),
            "- a\n- b\n  3. c\n  4. d\n");
  EXPECT_EQ(markdown_of("<blockquote><p>a<p>b</blockquote>"), "> a\n>\n> b\n");
  EXPECT_EQ(markdown_of("<pre><code class='language-cpp'>int a;\n  b</code></pre>"),
            "```cpp\nint a;\n  b\n```\n");
  EXPECT_EQ(markdown_of("<table><tr><th>a<th>b<tr><td>1|2<td>3</table>"),
            "| a | b |\n| --- | --- |\n| 1\\|2 | 3 |\n");
  EXPECT_EQ(markdown_of("a<br>b<br><br>c"), "a\\\nb\n\nc\n");
}

TEST(HtmlMarkdown, LinksPicturesInsteadOfShowingThem) {
  EXPECT_EQ(markdown_of("<p><a href='../x'>go</a> <img src=i.png alt='An owl'></p>"),
            "[go](https://example.org/x) [Image: An owl](https://example.org/dir/i.png)\n");
  EXPECT_EQ(markdown_of("<p>a<img src=t.gif width=1 height=1></p>"), "a\n");
  EXPECT_EQ(markdown_of("<p><a href='javascript:x()'>go</a></p>"), "go\n");
}

TEST(HtmlMarkdown, LeavesNothingThatObsidianOrItsPluginsWouldActOn) {
  EXPECT_EQ(
      markdown_of("<p>#tag and [[Note]] and %%hidden%% and ==mark== and $x$</p>"),
      "\\#tag and \\[\\[Note\\]\\] and \\%\\%hidden\\%\\% and \\=\\=mark\\=\\= and \\$x\\$\n");
  EXPECT_EQ(markdown_of("<p>due:: today ^block</p>"), "due:\\: today \\^block\n");
  EXPECT_EQ(markdown_of("<p>&lt;% tp.system() %&gt; &lt;script&gt;</p>"),
            "\\<% tp.system() %> \\<script>\n");
  EXPECT_EQ(markdown_of("<pre><code class=language-dataviewjs>&lt;% x %></code></pre>"),
            "```\n< % x %>\n```\n");
  EXPECT_EQ(markdown_of("<p><code>= this.file</code> <code>$= dv.x</code></p>"),
            "= this.file \\$= dv.x\n");
  EXPECT_EQ(markdown_of("<p>- no list</p><p>1. none</p><p># none</p><p>--- x</p>"),
            "\\- no list\n\n1\\. none\n\n\\# none\n\n\\--- x\n");
}

TEST(MarkdownLine, DropsMarksThatWouldShow) {
  MarkdownLine line;
  line.add("\"a\"", MarkdownLine::kBold, "");
  line.add("b", MarkdownLine::kPlain, "");
  EXPECT_EQ(line.marked(MarkdownLine::Place::kBlock), "\"a\"b");
  line.clear();
  line.add("snake_case _x_", MarkdownLine::kPlain, "");
  EXPECT_EQ(line.marked(MarkdownLine::Place::kBlock), "snake_case \\_x\\_");
}

}  // namespace
}  // namespace knap::extract::html
