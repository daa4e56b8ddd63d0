"""PDFs in a vault: found, cited by page, counted; broken ones hold nothing up."""
import os
import shutil
import urllib.parse

import pytest

from knap_server import run, wait_until
from pdf_writer import pdf

pytestmark = pytest.mark.skipif(not shutil.which("pdftotext"), reason="pdftotext is not installed (poppler-utils)")

REPORT = pdf([[(20, "Survey of the river"), "", "The survey began in May with four boats and a crew of nine.",
               "Nobody expected the low water of that summer."],
              [(16, "Bridges"), "", "The bridge at Ostrava was closed in 1997 after the flood.",
               "Its piers had been washed out on the northern bank."],
              [(16, "Costs"), "", "The repair of the ferry landing cost 48000 crowns.",
               "The town paid one half of it."]],
             title="River survey", author="Jana Horak",
             outline=[("Survey of the river", 1), ("Bridges", 2), ("Costs", 3)])


def uri_file(result):
    return urllib.parse.parse_qs(urllib.parse.urlparse(result["uri"]).query)["file"][0]


@pytest.fixture(scope="module")
def river(module_servers):
    return module_servers({"notes.md": "# Boats\n\nThe boats lie in the harbour. See ![[survey.pdf#page=2]].\n",
                           "ferry.md": "# Ferry\n\nThe ferry landing and its repair cost, the crowns, the town.\n",
                           "papers/survey.pdf": REPORT})


def test_a_pdf_is_found_with_its_page_headings_and_title(river):
    result = river.search("bridge closed after the flood")["results"][0]
    assert result["path"] == "papers/survey.pdf"
    assert result["title"] == "River survey"
    assert result["page"] == 2
    assert result["headings"] == ["Bridges"]
    assert uri_file(result) == "papers/survey.pdf#page=2"
    assert "page" not in river.search("boats lie in the harbour")["results"][0]


def test_filters_know_type_and_author(river):
    assert river.paths("ferry", filter="type:pdf") == ["papers/survey.pdf"]
    assert river.paths("ferry", filter='prop.author:"Jana Horak"') == ["papers/survey.pdf"]
    assert "papers/survey.pdf" not in river.paths("the survey of boats", filter="type:md")


def test_an_answer_cites_the_page(river):
    answer = river.ask("When was the bridge at Ostrava closed?", mode="extractive")
    citation = answer["citations"][0]
    assert citation["path"] == "papers/survey.pdf" and citation["page"] == 2
    assert "1997" in citation["quote"]
    assert uri_file(citation) == "papers/survey.pdf#page=2"
    text = river.get("/api/notes/" + urllib.parse.quote("papers/survey.pdf"))["text"]
    first, last = citation["lines"]
    lines = " ".join(text.split("\n")[first - 1:last])
    assert " ".join(citation["quote"].split()) in " ".join(lines.split())


def test_notes_that_embed_a_pdf_link_to_it(river):
    links = river.get("/api/notes/papers/survey.pdf/links")
    assert [link["path"] for link in links["backlinks"]] == ["notes.md"]
    assert river.get("/api/notes/notes.md/links")["links"][0]["path"] == "papers/survey.pdf"


def test_related_notes_of_a_pdf_and_of_a_note(river):
    related = river.get("/api/notes/ferry.md/related")["results"]
    assert "papers/survey.pdf" in [r["path"] for r in related]
    assert river.get("/api/notes/papers/survey.pdf/related")["results"]


def test_the_command_line_shows_the_page(river, tmp_path):
    shown = run("search", "bridge closed flood", "--url", river.url, home=tmp_path)
    assert shown.returncode == 0 and "papers/survey.pdf#page=2" in shown.stdout, shown.stdout + shown.stderr


def test_every_pdf_is_in_the_ledger_with_its_reason(servers):
    server = servers({"good.pdf": REPORT, "locked.pdf": pdf([["secret text"]], password="open sesame"),
                      "scan.pdf": pdf([[], []]), "broken.pdf": b"%PDF-1.4\nnothing of the kind",
                      "renamed.pdf": b"\x7fELF" + bytes(2000), "empty.pdf": b"", "cut.pdf": REPORT[:200],
                      "big.pdf": REPORT + bytes(200_000), "note.md": "words"},
                     settings={"index": {"pdf_max_file_bytes": 100_000}})
    rows = {row["path"]: (row["state"], row["reason"] or "") for row in server.files()}
    assert rows["good.pdf"] == ("indexed", "")
    assert rows["locked.pdf"] == ("skipped", "encrypted: it needs a password")
    assert rows["scan.pdf"] == ("skipped", "no text layer")
    assert rows["big.pdf"] == ("skipped", "larger than 100000 bytes")
    for name in ("broken.pdf", "renamed.pdf", "empty.pdf", "cut.pdf"):
        assert rows[name][0] == "failed" and "PDF" in rows[name][1], rows[name]
    files = server.status()["files"]
    assert files["total"] == 9 == files["indexed"] + files["skipped"] + files["failed"]
    assert server.paths("locked") == ["locked.pdf"]  # by its name


