#include "office.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace knap::extract {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// "h1 Title", "p text", "- item", "| a | b".
std::vector<std::string> shown(const Document& document) {
  std::vector<std::string> out;
  for (const Block& block : document.blocks) {
    const std::string place = block.place == 0 ? "" : std::to_string(block.place) + ":";
    switch (block.kind) {
      case Block::Kind::kHeading:
        out.push_back(place + "h" + std::to_string(block.level) + " " + block.text);
        break;
      case Block::Kind::kParagraph: out.push_back(place + "p " + block.text); break;
      case Block::Kind::kListItem: out.push_back(place + "- " + block.text); break;
      case Block::Kind::kTableRow: out.push_back(place + "| " + block.text); break;
      case Block::Kind::kCode: out.push_back(place + "c " + block.text); break;
    }
  }
  return out;
}

const std::string kCore =
    "<cp:coreProperties xmlns:dc='d'><dc:title>The &amp; title</dc:title><dc:creator>A. Writer"
    "</dc:creator><dcterms:created>2024-02-03T10:00:00Z</dcterms:created></cp:coreProperties>";

TEST(Docx, GivesHeadingsListsTablesAndNotes) {
  Parts parts;
  parts["docProps/core.xml"] = kCore;
  parts["word/styles.xml"] =
      "<w:styles><w:style w:styleId='H1'><w:name w:val='heading 1'/><w:pPr><w:outlineLvl "
      "w:val='0'/></w:pPr></w:style><w:style w:styleId='Mine'><w:basedOn "
      "w:val='H1'/></w:style></w:styles>";
  parts["word/document.xml"] =
      "<w:document><w:body>\n<w:p><w:pPr><w:pStyle w:val='Mine'/></w:pPr><w:r><w:t>Part "
      "</w:t></w:r><w:r><w:t>one</w:t></w:r></w:p><w:p><w:r><w:t>Kept</w:t></w:r><w:del><w:r>"
      "<w:delText>gone</w:delText></w:r></w:del><w:r><w:tab/><w:t>text</w:t></w:r></w:p>"
      "<w:p><w:pPr><w:numPr><w:numId w:val='3'/></w:numPr></w:pPr><w:r><w:t>An item</w:t></w:r>"
      "</w:p><w:tbl><w:tr><w:tc><w:p><w:r><w:t>a</w:t></w:r></w:p><w:p><w:r><w:t>b</w:t></w:r>"
      "</w:p></w:tc><w:tc><w:p><w:r><w:t>c</w:t></w:r></w:p></w:tc></w:tr></w:tbl>"
      "<w:p><w:r><w:t>End.</w:t></w:r></w:p></w:body></w:document>";
  parts["word/footnotes.xml"] =
      "<w:footnotes><w:footnote><w:p><w:r><w:t>A note.</w:t></w:r></w:p></w:footnote>"
      "</w:footnotes>";
  Document out;
  ASSERT_TRUE(read_docx(parts, out).has_value());
  EXPECT_THAT(shown(out), ElementsAre("h1 Part one", "p Kept text", "- An item", "| a b | c",
                                      "p End.", "p A note."));
  EXPECT_EQ(out.title, "The & title");
  EXPECT_EQ(out.author, "A. Writer");
  EXPECT_EQ(out.created, "2024-02-03");
}

TEST(Docx, LoopsOfStylesAndMissingPartsEnd) {
  Parts parts;
  Document out;
  EXPECT_EQ(read_docx(parts, out).error().code, ErrorCode::kCorruptData);
  parts["word/styles.xml"] =
      "<s><style styleId='A'><basedOn val='B'/></style><style styleId='B'><basedOn val='A'/>"
      "</style></s>";
  parts["word/document.xml"] = "<d><p><pPr><pStyle val='A'/></pPr><t>x</t></p></d>";
  ASSERT_TRUE(read_docx(parts, out).has_value());
  EXPECT_THAT(shown(out), ElementsAre("p x"));
  parts["word/document.xml"] = "<d><p>";
  EXPECT_EQ(read_docx(parts, out).error().code, ErrorCode::kCorruptData);
}

