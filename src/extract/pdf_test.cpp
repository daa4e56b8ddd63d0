#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "hyphens.hpp"
#include "knap/extract/extract.hpp"
#include "pdf_text.hpp"

namespace knap::extract {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

/// A page of A4 as pdftotext describes it, word by word.
class PageXml {
 public:
  /// A line that begins at (left, top); a word takes 5 points a byte.
  PageXml& line(float left, float top, std::string_view text, float size = 10) {
    body_ += fmt::format("<block><line>");
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = std::min(text.find(' ', begin), text.size());
      const std::string_view word = text.substr(begin, end - begin);
      const float right = left + 5 * static_cast<float>(word.size());
      body_ += fmt::format("<word xMin=\"{}\" yMin=\"{}\" xMax=\"{}\" yMax=\"{}\">{}</word>", left,
                           top, right, top + size, word);
      left = right + 3;
      begin = end + 1;
    }
    body_ += "</line></block>";
    return *this;
  }
  std::string take() {
    return "<page width=\"595\" height=\"842\"><flow>" + std::exchange(body_, {}) +
           "</flow></page>";
  }

 private:
  std::string body_;
};

Document document_of(const std::string& pages, const std::vector<OutlineItem>& outline = {}) {
  auto read = read_pages("<!DOCTYPE html><html><head><title></title></head><body><doc>" + pages +
                             "</doc></body></html>",
                         1);
  EXPECT_TRUE(read);
  Document document;
  if (!read) return document;
  drop_running_lines(*read);
  add_blocks(*read, outline, document);
  return document;
}

std::vector<std::string> texts_of(const Document& document) {
  std::vector<std::string> out;
  for (const Block& block : document.blocks) out.push_back(block.text);
  return out;
}

TEST(PdfText, JoinsLinesToParagraphs) {
  PageXml page;
  page.line(50, 100, "This paragraph has a first line that is long,")
      .line(50, 112, "a second line and one of which nothing is known");
  page.line(50, 124, "and ends.").line(50, 150, "Another paragraph.");
  EXPECT_THAT(texts_of(document_of(page.take())),
              ElementsAre("This paragraph has a first line that is long, a second line and one of "
                          "which nothing is known and ends.",
                          "Another paragraph."));
}

TEST(PdfText, ReadsColumnsOneAfterTheOther) {
  PageXml page;
  page.line(150, 50, "A title that goes over both of the columns here", 10);
  for (int i = 0; i < 5; ++i) {
    const float top = 100 + 12 * static_cast<float>(i);
    page.line(50, top, fmt::format("left column line {} and more words here", i));
    page.line(320, top, fmt::format("right column line {} and more words here", i));
  }
  const auto texts = texts_of(document_of(page.take()));
  std::string all;
  for (const std::string& text : texts) all += text + '\n';
  EXPECT_LT(all.find("A title"), all.find("left column line 0"));
  EXPECT_LT(all.find("left column line 4"), all.find("right column line 0"));
}

TEST(PdfText, KeepsRowsOfTables) {
  PageXml page;
  page.line(50, 80, "The countries and what they are known for are these:");
  int row = 0;
  for (const char* country : {"Austria", "Belgium", "Denmark", "Finland"}) {
    const float top = 100 + 14 * static_cast<float>(row++);
    page.line(50, top, country).line(180, top, fmt::format("{}.5", row)).line(300, top, "Capital");
  }
  const Document document = document_of(page.take());
  ASSERT_EQ(document.blocks.size(), 5);
  EXPECT_EQ(document.blocks[1].kind, Block::Kind::kTableRow);
  EXPECT_EQ(document.blocks[1].text, "Austria | 1.5 | Capital");
  EXPECT_EQ(document.blocks[4].text, "Finland | 4.5 | Capital");
}

TEST(PdfText, DropsRunningLinesAndPageNumbers) {
  std::string pages;
  PageXml page;
  for (int i = 1; i <= 5; ++i) {
    page.line(50, 30, "Annual report").line(50, 300, fmt::format("Text of number {}.", i * 7));
    pages += page.line(290, 800, std::to_string(i)).take();
  }
  EXPECT_THAT(texts_of(document_of(pages)),
              ElementsAre("Text of number 7.", "Text of number 14.", "Text of number 21.",
                          "Text of number 28.", "Text of number 35."));
}

TEST(PdfText, TakesHeadingsFromTheOutline) {
  PageXml page;
  page.line(50, 100, "2.1 The method").line(50, 130, "It is simple.");
  const Document document = document_of(
      page.take(), {{"The method", 2, 1}, {"Not on the page", 3, 1}, {"Elsewhere", 1, 0}});
  ASSERT_EQ(document.blocks.size(), 3);
  EXPECT_EQ(document.blocks[0].text, "Not on the page");
  EXPECT_EQ(document.blocks[1].text, "2.1 The method");
  EXPECT_EQ(document.blocks[1].kind, Block::Kind::kHeading);
  EXPECT_EQ(document.blocks[1].level, 2);
  EXPECT_EQ(document.blocks[2].kind, Block::Kind::kParagraph);
}

TEST(PdfText, FindsHeadingsBySizeWithoutOutline) {
  PageXml page;
  page.line(50, 100, "Introduction", 16).line(50, 130, "Much text of the usual size follows here.");
  page.line(50, 160, "Details", 13).line(50, 190, "And more text of the usual size is here.");
  const Document document = document_of(page.take());
  ASSERT_EQ(document.blocks.size(), 4);
  EXPECT_EQ(document.blocks[0].level, 1);
  EXPECT_EQ(document.blocks[2].level, 2);
  EXPECT_EQ(document.blocks[3].kind, Block::Kind::kParagraph);
}

