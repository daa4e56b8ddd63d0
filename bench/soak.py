#!/usr/bin/env python3
"""Weeks of editing in minutes: hundreds of thousands of saved notes through the watcher, with searches beside them.

    soak.py                    20,000 edits of 2,000 notes
    soak.py --edits 200000     some minutes

Edits come in bursts: notes are saved (half of them by way of a temporary name, as editors do), renamed, deleted and made anew.
After each burst the newest word must be found. At the end every note must be found by its word, none by a word edited away
(2,000 of them, drawn at random), the ledger must list exactly the files that are there, and the server's memory must be within
a tenth of what it was after the first twentieth of the edits. Keyword search only: vectors would take hours. Exit code 1 when one of this does not hold.
"""
import argparse
import json
import os
import pathlib
import random
import re
import shutil
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests"))
from knap_server import NO_MODELS, Server, wait_until  # noqa: E402
from latency import machine, percentiles  # noqa: E402

BURST = 400
FILLER = "the note links to another plan with tasks and dates that people find years after they wrote them".split()


def resident_mb(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1]) / 1024


class Vault:
    def __init__(self, folder, notes, rng):
        self.folder, self.rng, self.count, self.words, self.gone = folder, rng, 0, {}, []
        for number in range(notes):
            self.save(folder / f"Folder {number % 40}" / f"Note {number}.md")

    def save(self, path):
        """Writes the note with a new word; returns the word."""
        self.count += 1
        word = f"soak{self.count:07d}word"
        path.parent.mkdir(parents=True, exist_ok=True)
        filler = "\n\n".join(" ".join(self.rng.choices(FILLER, k=50)) for _ in range(self.rng.randint(1, 5)))
        text = f"# {path.stem}\n\n{filler}\n\nThe word is {word}.\n"
        if self.count % 2:
            temporary = path.with_name(f".{path.name}.tmp")
            temporary.write_text(text)
            temporary.replace(path)
        else:
            path.write_text(text)
        if path in self.words:
            self.gone.append(self.words[path])
        self.words[path] = word
        return word

    def burst(self):
        paths = list(self.words)
        for path in self.rng.sample(paths, 4):
            path.unlink()
            self.gone.append(self.words.pop(path))
        for path in self.rng.sample(list(self.words), 4):
            target = path.with_name(f"Renamed {self.count} {path.name[-12:]}")
            path.rename(target)
            self.words[target] = self.words.pop(path)
        for number in range(4):
            word = self.save(self.folder / f"Folder {number}" / f"New {self.count}.md")
        for path in self.rng.sample(list(self.words), BURST - 12):
            word = self.save(path)
        return word


def searching(url, stop, times):
    import requests
    session, rng = requests.Session(), random.Random(2)
    while not stop.wait(.05):
        begin = time.perf_counter()
        session.post(f"{url}/api/search", json={"query": " ".join(rng.choices(FILLER, k=3))}, timeout=30).raise_for_status()
        times.append((time.perf_counter() - begin) * 1000)


def soak(folder, options):
    rng = random.Random(1)
    vault = Vault(folder / "vault", options.notes, rng)
    server = Server(folder / "home", {"soak": vault.folder}, NO_MODELS).start()
    stop, times, memory = threading.Event(), [], []
    searcher = threading.Thread(target=searching, args=(server.url, stop, times), daemon=True)
    try:
        server.wait_settled(60)
        searcher.start()
        begin, made = time.perf_counter(), 0
        while made < options.edits:
            word = vault.burst()
            made += BURST
            wait_until(lambda: server.paths(word, mode="keyword", limit=1), 30, f"{word} found after {made} edits")
            memory.append((made, resident_mb(server.process.pid)))
        took = time.perf_counter() - begin
        server.wait_settled(60)
        stop.set()
        searcher.join(30)
        lost = [str(p) for p, w in vault.words.items() if server.paths(w, mode="keyword", limit=1) != [p.relative_to(vault.folder).as_posix()]]
        stale = [w for w in rng.sample(vault.gone, min(2000, len(vault.gone))) if server.paths(w, mode="keyword")]
        ledger = {file["path"] for file in server.files()}
        there = {p.relative_to(vault.folder).as_posix() for p in vault.words}
        early = next(mb for at, mb in memory if at >= options.edits / 20)
        late = sum(mb for _, mb in memory[-5:]) / len(memory[-5:])
        return {"edits": made, "seconds": round(took, 1), "edits_per_s": round(made / took), "notes": len(there), "lost": len(lost),
                "stale": len(stale), "ledger_differs": len(ledger ^ there), "memory_early_mb": round(early, 1),
                "memory_late_mb": round(late, 1), "memory_ratio": round(late / early, 3),
                "segments": server.get("/api/vector_db/stats").get("segments"), "search_ms": percentiles(times)}
    finally:
        stop.set()
        server.kill()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edits", type=int, default=20_000)
    parser.add_argument("--notes", type=int, default=2_000)
    options = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="knap-soak-", dir=os.environ.get("TMPDIR")))
    try:
        result = soak(folder, options)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for key, value in result.items():
        print(f"{key:<18} {value}")
    print(json.dumps({"machine": machine(), "soak": result}))
    good = not (result["lost"] or result["stale"] or result["ledger_differs"]) and .9 <= result["memory_ratio"] <= 1.1
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
