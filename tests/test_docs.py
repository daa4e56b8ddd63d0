"""The manual tells the truth: its links lead somewhere, its settings exist, and Knap answers from it."""
import json
import re
import subprocess
import sys

import pytest

from knap_server import ROOT, run

DOCS = ROOT / "docs"


def test_every_link_leads_somewhere():
    done = subprocess.run([sys.executable, ROOT / "script" / "lib" / "tidy_checks.py", "--links"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_every_note_can_be_reached_from_the_welcome():
    notes = {p.stem: p for p in DOCS.rglob("*.md")}
    seen, queue = set(), ["Welcome"]
    while queue:
        name = queue.pop()
        if name in seen or name not in notes:
            continue
        seen.add(name)
        queue += [link.strip() for link in re.findall(r"\[\[([^\]|#]+)", notes[name].read_text("utf-8"))]
    assert set(notes) - seen == set()


def test_canvases_name_existing_files():
    for canvas in DOCS.rglob("*.canvas"):
        board = json.loads(canvas.read_text("utf-8"))
        ids = {node["id"] for node in board["nodes"]}
        assert all((DOCS / node["file"]).is_file() for node in board["nodes"] if node["type"] == "file")
        assert all({edge["fromNode"], edge["toNode"]} <= ids for edge in board["edges"])


@pytest.fixture(scope="module")
def effective(tmp_path_factory):
    return json.loads(run("config", "--json", home=tmp_path_factory.mktemp("config")).stdout)


def documented():
    """Setting -> default as the manual writes it."""
    rows = re.findall(r"^\| `([a-z0-9_.]+)` \| (.*?) \|", (DOCS / "Configuration.md").read_text("utf-8"), re.M)
    return dict(rows)


def test_every_setting_is_documented(effective):
    assert set(documented()) == set(effective)


def test_documented_defaults_are_right(effective):
    for key, default in documented().items():
        literal = re.fullmatch(r"`([^`]*)`", default)
        value = effective[key]["value"]
        if not literal:
            assert value in ("", [], "none") or key in ("data.dir", "models.dir", "log.file"), f"{key}: {value}"
        elif key not in ("data.dir", "models.dir"):
            assert literal[1] == (json.dumps(value) if not isinstance(value, str) else value) or float(literal[1]) == value, key


def test_every_command_is_documented(tmp_path):
    text = (DOCS / "Command line.md").read_text("utf-8")
    listed = run("--help", home=tmp_path).stdout.split("ubcommands:")[1]
    commands = re.findall(r"^  ([a-z]+) ", listed, re.M)
    assert len(commands) >= 9
    assert all(f"`knap {command}" in text for command in commands)


def test_knapignore_example_does_what_the_manual_says(servers):
    text = (DOCS / "Ignoring files.md").read_text("utf-8")
    rules = re.search(r"```gitignore\n(.*?)```", text, re.S)[1]
    server = servers({".knapignore": rules, "Archive/Old.md": "x", "a/b.tmp.md": "x", "a/Keep.tmp.md": "x",
                      "Templates/x/y/draft-1.md": "x", "Templates/x/final.md": "x", "Note.md": "x"})
    listed = {file["path"] for file in server.files()}
    assert {"Note.md", "Templates/x/final.md", "a/Keep.tmp.md"} <= listed
    assert not {"Archive/Old.md", "a/b.tmp.md", "Templates/x/y/draft-1.md"} & listed


QUESTIONS = [
    ("Which port does Knap listen on?", ["8000"]),
    ("How do I exclude a folder?", [".knapignore"]),
    ("Which models does Knap use by default?", ["all-minilm-l6-v2", "smollm2-135m-instruct"]),
    ("Does anything leave my machine?", ["nothing leaves", "remote model"]),
    ("Where does Knap keep its data?", [".local/share/knap", "data folder"]),
]


@pytest.fixture(scope="module")
def manual(module_servers):
    return module_servers(vaults={"knap": DOCS})


@pytest.fixture(scope="module")
def manual_with_models(module_servers, default_models):
    return module_servers(vaults={"knap": DOCS}, models=True).wait_covered()


@pytest.mark.parametrize("question, facts", QUESTIONS)
@pytest.mark.parametrize("served", ["manual", "manual_with_models"])
def test_knap_answers_about_itself(request, served, question, facts):
    server = request.getfixturevalue(served)
    answer = server.ask(question)
    assert not answer["refused"], answer
    said = (answer["answer"] + " ".join(c["quote"] for c in answer["citations"])).lower()
    assert any(fact in said for fact in facts), answer["answer"]
    for citation in answer["citations"]:
        lines = (DOCS / citation["path"]).read_text("utf-8").splitlines()
        first, last = citation["lines"]
        assert " ".join(citation["quote"].split()) in " ".join(" ".join(lines[first - 1:last]).split())


def test_the_manual_is_read_whole(manual):
    counts = manual.status()["files"]
    assert counts["indexed"] == counts["total"] > 25 and counts["failed"] == 0
