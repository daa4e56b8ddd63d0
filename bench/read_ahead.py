#!/usr/bin/env python3
"""Answers with passages read ahead and without, on the same questions in one run.

    read_ahead.py                       Qwen2.5 Coder 1.5B, 100 + 100 questions of XQuAD
    read_ahead.py --model NAME --questions 20 --rounds cold

`cold`: the server as it is without reading ahead. `warm`: with it, after a search for each note of the vault, when all that was
found has been read. Both are asked the questions of ../shared/eval/answer_quality.py, whose figures are printed, and beside them
from the server's metrics: time to the model's first token, tokens a second, prompt tokens that were not read again.
Prints one JSON line a round. Figures of time count only on an idle machine, those of quality on any.
"""
import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests"))
from knap_server import Server, shared_folder, wait_until  # noqa: E402

FIGURES = ["first_token_seconds_sum", "first_token_seconds_count", "prompt_tokens_total", "read_ahead_hits", "read_ahead_misses",
           "read_ahead_saved_tokens", "read_ahead_memory_bytes", "read_ahead_tokens_total", "read_ahead_passages_total",
           "read_ahead_waiting"]


def figures(server):
    """Sums of the metrics that matter, over models, and the bounds of the time to the first token."""
    text = server.call("GET", "/metrics").text
    found = {name: sum(map(float, re.findall(rf"^knap_(?:models|answer)_{name}(?:{{[^}}]*}})? (\S+)$", text, re.M))) for name in FIGURES}
    buckets = [(float(le), float(n)) for le, n in
               re.findall(r'^knap_models_first_token_seconds_bucket{[^}]*le="([0-9][0-9.e+-]*)"[^}]*} (\S+)$', text, re.M)]
    total = found["first_token_seconds_count"]
    for share in (0.5, 0.95):
        found[f"first_token_p{share * 100:.0f}_at_most_s"] = next((le for le, n in buckets if total and n >= share * total), None)
    return found


def read_all(server, vault):
    """Searches for each note, as somebody who looks around would, and waits until what was found has been read."""
    begin, pending = time.monotonic(), sorted(vault.glob("*.md"))
    while pending:  # fewer at a time than may wait
        for note in pending[:50]:
            server.search(" ".join(note.read_text("utf-8").split()[:30]))
        pending = pending[50:]
        while figures(server)["read_ahead_waiting"] > 0:
            time.sleep(2)
        time.sleep(10)  # the last one
    return round(time.monotonic() - begin, 1)


def measure(kind, args, shared, vault, home):
    settings = {"models": {"answer": args.model, "warm": [args.model]},
                "answer": {"read_ahead": kind == "warm", "read_ahead_share": 1.0, "read_ahead_memory_bytes": 2 << 30}}
    server = Server(home / kind, {"notes": vault}, settings).start(60)
    try:
        wait_until(lambda: server.status()["coverage"]["semantic"] >= 1, 300, "all passages to have vectors")
        wait_until(lambda: any(m["name"] == args.model and m["state"] == "ready" for m in server.get("/api/models")["models"]), 120, "the model")
        seconds = read_all(server, vault) if kind == "warm" else None
        before = figures(server)
        done = subprocess.run([sys.executable, shared / "eval" / "answer_quality.py", "measure", vault, "--url", server.url,
                               "--questions", str(args.questions), *(["--verbose"] if args.verbose else [])],
                              check=True, capture_output=True, text=True)
        if args.verbose:
            pathlib.Path(f"{args.verbose}.{kind}").write_text(done.stdout, "utf-8")
        after = figures(server)
        spent, asked = (after[f"first_token_seconds_{name}"] - before[f"first_token_seconds_{name}"] for name in ("sum", "count"))
        report = {"round": kind, "reading_s": seconds, "first_token_mean_s": round(spent / asked, 3) if asked else None,
                  "asked_the_model": asked, "before": before, "after": after}
        report["quality"] = json.loads(done.stdout[done.stdout.index("{\n"):])
        print(json.dumps(report), flush=True)
    finally:
        server.kill()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="qwen2.5-coder-1.5b-instruct")
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--rounds", nargs="+", default=["cold", "warm"])
    parser.add_argument("--home", type=pathlib.Path, help="folder that stays: what was read ahead is read from disk the next time")
    parser.add_argument("--verbose", help="beginning of the names of two files for all answers")
    args = parser.parse_args()
    shared = shared_folder()
    if shared is None:
        sys.exit("the evaluation data is not there: set KNAP_SHARED")
    with tempfile.TemporaryDirectory() as home:
        home = args.home or pathlib.Path(home)
        vault = home / "vault"
        if not vault.exists():
            subprocess.run([sys.executable, shared / "eval" / "answer_quality.py", "vault", vault], check=True, stdout=subprocess.DEVNULL)
        for kind in args.rounds:
            measure(kind, args, shared, vault, home)


if __name__ == "__main__":
    main()