TEST(Docx, DeepNestingCostsNoStack) {
  Parts parts;
  std::string deep = "<d>";
  for (int i = 0; i < 200'000; ++i) deep += "<tbl><tr><tc>";
  deep += "<p><t>x</t></p>";
  for (int i = 0; i < 200'000; ++i) deep += "</tc></tr></tbl>";
  parts["word/document.xml"] = deep + "</d>";
  Document out;
  EXPECT_TRUE(read_docx(parts, out).has_value());
}

TEST(Pptx, GivesSlidesInOrderWithTitlesAndNotes) {
  Parts parts;
  parts["ppt/presentation.xml"] =
      "<p:presentation><p:sldIdLst><p:sldId id='256' r:id='r2'/><p:sldId id='257' r:id='r1'/>"
      "<p:sldId id='258' r:id='gone'/></p:sldIdLst></p:presentation>";
  parts["ppt/_rels/presentation.xml.rels"] =
      "<R><Relationship Id='r1' Target='slides/slide1.xml'/><Relationship Id='r2' "
      "Target='slides/slide2.xml'/></R>";
  const std::string body =
      "<p:sp><p:nvSpPr><p:nvPr><p:ph type='body'/></p:nvPr></p:nvSpPr><p:txBody><a:p><a:pPr "
      "lvl='1'/><a:r><a:t>A point</a:t></a:r></a:p></p:txBody></p:sp>";
  const std::string title =
      "<p:sp><p:nvSpPr><p:nvPr><p:ph type='title'/></p:nvPr></p:nvSpPr><p:txBody><a:p><a:r><a:t>"
      "First</a:t></a:r></a:p></p:txBody></p:sp>";
  parts["ppt/slides/slide2.xml"] = "<p:sld>" + body + title + "</p:sld>";
  parts["ppt/slides/_rels/slide2.xml.rels"] =
      "<R><Relationship Id='n' Target='../notesSlides/notesSlide1.xml'/></R>";
  parts["ppt/notesSlides/notesSlide1.xml"] =
      "<n><sp><nvSpPr><nvPr><ph type='sldNum'/></nvPr></nvSpPr><p><t>7</t></p></sp><p><t>Say "
      "this.</t></p></n>";
  parts["ppt/slides/slide1.xml"] =
      "<p:sld><a:tbl><a:tr><a:tc><a:p><a:r><a:t>a</a:t></a:r></a:p></a:tc><a:tc><a:p><a:r><a:t>b"
      "</a:t></a:r></a:p></a:tc></a:tr></a:tbl></p:sld>";
  Document out;
  ASSERT_TRUE(read_pptx(parts, out).has_value());
  EXPECT_THAT(shown(out), ElementsAre("1:h2 First", "1:- A point", "1:p Say this.", "2:| a | b"));
  EXPECT_EQ(out.places, 3U);
  EXPECT_THAT(out.warnings, ElementsAre("slide 3 could not be read"));
}

TEST(Xlsx, GivesSheetsWithStringsDatesAndGaps) {
  Parts parts;
  parts["xl/workbook.xml"] =
      "<workbook><sheets><sheet name='Costs' r:id='a'/><sheet name='Secret' state='hidden' "
      "r:id='a'/></sheets></workbook>";
  parts["xl/_rels/workbook.xml.rels"] =
      "<R><Relationship Id='a' Target='/xl/worksheets/sheet1.xml'/></R>";
  parts["xl/sharedStrings.xml"] =
      "<sst><si><t>Name</t></si><si><r><t>Fer</t></r><r><t>ry</t></r><rPh><t>aid</t></rPh></si>"
      "</sst>";
  parts["xl/styles.xml"] =
      "<styleSheet><numFmts><numFmt numFmtId='170' formatCode='\"day\" yyyy\\-mm\\-dd hh:mm'/>"
      "</numFmts><cellXfs><xf numFmtId='0'/><xf numFmtId='14'/><xf numFmtId='170'/></cellXfs>"
      "</styleSheet>";
  parts["xl/worksheets/sheet1.xml"] =
      "<worksheet><sheetData><row><c r='A1' t='s'><v>0</v></c><c r='C1' t='s'><v>1</v></c></row>"
      "<row><c r='A2'><v>0.10000000000000001</v></c><c r='B2' s='1'><v>45325</v></c><c r='C2' "
      "s='2'><v>45325.5</v></c><c r='D2' t='b'><v>1</v></c><c r='E2' t='s'><v>99</v></c></row>"
      "<row><c r='A3' t='inlineStr'><is><t>in line</t></is></c></row></sheetData></worksheet>";
  Document out;
  ASSERT_TRUE(read_xlsx(parts, out).has_value());
  EXPECT_THAT(shown(out), ElementsAre("h2 Costs", "| Name | | Ferry",
                                      "| 0.1 | 2024-02-03 | 2024-02-03 12:00 | TRUE", "| in line"));
}

TEST(Odf, GivesTextSlidesAndSheets) {
  Parts parts;
  parts["meta.xml"] =
      "<m><office:meta><dc:title>T</dc:title><dc:creator>B</dc:creator></office:meta></m>";
  parts["content.xml"] =
      "<c><office:body><office:text><text:h text:outline-level='2'>Head</text:h>\n<text:p>One"
      "<text:s text:c='2'/>two<office:annotation><text:p>no</text:p></office:annotation></text:p>"
      "<text:list><text:list-item><text:p>Item</text:p></text:list-item></text:list>"
      "<table:table><table:table-row><table:table-cell><text:p>a</text:p></table:table-cell>"
      "<table:table-cell table:number-columns-repeated='2'><text:p>b</text:p></table:table-cell>"
      "<table:table-cell table:number-columns-repeated='16000'/></table:table-row></table:table>"
      "</office:text></office:body></c>";
  Document out;
  ASSERT_TRUE(read_odf(parts, out).has_value());
  EXPECT_THAT(shown(out), ElementsAre("h2 Head", "p One two", "- Item", "| a | b | b"));
  EXPECT_EQ(out.title, "T");
  EXPECT_EQ(out.author, "B");
  parts["content.xml"] =
      "<c><office:body><office:presentation><draw:page><draw:frame presentation:class='title'>"
      "<draw:text-box><text:p>Slide</text:p></draw:text-box></draw:frame><draw:frame>"
      "<draw:text-box><text:p>Words</text:p></draw:text-box></draw:frame></draw:page>"
      "</office:presentation></office:body></c>";
  Document slides;
  ASSERT_TRUE(read_odf(parts, slides).has_value());
  EXPECT_THAT(shown(slides), ElementsAre("1:h2 Slide", "1:p Words"));
  parts["META-INF/manifest.xml"] = "<m><manifest:encryption-data/></m>";
  EXPECT_EQ(read_odf(parts, slides).error().code, ErrorCode::kUnsupported);
}

TEST(Epub, GivesChaptersInTheOrderOfReading) {
  Parts parts;
  parts["META-INF/container.xml"] =
      "<c><rootfiles><rootfile full-path='OPS/book.opf'/></rootfiles></c>";
  parts["OPS/book.opf"] =
      "<package><metadata><dc:title>The mill</dc:title><dc:creator>A</dc:creator><dc:creator>B"
      "</dc:creator><dc:date>1999-05-06</dc:date></metadata><manifest><item id='b' "
      "href='two%20b.xhtml'/><item id='a' href='one.xhtml'/></manifest><spine><itemref idref='a'/>"
      "<itemref idref='b'/><itemref idref='gone'/></spine></package>";
  parts["OPS/one.xhtml"] = "<html><body><h1>One</h1><p>The <b>ferry</b> sails.</p></body></html>";
  parts["OPS/two b.xhtml"] = "<html><body><h1>Two</h1><ul><li>An item</li></ul></body></html>";
  Document out;
  ASSERT_TRUE(read_epub(parts, out).has_value());
  EXPECT_THAT(shown(out), ElementsAre("h2 One", "p The ferry sails.", "h2 Two", "- An item"));
  EXPECT_EQ(out.title, "The mill");
  EXPECT_EQ(out.author, "A, B");
  EXPECT_EQ(out.created, "1999-05-06");
  parts["META-INF/encryption.xml"] =
      "<e><EncryptedData><EncryptionMethod Algorithm='http://www.idpf.org/2008/embedding'/>"
      "</EncryptedData></e>";
  EXPECT_TRUE(read_epub(parts, out).has_value());
  parts["META-INF/encryption.xml"] =
      "<e><EncryptedData><EncryptionMethod Algorithm='aes'/></EncryptedData></e>";
  EXPECT_EQ(read_epub(parts, out).error().code, ErrorCode::kUnsupported);
  parts.erase("META-INF/container.xml");
  EXPECT_EQ(read_epub(parts, out).error().code, ErrorCode::kCorruptData);
}

TEST(Rtf, GivesTextTablesAndCharacters) {
  Document out;
  const std::string rtf =
      "{\\rtf1\\ansi{\\fonttbl{\\f0 Times;}}{\\*\\generator x;}\\pard\\outlinelevel0 Head\\par "
      "\\pard Na\\'efve \\u8364\\'80 and \\u-10179?\\u-8704? \\{x\\}\\par\n"
      "{\\listtext 1.}An item\\par \\trowd\\pard\\intbl a\\par b\\cell c\\cell\\row\\pard "
      "end{\\footer no}}";
  ASSERT_TRUE(read_rtf(rtf, out).has_value());
  EXPECT_THAT(shown(out), ElementsAre("h1 Head", "p Na\u00EFve \u20AC and \U0001F600 {x}",
                                      "- An item", "| a b | c", "p end"));
  EXPECT_EQ(read_rtf("text", out).error().code, ErrorCode::kCorruptData);
  Document odd;
  for (const char* text :
       {"{\\rtf", "{\\rtf1 \\'", "{\\rtf1 \\u", "{\\rtf1}}}}x", "{\\rtf1 \\bin999999 x"})
    EXPECT_TRUE(read_rtf(text, odd).has_value()) << text;
}

TEST(Csv, FindsTheDelimiterAndReadsQuotes) {
  Document out;
  ASSERT_TRUE(
      read_csv("Name;Price\r\n\"A; \"\"b\"\"\";3,50\r\n;\r\n\"two\nlines\";1\n", out).has_value());
  EXPECT_THAT(shown(out), ElementsAre("| Name | Price", "| A; \"b\" | 3,50", "| two lines | 1"));
}

TEST(Text, GivesParagraphsInAnyOfTheUsualEncodings) {
  for (const std::string& bytes :
       {std::string("Gr\u00FC\u00DFe\nan alle\n\nZwei\n"),
        std::string("Gr\xFC\xDF"
                    "e\nan alle\n\nZwei"),
        std::string("\xFF\xFEG\0r\0\xFC\0\xDF\0e\0\n\0a\0n\0 \0a\0l\0l\0e\0\n\0\n\0Z\0w\0e\0i\0",
                    40)}) {
    Document out;
    ASSERT_TRUE(read_text(bytes, out).has_value());
    EXPECT_THAT(shown(out), ElementsAre("p Gr\u00FC\u00DFe an alle", "p Zwei"));
  }
  Document out;
  EXPECT_EQ(read_text(std::string("\x7F"
                                  "ELF\0\0",
                                  6),
                      out)
                .error()
                .code,
            ErrorCode::kCorruptData);
}

TEST(Office, RefusesWhatItIsNot) {
  EXPECT_EQ(read_office(Format::kDocx, "nothing of the kind").error().code,
            ErrorCode::kCorruptData);
  EXPECT_EQ(read_office(Format::kDocx, "").error().code, ErrorCode::kCorruptData);
  EXPECT_EQ(read_office(Format::kText, "  \n").error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(
      read_office(Format::kDocx, "\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1 and more").error().message,
      HasSubstr("encrypted"));
}

}  // namespace
}  // namespace knap::extract
