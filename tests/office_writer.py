"""Writes small office files for the tests."""
import io
import zipfile
from xml.sax.saxutils import escape

CORE = "<cp:coreProperties><dc:title>{}</dc:title><dc:creator>{}</dc:creator></cp:coreProperties>"


def packed(parts):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in parts.items():
            file.writestr(name, content)
    return out.getvalue()


def docx(blocks, title="", author=""):
    """blocks: (level, text); level 0 is a paragraph."""
    body = "".join("<w:p><w:pPr>{}</w:pPr><w:r><w:t>{}</w:t></w:r></w:p>".format(
        f"<w:outlineLvl w:val='{level - 1}'/>" if level else "", escape(text)) for level, text in blocks)
    return packed({"[Content_Types].xml": "<Types/>", "docProps/core.xml": CORE.format(escape(title), escape(author)),
                   "word/document.xml": f"<w:document><w:body>{body}</w:body></w:document>"})


def pptx(slides):
    """slides: (title, text)."""
    shape = "<p:sp><p:nvSpPr><p:nvPr>{}</p:nvPr></p:nvSpPr><p:txBody><a:p><a:r><a:t>{}</a:t></a:r></a:p></p:txBody></p:sp>"
    parts = {"ppt/presentation.xml": "<p:presentation><p:sldIdLst>" + "".join(
        f"<p:sldId id='{256 + n}' r:id='r{n}'/>" for n in range(len(slides))) + "</p:sldIdLst></p:presentation>",
        "ppt/_rels/presentation.xml.rels": "<R>" + "".join(
            f"<Relationship Id='r{n}' Target='slides/slide{n}.xml'/>" for n in range(len(slides))) + "</R>"}
    for n, (title, text) in enumerate(slides):
        parts[f"ppt/slides/slide{n}.xml"] = "<p:sld>" + shape.format("<p:ph type='title'/>", escape(title)) + \
            shape.format("", escape(text)) + "</p:sld>"
    return packed(parts)


def xlsx(rows, sheet="Sheet1"):
    cells = "".join("<row>" + "".join(f"<c t='inlineStr'><is><t>{escape(str(cell))}</t></is></c>" for cell in row) + "</row>" for row in rows)
    return packed({"xl/workbook.xml": f"<workbook><sheets><sheet name='{escape(sheet)}' r:id='a'/></sheets></workbook>",
                   "xl/_rels/workbook.xml.rels": "<R><Relationship Id='a' Target='worksheets/sheet1.xml'/></R>",
                   "xl/worksheets/sheet1.xml": f"<worksheet><sheetData>{cells}</sheetData></worksheet>"})


def odt(blocks):
    body = "".join(f"<text:h text:outline-level='{level}'>{escape(text)}</text:h>" if level else f"<text:p>{escape(text)}</text:p>"
                   for level, text in blocks)
    return packed({"content.xml": f"<c><office:body><office:text>{body}</office:text></office:body></c>"})


def rtf(blocks):
    body = "".join((f"\\pard\\outlinelevel{level - 1} " if level else "\\pard ") + text + "\\par\n" for level, text in blocks)
    return ("{\\rtf1\\ansi " + body + "}").encode("cp1252")


def epub(chapters, title=""):
    """chapters: (heading, text)."""
    parts = {"META-INF/container.xml": "<c><rootfiles><rootfile full-path='OPS/book.opf'/></rootfiles></c>",
             "OPS/book.opf": f"<package><metadata><dc:title>{escape(title)}</dc:title></metadata><manifest>" + "".join(
                 f"<item id='c{n}' href='c{n}.xhtml'/>" for n in range(len(chapters))) + "</manifest><spine>" + "".join(
                 f"<itemref idref='c{n}'/>" for n in range(len(chapters))) + "</spine></package>"}
    for n, (heading, text) in enumerate(chapters):
        parts[f"OPS/c{n}.xhtml"] = f"<html><body><h1>{escape(heading)}</h1><p>{escape(text)}</p></body></html>"
    return packed(parts)