def test_a_second_start_a_rename_and_a_copy_take_nothing_out_again(servers, tmp_path):
    server = servers({"a.pdf": REPORT, "scan.pdf": pdf([[]])})
    assert server.metric("knap_documents_read_total") == 1
    assert server.metric("knap_documents_failed_total") == 1
    server.stop()
    server.start().wait_settled()
    vault = server.vaults["notes"]
    os.rename(vault / "a.pdf", vault / "b.pdf")
    shutil.copy(vault / "b.pdf", vault / "c.pdf")
    server.wait_found("Ostrava", "c.pdf")
    server.wait_found("Ostrava", "b.pdf")
    server.wait_settled()
    assert server.metric("knap_documents_read_total") == 0 == server.metric("knap_documents_failed_total")


def test_a_pdf_that_is_added_changed_and_removed_is_followed(servers):
    server = servers({"note.md": "words"})
    file = server.vaults["notes"] / "new.pdf"
    file.write_bytes(REPORT)
    server.wait_found("Ostrava", "new.pdf")
    file.write_bytes(pdf([["Nothing but a zebrafish."]]))
    server.wait_found("zebrafish", "new.pdf")
    server.wait_gone("Ostrava", "new.pdf")
    file.unlink()
    server.wait_gone("zebrafish")


def test_pdfs_hold_up_no_note(servers):
    slow = pdf([[f"Line {n} of page {page} with some words." for n in range(50)] for page in range(150)])
    server = servers({f"{n}.pdf": slow + b"%% %d" % n for n in range(12)}, start=False).start()
    (server.vaults["notes"] / "late.md").write_text("a zebrafish\n")
    server.wait_found("zebrafish", "late.md", timeout=5)
    assert server.status()["files"]["pending"] > 0, "the test proves nothing when all PDFs are done"


def test_an_imported_pdf_is_kept_outside_of_the_vault_and_read_once(servers, tmp_path):
    server = servers({"note.md": "words"})
    assert [vault["name"] for vault in server.get("/api/index/status")["vaults"]] == ["notes"]
    file = tmp_path / "River Survey.pdf"
    file.write_bytes(REPORT)
    for _ in range(2):
        done = run("import", file, "--url", server.url, home=tmp_path)
        assert done.returncode == 0 and "imports/River Survey.pdf" in done.stdout, done.stdout + done.stderr
    result = server.search("bridge closed after the flood")["results"][0]
    assert (result["vault"], result["path"], result["page"]) == ("imports", "River Survey.pdf", 2)
    assert sorted(path.name for path in server.vaults["notes"].iterdir()) == ["note.md"]
    assert [row["path"] for row in server.files() if row["vault"] == "imports"] == ["River Survey.pdf"]
    file.write_bytes(pdf([["Another zebrafish."]]))
    assert run("import", file, "--url", server.url, home=tmp_path).returncode == 0
    assert server.paths("zebrafish") == ["River Survey (2).pdf"]
    server.stop()
    server.start().wait_settled()
    assert server.paths("zebrafish") == ["River Survey (2).pdf"]
    assert server.metric("knap_documents_read_total") == 0


def test_an_import_that_gives_no_text_says_why(servers, tmp_path):
    server = servers({"note.md": "words"})
    (tmp_path / "locked.pdf").write_bytes(pdf([["secret"]], password="open sesame"))
    done = run("import", tmp_path / "locked.pdf", "--url", server.url, home=tmp_path)
    assert done.returncode == 1 and "needs a password" in done.stdout
    upload = {"data": REPORT, "headers": {"Content-Type": "application/pdf"}}
    for name, status in (("", 422), ("..%2Fx.pdf", 422), (".x.pdf", 422), ("x.exe", 422), ("a%00b.pdf", 422), ("x" * 201 + ".pdf", 422)):
        answer = server.call("POST", f"/api/index_pdf?name={name}", expect=None, **upload)
        assert answer.status_code in (status, 400, 415, 501), (name, answer.status_code, answer.text)
        assert answer.json()["detail"]
    assert server.paths("Ostrava") == []


def test_a_pdf_of_a_vault_is_read_when_asked(servers):
    server = servers({"note.md": "words", "a.pdf": REPORT}, settings={"index": {"watch": False}})
    (server.vaults["notes"] / "a.pdf").write_bytes(pdf([["Now a zebrafish."]]))
    started = server.post("/api/index_pdf", {"path": "a.pdf"}, expect=202)
    server.wait_job(started["job"]["id"])
    assert server.paths("zebrafish") == ["a.pdf"]
    server.post("/api/index_pdf", {"path": "none.pdf"}, expect=404)
    server.post("/api/index_pdf", {"path": 3}, expect=422)


def test_pdfs_can_be_left_out(servers):
    server = servers({"a.pdf": REPORT}, settings={"index": {"pdf": False}})
    assert server.paths("Ostrava") == []
    assert server.files()[0]["state"] == "indexed"


def test_the_real_ones_are_all_accounted_for(servers, shared):
    folder = shared / "data" / "formats" / "pdf"
    if not folder.is_dir():
        pytest.skip("no PDFs among the evaluation data")
    server = servers(vaults={"pdf": folder}, start=False).start(60)
    wait_until(server.settled, 240, "all PDFs read")
    files = server.status()["files"]
    assert files["total"] == files["indexed"] + files["skipped"] + files["failed"]
    pdfs = [row for row in server.files() if row["path"].endswith(".pdf")]
    assert sum(row["state"] == "indexed" for row in pdfs) >= 23
    assert {row["reason"] for row in pdfs if row["state"] != "indexed"} <= {"no text layer", "encrypted: it needs a password"}