TEST(PdfText, LeavesOutDotLeaders) {
  PageXml page;
  page.line(50, 100, "Introduction . . . . . . . . 7");
  EXPECT_THAT(texts_of(document_of(page.take())), ElementsAre("Introduction 7"));
}

TEST(PdfText, RefusesWhatIsNoXml) {
  EXPECT_EQ(read_pages("hello", 1).error().code, ErrorCode::kCorruptData);
  EXPECT_EQ(read_pages("", 1).error().code, ErrorCode::kCorruptData);
}

TEST(Hyphens, JoinDividedWordsAndKeepCompounds) {
  Hyphens hyphens;
  hyphens.learn("The example is well known, as knowledge is a state-of-the-art thing.");
  const auto joined = [&](std::string first, std::string_view second) {
    hyphens.join(first, second);
    return first;
  };
  EXPECT_EQ(joined("an exam-", "ple of"), "an example of");
  EXPECT_EQ(joined("a well-", "known thing"), "a well-known thing");
  EXPECT_EQ(joined("unheard-", "lich"), "unheardlich");
  EXPECT_EQ(joined("Anna-", "Maria"), "Anna-Maria");
  EXPECT_EQ(joined("pages 3-", "5"), "pages 3-5");
  EXPECT_EQ(joined("no", "hyphen"), "no hyphen");
  EXPECT_EQ(joined("漢字", "漢字"), "漢字漢字");
}

TEST(PdfOutline, ReadsLevels) {
  const auto items = read_outline(
      "<pdf2xml>\n<outline>\n<item page=\"3\">One</item>\n<outline>\n<item page=\"4\">Below &amp; "
      "in</item>\n</outline>\n<item page=\"9\">Two</item>\n</outline>\n</pdf2xml>");
  ASSERT_EQ(items.size(), 3);
  EXPECT_EQ(items[0].title, "One");
  EXPECT_EQ(items[1].title, "Below & in");
  EXPECT_EQ(items[1].level, 2);
  EXPECT_EQ(items[1].page, 4);
  EXPECT_EQ(items[2].level, 1);
  EXPECT_EQ(items[2].page, 9);
}

TEST(PdfFacts, LeavesOutTitlesOfPrograms) {
  const PdfFacts facts = read_facts(
      "Title:           Report\nAuthor:          Ada\nCreationDate:    2022-04-06T20:15:41+02\n"
      "Pages:           12\n");
  EXPECT_EQ(facts.title, "Report");
  EXPECT_EQ(facts.author, "Ada");
  EXPECT_EQ(facts.created, "2022-04-06");
  EXPECT_EQ(facts.pages, 12);
  EXPECT_EQ(read_facts("Title: Microsoft Word - x.doc\n").title, "");
  EXPECT_EQ(read_facts("Title: final.indd\n").title, "");
}

FileDescriptor input_of(std::string_view text) {
  FileDescriptor memory(::memfd_create("input", MFD_CLOEXEC));
  EXPECT_EQ(::pwrite(memory.get(), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  const std::string path = "/proc/self/fd/" + std::to_string(memory.get());
  return FileDescriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
}

Result<Document> extract_bytes(std::string_view bytes, const CancelToken& cancel = {}) {
  const FileDescriptor input = input_of(bytes);
  ExtractOptions options;
  options.weak = WeakSandbox::kAllow;
  return extract(Format::kPdf, input.get(), options, Deadline::after(std::chrono::seconds(60)),
                 cancel);
}

/// Each page has one line of text; none where it is empty.
std::string pdf_of(const std::vector<std::string>& pages) {
  std::string kids;
  std::string objects;
  for (std::size_t i = 0; i < pages.size(); ++i) {
    const std::size_t number = 10 + 2 * i;
    const std::string content =
        pages[i].empty() ? "" : "BT /F1 12 Tf 60 500 Td (" + pages[i] + ") Tj ET";
    kids += fmt::format("{} 0 R ", number);
    objects += fmt::format(
        "{} 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents {} 0 "
        "R/Resources<</Font<</F1 3 0 R>>>>>>endobj\n{} 0 obj<</Length {}>>stream\n{}\nendstream "
        "endobj\n",
        number, number + 1, number + 1, content.size(), content);
  }
  return fmt::format(
      "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[{}]/Count "
      "{}>>endobj\n3 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj\n{}trailer<</Root "
      "1 0 R>>\n%%EOF\n",
      kids, pages.size(), objects);
}

TEST(Pdf, GivesTextByPage) {
  const auto document = extract_bytes(pdf_of({"first page", "second page"}));
  ASSERT_TRUE(document) << document.error().message;
  EXPECT_EQ(document->places, 2);
  ASSERT_EQ(document->blocks.size(), 2);
  EXPECT_EQ(document->blocks[1].text, "second page");
  EXPECT_EQ(document->blocks[1].place, 2);
}

TEST(Pdf, SaysWhyThereIsNothing) {
  const auto scan = extract_bytes(pdf_of({"", ""}));
  ASSERT_FALSE(scan);
  EXPECT_EQ(scan.error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(scan.error().message, "no text layer");
  const auto other = extract_bytes("GIF89a");
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, ErrorCode::kCorruptData);
  EXPECT_THAT(other.error().message, HasSubstr("in spite of its name"));
  const auto broken = extract_bytes("%PDF-1.7\nnothing else\n");
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().code, ErrorCode::kCorruptData);
  EXPECT_FALSE(extract_bytes(""));
}

TEST(Pdf, StopsWhenCancelled) {
  const CancelToken cancel;
  cancel.cancel();
  const auto document = extract_bytes(pdf_of({"text"}), cancel);
  ASSERT_FALSE(document);
  EXPECT_EQ(document.error().code, ErrorCode::kCancelled);
}

}  // namespace
}  // namespace knap::extract
