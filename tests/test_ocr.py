"""Text in scans and pictures, where Tesseract is installed."""
import shutil
import subprocess

import pytest

from pdf_writer import pdf

pytestmark = pytest.mark.skipif(not (shutil.which("tesseract") and shutil.which("pdftoppm")),
                                reason="tesseract or pdftoppm is not installed (tesseract-ocr, poppler-utils)")

PAGE = [(20, "Survey of the river"), "", (14, "The bridge at Ostrava was closed in 1997 after the flood."),
        (14, "Its piers had been washed out on the northern bank.")]
OTHER = [(20, "Animals"), "", (14, "The zebrafish swims in the pond behind the mill.")]


def drawn(folder, lines, kind):
    """A page as a picture."""
    file = folder / "page.pdf"
    file.write_bytes(pdf([lines]))
    subprocess.run(["pdftoppm", f"-{kind}", "-gray", "-r", "150", "-singlefile", file, folder / "page"], check=True)
    return (folder / f"page.{'jpg' if kind == 'jpeg' else kind}").read_bytes()


def test_a_scan_and_a_picture_are_found_with_page_and_confidence(servers, tmp_path):
    scan = pdf([drawn(tmp_path, OTHER, "jpeg"), drawn(tmp_path, PAGE, "jpeg"), []], title="Scanned survey")
    server = servers({"scan.pdf": scan, "photo.png": drawn(tmp_path, OTHER, "png"), "icon.svg": "<svg><text>quagga</text></svg>",
                      "broken.png": b"\x89PNG and nothing", "blank.pdf": pdf([[]])}, start=False).start(60).wait_settled(120)
    result = server.search("bridge closed in 1997", mode="keyword")["results"][0]
    assert (result["path"], result["page"], result["title"]) == ("scan.pdf", 2, "Scanned survey")
    found = server.search("zebrafish pond mill", mode="keyword")["results"]
    assert {r["path"]: r.get("page") for r in found} == {"scan.pdf": 1, "photo.png": None}
    assert set(server.paths("zebrafish", mode="keyword", filter="prop.ocr_confidence>70")) == {"scan.pdf", "photo.png"}
    assert server.paths("zebrafish", mode="keyword", filter="type:image") == ["photo.png"]
    rows = {row["path"]: (row["state"], row["reason"] or "") for row in server.files()}
    assert rows["icon.svg"] == ("indexed", "")
    assert rows["blank.pdf"] == ("skipped", "no text layer")
    assert rows["broken.png"][0] == "failed"
    server.stop()
    server.start().wait_settled()
    assert server.metric("knap_documents_read_total") == 0


def test_it_can_be_left_out(servers, tmp_path):
    server = servers({"scan.pdf": pdf([drawn(tmp_path, PAGE, "jpeg")]), "photo.png": drawn(tmp_path, OTHER, "png")},
                     settings={"index": {"ocr": False}})
    rows = {row["path"]: (row["state"], row["reason"] or "") for row in server.files()}
    assert rows == {"scan.pdf": ("skipped", "no text layer"), "photo.png": ("indexed", "")}
