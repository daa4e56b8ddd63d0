"""A vault of notes, PDFs, office files, pictures and recordings: one ledger, one search, one way to cite."""
import csv
import re
import shutil
import subprocess

import pytest

from knap_server import shared_folder
from office_writer import docx, odt, pptx, rtf, xlsx
from pdf_writer import pdf

pytestmark = pytest.mark.skipif(not shutil.which("pdftotext"), reason="pdftotext is not installed (poppler-utils)")

OCR = bool(shutil.which("tesseract"))
NOTES, PDFS, OFFICE, PICTURES, RECORDINGS = 20, 50, 20, 30, 20


def office_file(n):
    text = f"The office station number {n} was opened in {1900 + n} by Officekeeper{n}."
    kind = n % 5
    if kind == 0:
        return f"office{n}.docx", docx([(1, f"Office {n}"), (0, text)])
    if kind == 1:
        return f"office{n}.pptx", pptx([("Start", "Nothing."), (f"Office {n}", text)])
    if kind == 2:
        return f"office{n}.xlsx", xlsx([["Fact"], [text]])
    if kind == 3:
        return f"office{n}.odt", odt([(1, f"Office {n}"), (0, text)])
    return f"office{n}.rtf", rtf([(1, f"Office {n}"), (0, text)])


def picture(folder):
    (folder / "x.pdf").write_bytes(pdf([[(20, "Picture"), "", (14, "The lighthouse of Rodvig was painted in 1955.")]]))
    subprocess.run(["pdftoppm", "-png", "-gray", "-r", "150", "-singlefile", folder / "x.pdf", folder / "x"], check=True)
    return (folder / "x.png").read_bytes()


@pytest.fixture(scope="module")
def vault(tmp_path_factory, clips):
    files = {}
    for n in range(NOTES):
        files[f"notes/note{n}.md"] = f"# Note {n}\n\nThe noted mill number {n} was built in {1700 + n} by Notekeeper{n}. ![[paper{n}.pdf]]\n"
    for n in range(PDFS - 4):
        files[f"papers/paper{n}.pdf"] = pdf([["A first page without facts."], [f"The printed bridge number {n} was closed in {1800 + n}",
                                                                             f"by Paperkeeper{n}."]], title=f"Paper {n}")
    files["papers/locked.pdf"] = pdf([["secret"]], password="open sesame")
    files["papers/blank.pdf"] = pdf([[]])
    files["papers/broken.pdf"] = b"%PDF-1.7 and nothing"
    files["papers/copy.pdf"] = files["papers/paper0.pdf"]
    files.update({f"office/{name}": data for name, data in map(office_file, range(OFFICE))})
    image = picture(tmp_path_factory.mktemp("picture"))
    files.update({f"pictures/picture{n}.png": image for n in range(PICTURES)})
    for n, clip in enumerate(clips[:RECORDINGS]):
        files[f"audio/recording{n}.wav"] = clip["path"].read_bytes()
    for n in range(len(clips[:RECORDINGS]), RECORDINGS):
        files[f"audio/recording{n}.mp3"] = b"ID3" + bytes(500)
    return files


@pytest.fixture(scope="module")
def clips(installed_models):
    """Real speech with its text; none where the data or the model is absent: recordings are then no such files."""
    shared = shared_folder()
    if "whisper-base" not in installed_models or shared is None or not (shared / "data" / "speech").is_dir():
        return []
    folder = shared / "data" / "speech"
    with open(folder / "manifest.tsv", encoding="utf-8") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [{"path": folder / row["file"], "text": row["transcript"]} for row in rows]


@pytest.fixture(scope="module")
def mixed(module_servers, vault):
    settings = {"index": {"audio": True}, "models": {"embed": "", "answer": "", "speech": "whisper-base"}, "speech": {"language": "en"}}
    server = module_servers(vault, start=False, settings=settings)
    return server.start(60).wait_settled(300)


def test_the_ledger_sums_up(mixed, vault, clips):
    files = mixed.status()["files"]
    assert files["total"] == len(vault) == NOTES + PDFS + OFFICE + PICTURES + RECORDINGS
    assert files["total"] == files["indexed"] + files["skipped"] + files["failed"]
    odd = {row["path"]: row["reason"] for row in mixed.files()
           if row["state"] != "indexed" and (clips or not row["path"].startswith("audio/"))}
    assert odd["papers/locked.pdf"] == "encrypted: it needs a password" and odd["papers/blank.pdf"] == "no text layer"
    assert set(odd) == {"papers/locked.pdf", "papers/blank.pdf", "papers/broken.pdf"}


@pytest.mark.parametrize("kind,word,prefix", [("md", "mill", "notes/"), ("pdf", "bridge", "papers/"), ("office", "station", "office/"),
                                              ("audio", "recording3", "audio/"), ("image", "picture3", "pictures/")])
def test_filters_by_type(mixed, kind, word, prefix):
    paths = mixed.paths(word, filter=f"type:{kind}", mode="keyword", limit=50)
    assert paths and all(path.startswith(prefix) for path in paths)


@pytest.mark.parametrize("question,path,fact,page", [
    ("When was the noted mill number 7 built?", "notes/note7.md", "1707", None),
    ("When was the printed bridge number 23 closed?", "papers/paper23.pdf", "1823", 2),
    ("When was the office station number 15 opened?", "office/office15.docx", "1915", None),
    ("When was the office station number 16 opened?", "office/office16.pptx", "1916", 2)])
def test_answers_cite_each_kind(mixed, question, path, fact, page):
    citations = mixed.ask(question, mode="extractive")["citations"]
    cited = next(c for c in citations if fact in c["quote"])
    assert cited["path"] == path and cited.get("page") == page


def test_what_is_said_is_found_and_cited(mixed, clips):
    if not clips:
        pytest.skip("not installed: whisper-base, or no evaluation data (KNAP_SHARED)")
    found = 0
    for n, clip in enumerate(clips[:RECORDINGS]):
        hits = mixed.search(" ".join(re.findall(r"[a-z]+", clip["text"].lower())), filter="type:audio", mode="keyword")["results"]
        found += hits[0]["path"] == f"audio/recording{n}.wav" if hits else 0
    assert found >= RECORDINGS - 1  # a small model mishears
    citation = mixed.ask("Whose book is the earliest printed with movable types?", mode="extractive")["citations"][0]
    assert citation["path"] == "audio/recording6.wav" and "movable types" in citation["quote"]
    note = mixed.get("/api/notes/audio/recording6.wav")
    assert "movable types" in note["text"] and citation["quote"] in note["text"]


@pytest.mark.skipif(not OCR, reason="tesseract is not installed (tesseract-ocr)")
def test_an_answer_cites_a_picture(mixed):
    citation = mixed.ask("When was the lighthouse of Rodvig painted?", mode="extractive")["citations"][0]
    assert citation["path"].startswith("pictures/") and "1955" in citation["quote"]


def test_related_and_links_reach_over_kinds(mixed):
    assert "papers/paper5.pdf" in [r["path"] for r in mixed.get("/api/notes/notes/note5.md/related?limit=30")["results"]]
    assert [b["path"] for b in mixed.get("/api/notes/papers/paper5.pdf/links")["backlinks"]] == ["notes/note5.md"]


def test_a_second_start_takes_nothing_out_again(mixed):
    mixed.stop()
    mixed.start(60).wait_settled(60)
    assert mixed.metric("knap_documents_read_total") == 0 == mixed.metric("knap_documents_failed_total")
    assert mixed.paths("bridge", filter="type:pdf", mode="keyword")
