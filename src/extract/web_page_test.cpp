#include "knap/extract/web_page.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "knap/vault/parse.hpp"

namespace knap::extract {
namespace {

const std::string kParagraph =
    "The river rises in the hills, runs through three valleys, and reaches the sea after a "
    "hundred miles; on its banks grow willows, alders, and, where it is quiet, reeds. ";

std::string page_with(const std::string& head, const std::string& body) {
  return "<!doctype html><html lang='en_GB'><head>" + head + "</head><body>" + body +
         "</body></html>";
}

std::string article() {
  std::string out =
      "<div id=nav class=menu><ul><li><a href=/>Home</a><li><a href=/x>More</a></ul>"
      "</div><div class=article><h2>Upper course</h2>";
  for (int i = 0; i < 5; ++i) out += "<p>" + kParagraph + "</p>";
  return out + "</div><div class=sidebar>Buy our newsletter, now, here.</div>";
}

PageOptions options() {
  PageOptions out;
  out.helper = KNAP_EXTRACT_HELPER;
  return out;
}

TEST(WebPage, FindsTextAndFacts) {
  const auto page = read_page_here(
      page_with("<title>The river | Example</title><meta name=author content='Ada  Lovelace'>"
                "<meta property=article:published_time content=2026-03-01T10:00:00Z>"
                "<link rel=canonical href=/river><meta property=og:site_name content=Example>"
                "<meta property=og:title content='The river'>",
                article()),
      {"https://example.org/x?utm=1", ""});
  ASSERT_TRUE(page);
  EXPECT_EQ(page->document.title, "The river");
  EXPECT_EQ(page->document.author, "Ada Lovelace");
  EXPECT_EQ(page->document.created, "2026-03-01T10:00:00Z");
  EXPECT_EQ(page->canonical, "https://example.org/river");
  EXPECT_EQ(page->language, "en-GB");
  EXPECT_EQ(page->site, "Example");
  EXPECT_NE(page->markdown.find("## Upper course"), std::string::npos);
  EXPECT_EQ(page->markdown.find("newsletter"), std::string::npos);
  EXPECT_EQ(page->markdown.find("Home"), std::string::npos);
  EXPECT_EQ(page->document.blocks.size(), 6U);
}

TEST(WebPage, ReadsLinkedDataWrappedOrInAGraph) {
  for (
      const char* data :
      {R"({"@type":"NewsArticle","headline":"Right","author":[{"name":"A"},{"name":"B"}]})",
       R"(<![CDATA[{"@type":"Article","headline":"Right","author":{"name":"A, B"}}]]>)",
       R"({"@graph":[{"@type":"WebPage","name":"No"},{"@type":["BlogPosting"],"headline":"Right","author":"A, B"}]})"}) {
    const auto page = read_page_here(
        page_with("<script type=application/ld+json>" + std::string(data) + "</script>", article()),
        {});
    ASSERT_TRUE(page);
    EXPECT_EQ(page->document.title, "Right") << data;
    EXPECT_EQ(page->document.author, "A, B") << data;
  }
}

TEST(WebPage, SurvivesDeepLinkedData) {
  const std::string deep(100'000, '[');
  EXPECT_TRUE(read_page_here(
      page_with("<script type=application/ld+json>" + deep + "</script>", article()), {}));
}

TEST(WebPage, ReadsTheSameInTheSandbox) {
  const std::string html = page_with("<title>The river in summer</title>", article());
  const PageSource source{"https://example.org/", ""};
  const auto here = read_page_here(html, source);
  const auto there = read_page(html, source, options(), Deadline::never(), {});
  ASSERT_TRUE(here);
  ASSERT_TRUE(there) << there.error().message;
  EXPECT_EQ(here->markdown, there->markdown);
  EXPECT_EQ(encode(*here), encode(*there));
}

TEST(WebPage, TellsWhyAPageIsNotRead) {
  EXPECT_EQ(read_page("<p> ", {}, options(), Deadline::never(), {}).error().code,
            ErrorCode::kUnsupported);
  EXPECT_EQ(read_page(std::string(kPageBytesMax + 1, 'a'), {}, options(), Deadline::never(), {})
                .error()
                .code,
            ErrorCode::kResourceExhausted);
  auto absent = options();
  absent.helper = "/no/such/program";
  EXPECT_EQ(read_page("<p>a", {}, absent, Deadline::never(), {}).error().code,
            ErrorCode::kFailedPrecondition);
  auto hasty = options();
  hasty.limits.cpu_time = std::chrono::seconds(1);
  std::string slow;
  for (int i = 0; i < 1'000'000; ++i) slow += "<div>";  // each looks at all that are open
  EXPECT_EQ(read_page(slow, {}, hasty, Deadline::never(), {}).error().code,
            ErrorCode::kResourceExhausted);
}

TEST(WebPage, DecodesWhatItEncodesAndNothingElse) {
  const auto page = read_page_here(page_with("", article()), {});
  ASSERT_TRUE(page);
  const std::string bytes = encode(*page);
  EXPECT_TRUE(decode_page(bytes));
  for (std::size_t length = 0; length < bytes.size(); length += 7)
    EXPECT_FALSE(decode_page(bytes.substr(0, length)));
}

// The vault's own parser must find in the Markdown what stood in the page, and no more.
TEST(WebPage, MarkdownParsesBack) {
  const auto page = read_page_here(
      page_with("<title>t</title>",
                "<div class=article><h2>First part</h2><p>" + kParagraph +
                    "#nottag [[notlink]] %%seen%% key:: value</p><ul><li>one<li>two</ul>"
                    "<h3>Second_part*</h3><pre><code class=language-python># no heading\nx = 1"
                    "</code></pre><table><tr><th>k<th>v<tr><td>a<td>b</table><p>" +
                    kParagraph + kParagraph + kParagraph + "- [ ] no task</p></div>"),
      {"https://example.org/", ""});
  ASSERT_TRUE(page);
  const auto note = vault::parse("page.md", page->markdown);
  ASSERT_TRUE(note);
  ASSERT_EQ(note->headings.size(), 2U);
  EXPECT_EQ(note->headings[0].text, "First part");
  EXPECT_EQ(note->headings[1].text, "Second_part*");
  EXPECT_TRUE(note->tags.empty());
  EXPECT_TRUE(note->links.empty());
  EXPECT_TRUE(note->tasks.empty());
  EXPECT_TRUE(note->blocks.empty());
  std::string plain;
  bool code = false;
  bool table = false;
  for (const auto& passage : note->passages) {
    plain += passage.plain + "\n";
    code = code || passage.kind == vault::Passage::Kind::kCode;
    table = table || passage.kind == vault::Passage::Kind::kTable;
  }
  for (const char* words : {"#nottag [[notlink]] %%seen%% key:: value", "one", "two", "x = 1",
                            "on its banks grow willows", "- [ ] no task"})
    EXPECT_NE(plain.find(words), std::string::npos) << words << "\n" << plain;
}

}  // namespace
}  // namespace knap::extract
