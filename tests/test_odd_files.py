"""A vault of odd files: each is in exactly one state of the ledger, and the sum equals a walk of our own."""
import hashlib
import os
import pathlib
import random
import shutil
import unicodedata

import pytest

from conftest import write_notes

CANVAS = '{"nodes":[{"id":"1","type":"text","text":"canvascard words","x":0,"y":0,"width":9,"height":9}],"edges":[]}'
LIMIT = 200_000
NFC, NFD = unicodedata.normalize("NFC", "Café"), unicodedata.normalize("NFD", "Café")

# path: (content, state in the ledger, a word by which it must be found or None)
FILES = {
    "plain.md": ("Just plainword.\n", "indexed", "plainword"),
    "empty.md": ("", "indexed", None),
    "only spaces.md": (" \n\t\n\n", "indexed", None),
    "no newline.md": ("nonewlineword", "indexed", "nonewlineword"),
    "crlf.md": ("# Head\r\n\r\nfirst\r\n\r\ncrlfword here\r\n", "indexed", "crlfword"),
    "old mac.md": ("# Head\r\rmacword\r", "indexed", "macword"),
    "bom.md": (b"\xef\xbb\xbf---\ntags: [bomtag]\n---\nbomword\n", "indexed", "bomword"),
    "utf16.md": ("utf16word\n".encode("utf-16"), None, None),
    "latin1.md": ("Gr\xfc\xdfe latinword\n".encode("latin-1"), "indexed", "latinword"),
    "broken utf8.md": (b"before \xff\xfe\xc3 brokenword \xe2\x82 after\n", "indexed", "brokenword"),
    "surrogates.md": (b"\xed\xa0\x80 surrogateword\n", "indexed", "surrogateword"),
    "nul inside.md": (b"text \0 nulword\n", None, None),
    "binary.md": (bytes(range(256)) * 40, "skipped", None),
    "elf.md": (b"\x7fELF" + b"\0\1\2" * 2000, "skipped", None),
    "huge.md": ("hugeword " * (LIMIT // 4), "skipped", None),
    "just fits.md": ("x" * 70 + "\n") * 2000 + "fitsword\n",
    "one long line.md": ("longline " * 15000 + "endoflineword", "indexed", "endoflineword"),
    "broken front matter.md": ("---\ntitle: [unclosed\n  : : bad\n---\nfrontword\n", "indexed", "frontword"),
    "front matter only.md": ("---\ntitle: Lonelytitle\n---\n", "indexed", "lonelytitle"),
    "unclosed front matter.md": ("---\ntitle: x\n\nunclosedword\n", "indexed", "unclosedword"),
    "yaml bomb.md": ("---\na: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\n"
                     "d: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e]\n---\nbombword\n",
                     "indexed", "bombword"),
    "deep lists.md": ("".join(" " * n * 2 + f"- level{n}\n" for n in range(300)) + "\ndeepword\n", "indexed", "deepword"),
    "deep quotes.md": (">" * 5000 + " quoteword\n", "indexed", None),
    "unclosed fence.md": ("```\ncodeword in an open fence\n", "indexed", "codeword"),
    "brackets.md": ("[[" * 3000 + " bracketword\n", "indexed", None),
    "stars.md": ("*_" * 5000 + " starword\n", "indexed", None),
    "board.canvas": (CANVAS, "indexed", "canvascard"),
    "broken.canvas": ("{not json", "failed", None),
    "empty.canvas": ("", None, None),
    "table.base": ("filters:\n  and:\n    - file.hasTag(\"basetag\")\n", "indexed", None),
    "drawing.excalidraw.md": ("---\nexcalidraw-plugin: parsed\n---\n# Text Elements\nsketchword ^abc\n\n# Drawing\n```json\n"
                              "{\"junkdrawing\": 1}\n```\n", "indexed", "sketchword"),
    # Known by its name alone, unless text is looked for in pictures: then it is a broken one.
    "picture.png": (b"\x89PNG\r\n\x1a\n" + b"\0" * 50, "failed" if shutil.which("tesseract") else "indexed", "picture"),
    "UPPER.MD": ("upperword\n", "indexed", "upperword"),
    f"nfc {NFC}.md": ("nfcword\n", "indexed", "nfcword"),
    f"nfd {NFD}.md": ("nfdword\n", "indexed", "nfdword"),
    "emoji 🚀👩‍🚀.md": ("emojiword\n", "indexed", "emojiword"),
    "日本語 メモ.md": ("japanword\n", "indexed", "japanword"),
    "quotes \"'& ? # % + .md": ("punctword\n", "indexed", "punctword"),
    " leading and trailing .md": ("spaceword\n", "indexed", "spaceword"),
    "a" * 240 + ".md": ("longnameword\n", "indexed", "longnameword"),
    "new\nline.md": ("newlinename\n", "indexed", "newlinename"),
    "/".join(["deep"] * 30) + "/note.md": ("thirtydeep\n", "indexed", "thirtydeep"),
    "folder.md/inner.md": ("innerword\n", "indexed", "innerword"),
}
FILES["just fits.md"] = (FILES["just fits.md"], "indexed", "fitsword")


def mutated(count):
    """The files above with bytes cut, doubled, overwritten and joined at random: whatever they are now, each has one state."""
    rng = random.Random(7)
    # Other words than the originals', which alone must be found by theirs.
    samples = [(pathlib.PurePosixPath(path).suffix,
                (content.encode() if isinstance(content, str) else content).replace(b"word", b"mutant").replace(b"junkdrawing", b"other"))
               for path, (content, _, _) in FILES.items() if len(content) < LIMIT]
    files = {}
    for number in range(count):
        suffix, data = rng.choice(samples)
        data = bytearray(data or b"x")
        for _ in range(rng.randint(1, 8)):
            at = rng.randrange(len(data)) if data else 0
            edit = rng.randrange(4)
            if edit == 0:
                del data[at:at + rng.randint(1, 40)]
            elif edit == 1:
                data[at:at] = data[at:at + rng.randint(1, 200)]
            elif edit == 2:
                data[at:at + 1] = rng.randbytes(rng.randint(1, 4))
            else:
                data += rng.choice(samples)[1][:500]
        files[f"mutated/{number}{suffix}"] = bytes(data)
    return files


IGNORED = {
    ".hidden.md": "hiddenword", ".hidden/inside.md": "hiddenword", ".trash/deleted.md": "trashword",
    ".obsidian/workspace.md": "workspaceword", "templates/skip.md": "ignoredword", "sub/notes.tmp.md": "ignoredword",
    "Excluded/secret.md": "excludedword",
}


def own_walk(root):
    """Every regular file that is not ignored, by relative path. Each real folder once; hidden entries left out."""
    found, seen, queue = set(), set(), [root]
    while queue:
        folder = queue.pop()
        real = os.path.realpath(folder)
        if real in seen:
            continue
        seen.add(real)
        for entry in os.scandir(folder):
            path = os.path.relpath(entry.path, root)
            if entry.name.startswith(".") or path.startswith(("templates", "Excluded")) or entry.name.endswith(".tmp.md"):
                continue
            if os.path.isdir(entry.path):  # unlike entry.is_dir(), no error on a link to itself
                queue.append(entry.path)
            elif os.path.isfile(entry.path):
                found.add(path)
    return found


def content_hashes(root):
    return {path: hashlib.sha256(pathlib.Path(root, path).read_bytes()).hexdigest() for path in own_walk(root)}


@pytest.fixture(scope="module")
def odd(module_servers, tmp_path_factory):
    root = tmp_path_factory.mktemp("odd")
    write_notes(root, {path: content for path, (content, _, _) in FILES.items()})
    write_notes(root, mutated(150))
    write_notes(root, {path: f"{word}\n" for path, word in IGNORED.items()})
    write_notes(root, {".knapignore": "# comment\ntemplates/\n*.tmp.md\n", ".obsidian/app.json": '{"userIgnoreFilters": ["Excluded/"]}'})
    outside = write_notes(tmp_path_factory.mktemp("outside"), {"linked.md": "linkedword\n", "folder/far.md": "farword\n"})
    (root / "loop").symlink_to(root, target_is_directory=True)
    (root / "deep" / "up").symlink_to("..", target_is_directory=True)
    (root / "dangling.md").symlink_to(root / "nowhere.md")
    (root / "self.md").symlink_to("self.md")
    (root / "linked file.md").symlink_to(outside / "linked.md")
    (root / "linked folder").symlink_to(outside / "folder", target_is_directory=True)
    os.mkfifo(root / "pipe.md")
    if os.geteuid() != 0:
        write_notes(root, {"unreadable.md": "x\n"})
        (root / "unreadable.md").chmod(0)
    before = content_hashes(root)
    server = module_servers(vaults={"odd": root}, settings={"index": {"max_file_bytes": LIMIT}})
    return server, root, before, {file["path"]: file for file in server.files()}


def test_each_file_once_and_none_missing(odd):
    server, root, _, ledger = odd
    rows = server.files()
    assert len(rows) == len(ledger), "a file stands twice"
    walked = own_walk(root)
    missing = {path for path in walked if path not in ledger and unicodedata.normalize("NFC", path) not in ledger}
    assert not missing
    extra = {path for path in ledger if path not in walked and unicodedata.normalize("NFD", path) not in walked}
    # What is no regular file may be listed, but only as left out and with its reason.
    assert all(ledger[path]["state"] in ("skipped", "failed") and ledger[path]["reason"] for path in extra), extra


def test_counts_equal_the_rows(odd):
    server, _, _, ledger = odd
    counts = server.status()["files"]
    for state in ("indexed", "skipped", "failed", "pending", "stale"):
        assert counts[state] == sum(file["state"] == state for file in ledger.values()), state
    assert counts["total"] == len(ledger)
    assert counts["pending"] == counts["stale"] == 0


@pytest.mark.parametrize("path", [path for path, (_, state, _) in FILES.items() if state])
def test_state(odd, path):
    _, _, _, ledger = odd
    row = ledger.get(path) or ledger[unicodedata.normalize("NFC", path)]
    assert row["state"] == FILES[path][1], row
    if row["state"] != "indexed":
        assert row["reason"], row


@pytest.mark.parametrize("path", [path for path, (_, _, word) in FILES.items() if word])
def test_found(odd, path):
    server = odd[0]
    found = {unicodedata.normalize("NFC", p) for p in server.paths(FILES[path][2], mode="keyword")}
    assert unicodedata.normalize("NFC", path) in found


@pytest.mark.parametrize("word", ["linkedword", "farword"])
def test_links_are_followed(odd, word):
    assert len(odd[0].paths(word, mode="keyword")) == 1


@pytest.mark.parametrize("word", sorted(set(IGNORED.values())) + ["hugeword", "junkdrawing"])
def test_not_found(odd, word):
    assert odd[0].paths(word, mode="keyword") == []


def test_ignored_files_are_not_in_the_ledger(odd):
    assert not set(IGNORED) & set(odd[3])


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable_file_fails_and_stops_nothing(odd):
    assert odd[3]["unreadable.md"]["state"] == "failed"


@pytest.mark.parametrize("path, word", [("crlf.md", "crlfword"), ("bom.md", "bomword"), ("broken utf8.md", "brokenword")])
def test_lines_as_an_editor_counts_them(odd, path, word):
    server, root, _, _ = odd
    result = next(r for r in server.search(word, mode="keyword")["results"] if r["path"] == path)
    lines = (root / path).read_bytes().replace(b"\r\n", b"\n").split(b"\n")
    first, last = result["lines"]
    assert any(word.encode() in line for line in lines[first - 1:last])
    assert 1 <= first <= last <= len(lines)


def test_byte_order_mark_does_not_hide_front_matter(odd):
    assert odd[0].paths("bomword", filter="tag:#bomtag", mode="keyword") == ["bom.md"]


def test_notes_with_odd_names_can_be_fetched(odd):
    from urllib.parse import quote
    for path in ("quotes \"'& ? # % + .md", "emoji 🚀👩‍🚀.md", "日本語 メモ.md"):
        assert odd[0].get(f"/api/notes/{quote(path)}")["path"] == path


def test_the_ledger_is_checked_against_every_walk(odd):
    server = odd[0]
    server.wait_job(server.post("/api/scan_vault", expect=202)["id"])
    assert server.metric("knap_index_ledger_unexplained_files") == 0
    assert "ledger_differs" not in server.log.read_text()


def test_a_restart_says_the_same(odd):
    server, _, _, ledger = odd
    server.stop()
    server.start().wait_settled()
    again = {file["path"]: file["state"] for file in server.files()}
    assert again == {path: file["state"] for path, file in ledger.items()}


def test_nothing_was_written_to_the_vault(odd):
    _, root, before, _ = odd
    assert content_hashes(root) == before
