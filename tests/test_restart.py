"""A restart, graceful or not, loses nothing and pays for nothing twice."""
import os
import signal
import threading
import time

import pytest

from conftest import write_notes
from knap_server import wait_until

EMBEDDED = "knap_index_passages_embedded_total"
NOTES = {f"Note {n}.md": f"# Note {n}\n\nThe word is word{n:03d}q. Clouds of kind {n} bring rain to valley {n}.\n" for n in range(40)}


def test_graceful_stop_is_quick_and_clean(servers):
    server = servers(NOTES)
    begin = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - begin < 5
    server.start()
    assert server.paths("word017q", mode="keyword") == ["Note 17.md"]


def test_stop_with_open_connections(servers):
    server = servers(NOTES)
    server.get("/health")  # leaves a kept connection
    assert server.stop() == 0


def test_ready_at_once_from_the_store(servers):
    server = servers(NOTES)
    server.stop()
    server.start()
    # /readyz means that keyword search answers, before any scan has ended.
    assert len(server.paths("clouds", limit=100, mode="keyword")) == len(NOTES)


def test_changes_while_stopped(servers):
    server = servers(NOTES)
    server.stop()
    folder = server.vaults["notes"]
    (folder / "Note 1.md").unlink()
    (folder / "Note 2.md").write_text("Changed to freshword.\n")
    (folder / "Note 3.md").rename(folder / "Renamed.md")
    write_notes(folder, {"New.md": "Created as newword.\n"})
    server.start()
    server.wait_found("freshword", "Note 2.md")
    server.wait_found("newword", "New.md")
    server.wait_found("word003q", "Renamed.md")
    server.wait_gone("word001q")
    server.wait_gone("word002q")


def test_a_restart_and_renames_embed_nothing_again(servers, default_models):
    server = servers(NOTES, models=True)
    server.wait_covered()
    first = server.metric(EMBEDDED)
    assert first >= len(NOTES), f"{EMBEDDED} is {first}"
    folder = server.vaults["notes"]
    (folder / "Note 5.md").rename(folder / "Elsewhere.md")
    write_notes(folder, {"Copy.md": (folder / "Note 6.md").read_text()})
    server.wait_found("word005q", "Elsewhere.md")
    server.wait_found("word006q", "Copy.md")
    server.stop()
    server.start()
    server.wait_covered()
    assert server.metric(EMBEDDED) == 0
    # The stored vectors serve as soon as the model can embed a query.
    wait_until(lambda: server.search("wet weather", mode="semantic")["results"], 60, "found by meaning")
    assert server.metric(EMBEDDED) == 0


def test_killed_while_notes_change(servers):
    server = servers(NOTES)
    folder, words = server.vaults["notes"], {}
    for turn in range(3):
        stop = threading.Event()

        def change():
            number = 0
            while not stop.is_set():
                path = f"Turn {turn}/Note {number % 60}.md"
                words[path] = f"turn{turn}n{number}z"
                write_notes(folder, {path: f"The word is {words[path]}.\n"})
                number += 1

        writer = threading.Thread(target=change)
        writer.start()
        wait_until(lambda: server.paths(f"turn{turn}n", mode="keyword", limit=100), what="first changes found")
        server.kill()
        stop.set()
        writer.join()
        server.start()
    server.wait_settled()
    for path, word in words.items():
        server.wait_found(word, path)
    on_disk = {p.relative_to(folder).as_posix() for p in folder.rglob("*.md")}
    assert {file["path"] for file in server.files("indexed")} == on_disk


def test_killed_while_embedding(servers, default_models):
    notes = {f"Note {n}.md": f"# Topic {n}\n\n" + f"Sentence about river {n} and mountain {n + 1}. " * 20 for n in range(300)}
    server = servers(notes, models=True)
    wait_until(lambda: server.metric(EMBEDDED) > 0, 60, "first vectors")
    server.kill()
    server.start()
    server.wait_covered(120)
    assert server.status()["coverage"]["semantic"] == 1


def test_runners_end_with_their_server(servers, default_models):
    server = servers({"One.md": "Text.\n"}, models=True)
    server.wait_covered()
    children = wait_until(server.children, what="runners")
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait(10)
    wait_until(lambda: not server.children(), 10, f"end of the runners {children}")


def test_second_process_is_kept_out_of_the_data_folder(servers):
    server = servers(NOTES)
    from knap_server import run
    second = run("index", "--config", server.config, home=server.home)
    assert second.returncode == 1
    assert len(second.stderr.strip().splitlines()) == 1 and "another knap" in second.stderr
    assert server.paths("word017q", mode="keyword") == ["Note 17.md"]


@pytest.mark.parametrize("name", ["knap.db-wal", "knap.db-shm"])
def test_lost_side_files_of_the_store_are_made_again(servers, name):
    server = servers(NOTES)
    server.stop()
    (server.data_dir / name).unlink(missing_ok=True)
    server.start().wait_settled()
    assert server.paths("word017q", mode="keyword") == ["Note 17.md"]
