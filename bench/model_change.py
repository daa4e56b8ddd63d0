#!/usr/bin/env python3
"""Changes the embedding model of a running server while people search it, kills it in the middle, and goes back.

    model_change.py                     obsidian-hub, from the evaluation data
    model_change.py --folder ~/Notes    a copy of your own notes
    model_change.py --judged set.yaml   with judged questions, in the form of knap bench search

Ten searches a second go on throughout, open loop. Prints the latency as it usually is, while the second set of vectors is
built, and over the swap; failed and degraded searches; how many passages were built before the kill and how many after; and
how long the way back took; and how the models compared before the swap. A change that is held is forced. The last line is one JSON object. Exit code 1 when a search failed, when anything was embedded
twice, or when the roll-back took a second.
"""
import argparse
import json
import pathlib
import random
import shutil
import sys
import tempfile
import threading
import time

import requests

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests"))
from knap_server import Server, shared_folder, wait_until  # noqa: E402
from latency import EMBEDDED, machine, make_queries, make_vault, percentiles  # noqa: E402

RATE = 10


class Searchers:
    """Open loop: a search every tenth of a second whether or not the one before has ended."""

    def __init__(self, server, queries):
        self.server, self.queries, self.lock = server, queries, threading.Lock()
        self.phase, self.times, self.bad, self.number = "usual", {}, [], 0
        self.stop, self.pause = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        sessions = [requests.Session() for _ in range(4)]
        next_at = time.perf_counter()
        while not self.stop.is_set():
            next_at += 1 / RATE
            self.number += 1
            if not self.pause.is_set():
                one = threading.Thread(target=self.search, args=(sessions[self.number % 4], self.number), daemon=True)
                one.start()
            time.sleep(max(0.0, next_at - time.perf_counter()))

    def search(self, session, number):
        phase, begin = self.phase, time.perf_counter()
        try:
            answer = session.post(f"{self.server.url}/api/search", json={"query": self.queries[number % len(self.queries)]}, timeout=30)
            body = answer.json()
            fault = None if answer.status_code == 200 and not body["degraded"] else f"{answer.status_code} {str(body)[:200]}"
        except Exception as error:  # noqa: BLE001: whatever it is, this search failed
            fault = repr(error)
        with self.lock:
            self.times.setdefault(phase, []).append((time.perf_counter() - begin) * 1000)
            if fault and not self.pause.is_set():
                self.bad.append((phase, fault))


def embedding(server):
    return server.get("/api/models")["embedding"]


def print_comparison(compared):
    if not compared:
        return
    if compared["overlap_at_10"] is not None:
        print(f"overlap@10 {compared['overlap_at_10']:.3f} over {compared['questions']} questions")
    if judged := compared["judged"]:
        print(f"nDCG@10    {judged['ndcg_10_before']:.3f} -> {judged['ndcg_10']:.3f}, recall@10 {judged['recall_10_before']:.3f} -> "
              f"{judged['recall_10']:.3f} on {judged['questions']} judged questions")
    if compared["problem"]:
        print("judged questions:", compared["problem"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=pathlib.Path, help="notes of your own; they are copied")
    parser.add_argument("--judged", type=pathlib.Path, help="judged questions on these notes")
    parser.add_argument("--model", default="multilingual-e5-small")
    parser.add_argument("--usual-seconds", type=int, default=20)
    options = parser.parse_args()
    if options.folder is None and shared_folder() is None:
        print("skipped: the evaluation data is not here; give --folder", file=sys.stderr)
        return 0
    report = {"machine": machine(), "model": options.model}
    with tempfile.TemporaryDirectory(prefix="knap-model-change-") as folder:
        home = pathlib.Path(folder)
        vault = home / "vault"
        make_vault("hub", vault, options.folder)
        server = Server(home / "server", {"notes": vault})
        if options.judged:
            server.data_dir.mkdir(parents=True, exist_ok=True)
            shutil.copy(options.judged, server.data_dir / "judged.yaml")
        server.start()
        try:
            server.wait_covered(1800)
            queries = make_queries(vault, 400, random.Random(3))
            first = embedding(server)["serving"]
            searchers = Searchers(server, queries)
            time.sleep(options.usual_seconds)

            server.post("/api/models/use", {"model": options.model}, expect=202)
            searchers.phase = "building"
            whole = embedding(server)["missing"]
            wait_until(lambda: embedding(server)["missing"] < whole // 2, 3600, "half of the vectors")

            # Killed while it builds, and started anew with the new model in the settings.
            searchers.pause.set()
            time.sleep(1)
            before_kill = int(server.metric(EMBEDDED))
            server.kill()
            text = server.config.read_text()
            server.config.write_text(text + f"models: {{embed: {options.model}}}\n")
            server.start()
            report["left_after_kill"] = embedding(server)["missing"]
            wait_until(lambda: server.search("ready")["mode"] == "hybrid", 60, "the old model, loaded again")
            if embedding(server)["serving"] != first:
                raise SystemExit(f"after the kill {embedding(server)['serving']} serves, not {first}")
            searchers.pause.clear()

            wait_until(lambda: embedding(server)["missing"] < 200 or not embedding(server)["building"], 3600, "nearly all vectors")
            searchers.phase = "swap"
            wait_until(lambda: embedding(server)["held"] or not embedding(server)["building"], 600, "the verdict")
            report["held"] = embedding(server)["held"]
            if report["held"]:
                server.post("/api/models/use", {"model": options.model, "force": True}, expect=202)
            wait_until(lambda: not embedding(server)["building"], 600, "the swap")
            time.sleep(5)
            report["built"], report["embedded_after_kill"] = whole, int(server.metric(EMBEDDED))
            report["compared"] = embedding(server)["compared"]
            searchers.phase = "new"
            time.sleep(options.usual_seconds)

            searchers.phase = "rollback"
            begin = time.perf_counter()
            back = server.post("/api/models/rollback")["embedding"]["serving"]
            answer = server.search("vault")
            report["rollback_s"] = round(time.perf_counter() - begin, 3)
            if back != first or answer["mode"] != "hybrid" or answer["index"]["coverage"]["semantic"] < 1:
                raise SystemExit(f"the roll-back gave {back}, {answer['mode']}, {answer['index']}")
            time.sleep(5)
            searchers.stop.set()
            searchers.thread.join(10)
            time.sleep(1)
        finally:
            server.kill()
    report["before_kill"] = before_kill
    report["search_ms"] = {phase: percentiles(times) for phase, times in searchers.times.items()}
    report["failed_or_degraded"] = len(searchers.bad)
    for phase, values in report["search_ms"].items():
        print(f"{phase:10} {values}")
    print_comparison(report["compared"])
    for fault in searchers.bad[:5]:
        print("fault:", fault)
    twice = report["embedded_after_kill"] > report["left_after_kill"] + 64
    print(json.dumps(report))
    return 1 if searchers.bad or twice or report["rollback_s"] >= 1 else 0


if __name__ == "__main__":
    sys.exit(main())
