"""Office files in a vault: found, cited, counted; hostile ones hold nothing up."""
import random

import pytest

from office_writer import docx, epub, odt, packed, pptx, rtf, xlsx
from pdf_writer import pdf

NOTES = {"letter.docx": docx([(1, "Ferry"), (0, "The ferry was repaired in 1931 at the wharf of Kolmar.")], title="Letter on the ferry",
                             author="Eva Lind"),
         "talk.pptx": pptx([("Start", "Nothing much is said here."), ("Quagga", "The quagga grazes on slide two.")]),
         "costs.xlsx": xlsx([["Item", "Price"], ["Zebrafish", "12 euros"]], sheet="Animals"),
         "novel.odt": odt([(1, "Chapter"), (0, "The okapi hides in the forest of Ituri.")]),
         "old.rtf": rtf([(1, "Head"), (0, "The axolotl stays young in the lake.")]),
         "table.csv": "Name;Weight\nPangolin;12 kg\n",
         "plain.txt": "A numbat eats\ntermites all day.\n\nNothing else.\n".encode("utf-16"),
         "book.epub": epub([("Start", "Nothing yet."), ("The mill", "The saola drinks at the mill of Vinh.")], title="A book of mills"),
         "saved.html": "<html><head><title>Saved page</title></head><body><nav><a href=/>Home</a></nav><article><h1>Saved page</h1><p>"
                       + "The kakapo climbs trees at night and cannot fly, which visitors of the island seldom see. " * 6 + "</p></article></body></html>",
         "note.md": "# Boats\n\nSee ![[letter.docx]].\n"}


@pytest.fixture(scope="module")
def office(module_servers):
    return module_servers(NOTES)


@pytest.mark.parametrize("query,path,headings", [
    ("ferry repaired at the wharf", "letter.docx", ["Ferry"]), ("quagga grazes", "talk.pptx", ["Quagga"]),
    ("zebrafish price", "costs.xlsx", ["Animals"]), ("okapi hides", "novel.odt", ["Chapter"]), ("axolotl stays young", "old.rtf", ["Head"]),
    ("pangolin", "table.csv", []), ("numbat eats termites", "plain.txt", []), ("saola drinks mill", "book.epub", ["The mill"])])
def test_each_kind_is_found_with_its_headings(office, query, path, headings):
    result = office.search(query, mode="keyword")["results"][0]
    assert result["path"] == path and result["headings"] == headings


def test_facts_slides_filters_and_links(office):
    assert office.search("ferry wharf")["results"][0]["title"] == "Letter on the ferry"
    assert office.paths("ferry", filter='prop.author:"Eva Lind"') == ["letter.docx"]
    assert office.search("quagga grazes", mode="keyword")["results"][0]["page"] == 2
    assert "plain.txt" in office.paths("numbat", filter="type:text")
    assert office.paths("numbat", filter="type:office", mode="keyword") == []
    assert office.paths("saola", filter="type:book", mode="keyword") == ["book.epub"]
    assert office.paths("kakapo climbs", filter="type:web", mode="keyword") == ["saved.html"]
    assert [link["path"] for link in office.get("/api/notes/letter.docx/links")["backlinks"]] == ["note.md"]


def test_an_answer_cites_a_letter(office):
    citation = office.ask("Where was the ferry repaired in 1931?", mode="extractive")["citations"][0]
    assert citation["path"] == "letter.docx" and "Kolmar" in citation["quote"]


def test_hostile_files_have_their_reason_and_hold_nothing_up(servers):
    bomb = packed({"word/document.xml": b"<w:document><w:body>" + b"<w:p><w:t>a</w:t></w:p>" * 3_000_000 + b"</w:body></w:document>"})
    deep = packed({"word/document.xml": "<a>" * 2_000_000})
    entities = packed({"word/document.xml": "<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;'>]><d><p><t>&b;&b;</t></p></d>"})
    server = servers({"bomb.docx": bomb, "deep.docx": deep, "entities.docx": entities, "fake.docx": b"MZ" + bytes(5000), "empty.docx": b"",
                      "cut.docx": NOTES["letter.docx"][:300], "swapped.xlsx": NOTES["letter.docx"], "pdf.docx": pdf([["text"]]),
                      "old.doc.docx": bytes.fromhex("D0CF11E0A1B11AE1") + bytes(3000), "blank.txt": b" \n", "binary.csv": bytes(300),
                      "note.md": "a zebrafish\n"})
    rows = {row["path"]: (row["state"], row["reason"] or "") for row in server.files()}
    assert rows["bomb.docx"][0] == "skipped" and "larger than the limit" in rows["bomb.docx"][1]
    assert rows["old.doc.docx"] == ("skipped", "encrypted, or of an office before 2007: neither is read")
    assert rows["blank.txt"] == ("skipped", "no text in it")
    for name in ("deep.docx", "fake.docx", "empty.docx", "cut.docx", "swapped.xlsx", "pdf.docx", "binary.csv"):
        assert rows[name][0] in ("failed", "skipped") and rows[name][1], (name, rows[name])
    assert server.paths("zebrafish") == ["note.md"]
    assert server.paths("bomb") == ["bomb.docx"]


def test_damaged_files_by_the_hundred(servers):
    random_ = random.Random(3)
    base = [content if isinstance(content, bytes) else content.encode() for name, content in NOTES.items() if not name.endswith(".md")]
    names = [name for name in NOTES if not name.endswith(".md")]
    notes = {"note.md": "a zebrafish\n"}
    for n in range(140):
        data = bytearray(base[n % len(base)])
        for _ in range(random_.choice([1, 3, 10, 50])):
            at = random_.randrange(len(data))
            if random_.random() < .8:
                data[at] = random_.randrange(256)
            else:
                del data[at:at + random_.randrange(1, 40)]
            data = data or bytearray(b"x")
        notes[f"{n:03d}.{names[n % len(base)].rsplit('.')[-1]}"] = bytes(data)
    server = servers(notes)
    files = server.status()["files"]
    assert files["total"] == 141 == files["indexed"] + files["skipped"] + files["failed"]
    assert "note.md" in server.paths("zebrafish", mode="keyword")


def test_a_second_start_reads_nothing_again_and_they_can_be_left_out(servers):
    server = servers(NOTES)
    assert server.metric("knap_documents_read_total") == 9
    server.stop()
    server.start().wait_settled()
    assert server.metric("knap_documents_read_total") == 0
    off = servers(NOTES, settings={"index": {"office": False}})
    assert off.paths("okapi", mode="keyword") == []
