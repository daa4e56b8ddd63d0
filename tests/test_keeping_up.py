"""An edit is found without anybody asking; nothing is lost in a burst."""
import os
import shutil

import pytest

from conftest import write_notes
from knap_server import wait_until


@pytest.fixture
def vault(servers):
    server = servers({"One.md": "The word is alphaone.\n", "folder/Two.md": "The word is betatwo.\n",
                      "folder/deep/Three.md": "The word is gammathree.\n"})
    return server, server.vaults["notes"]


def listed(server):
    return {file["path"] for file in server.files("indexed")}


def test_created_note(vault):
    server, folder = vault
    write_notes(folder, {"new folder/Four.md": "The word is deltafour.\n"})
    server.wait_found("deltafour", "new folder/Four.md")


def test_edited_note(vault):
    server, folder = vault
    before = server.status()["epoch"]
    (folder / "One.md").write_text("Now it is epsilonfive.\n")
    server.wait_found("epsilonfive", "One.md")
    server.wait_gone("alphaone")
    assert server.status()["epoch"] > before


def test_appended_line_keeps_lines_right(vault):
    server, folder = vault
    with open(folder / "One.md", "a") as file:
        file.write("\n" * 30 + "# Late\n\nThe word is lateword.\n")
    server.wait_found("lateword", "One.md")
    result = server.search("lateword")["results"][0]
    lines = (folder / "One.md").read_text().splitlines()
    first, last = result["lines"]
    assert any("lateword" in line for line in lines[first - 1:last])


def test_deleted_note(vault):
    server, folder = vault
    (folder / "One.md").unlink()
    server.wait_gone("alphaone")
    assert "One.md" not in listed(server)


def test_renamed_note(vault):
    server, folder = vault
    (folder / "One.md").rename(folder / "folder" / "Renamed.md")
    server.wait_found("alphaone", "folder/Renamed.md")
    server.wait_gone("alphaone", "One.md")


def test_renamed_folder(vault):
    server, folder = vault
    (folder / "folder").rename(folder / "moved")
    server.wait_found("gammathree", "moved/deep/Three.md")
    server.wait_gone("gammathree", "folder/deep/Three.md")
    # The moved folder is still watched.
    (folder / "moved" / "deep" / "Three.md").write_text("Then it was zetasix.\n")
    server.wait_found("zetasix", "moved/deep/Three.md")
    assert listed(server) == {"One.md", "moved/Two.md", "moved/deep/Three.md"}


def test_folder_moved_in_and_out(vault, tmp_path):
    server, folder = vault
    outside = write_notes(tmp_path / "outside", {"a/In.md": "The word is etaseven.\n"})
    outside.rename(folder / "inside")
    server.wait_found("etaseven", "inside/a/In.md")
    (folder / "inside").rename(tmp_path / "gone")
    server.wait_gone("etaseven")


def test_deleted_folder(vault):
    server, folder = vault
    shutil.rmtree(folder / "folder")
    server.wait_gone("betatwo")
    server.wait_gone("gammathree")
    assert listed(server) == {"One.md"}


def test_atomic_save(vault):
    server, folder = vault
    for number in range(5):
        temporary = folder / ".One.md.tmp"
        temporary.write_text(f"Saved as thetaeight{number}.\n")
        os.replace(temporary, folder / "One.md")
    server.wait_found("thetaeight4", "One.md")
    server.wait_gone("alphaone")
    assert listed(server) == {"One.md", "folder/Two.md", "folder/deep/Three.md"}


def test_two_notes_swap_names(vault):
    server, folder = vault
    (folder / "One.md").rename(folder / "swap")
    (folder / "folder" / "Two.md").rename(folder / "One.md")
    (folder / "swap").rename(folder / "folder" / "Two.md")
    server.wait_found("betatwo", "One.md")
    server.wait_found("alphaone", "folder/Two.md")


def test_burst_of_500(vault):
    server, folder = vault
    write_notes(folder, {f"burst/{n % 10}/Note {n}.md": f"# Note {n}\n\nThe word is burst{n:04d}x.\n" for n in range(500)})
    wait_until(lambda: server.status()["files"]["indexed"] == 503 and server.settled(), 20, lambda: str(server.status()))
    for number in range(0, 500, 37):
        assert server.paths(f"burst{number:04d}x", mode="keyword") == [f"burst/{number % 10}/Note {number}.md"]
    for number in range(500):
        (folder / f"burst/{number % 10}/Note {number}.md").write_text(f"Now it is second{number:04d}x.\n")
    server.wait_found("second0499x", "burst/9/Note 499.md", 20)
    wait_until(lambda: server.settled() and not server.paths("burst0123x", mode="keyword"), 20, "settled again")
    for number in range(0, 500, 37):
        assert server.paths(f"second{number:04d}x", mode="keyword") == [f"burst/{number % 10}/Note {number}.md"]


def test_without_watching_a_scan_finds_changes(servers):
    server = servers({"One.md": "The word is alphaone.\n"}, settings={"index": {"watch": False}})
    folder = server.vaults["notes"]
    write_notes(folder, {"Two.md": "The word is betatwo.\n"})
    (folder / "One.md").unlink()
    job = server.call("POST", "/api/scan_vault", expect=None, json={})
    assert job.status_code in (200, 202), job.text
    server.wait_job(job.json()["id"])
    assert server.paths("betatwo", mode="keyword") == ["Two.md"]
    assert server.paths("alphaone", mode="keyword") == []


def test_ignore_rules_take_effect_with_a_scan(vault):
    server, folder = vault
    (folder / ".knapignore").write_text("folder/\n")
    server.wait_job(server.post("/api/scan_vault", expect=None)["id"])
    wait_until(lambda: listed(server) == {"One.md"}, what=lambda: str(listed(server)))
    (folder / ".knapignore").unlink()
    server.wait_job(server.post("/api/scan_vault", expect=None)["id"])
    server.wait_found("gammathree", "folder/deep/Three.md")


def test_reindex_beside_the_live_index(vault):
    server, _ = vault
    job = server.post("/api/reindex", expect=None)["id"]
    assert server.paths("alphaone", mode="keyword") == ["One.md"]
    server.wait_job(job)
    assert server.paths("alphaone", mode="keyword") == ["One.md"]
    assert listed(server) == {"One.md", "folder/Two.md", "folder/deep/Three.md"}
