#!/usr/bin/env python3
"""Damaged PDFs by the thousand in a vault: the server lives, every file is accounted for, none takes more than its limits.

    pdf_mutants.py [--count 2000] [--seed 1] [--strict]

Each is a real PDF of the evaluation data, or a made one, with bytes changed, parts cut out, doubled, swapped, or numbers
blown up. Prints how many gave text, were skipped or failed, the longest reading, and the server's peak memory. The last line
is one JSON object. Exit code 1 when the server ended, a file has no settled state, a reading passed the limit of one file,
or a search failed meanwhile.
"""
import argparse
import collections
import json
import pathlib
import random
import re
import shutil
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests"))
from knap_server import NO_MODELS, Server, shared_folder  # noqa: E402
from latency import machine  # noqa: E402
from pdf_writer import pdf  # noqa: E402

SEED_BYTES_MAX = 400_000
SERVER_MIB_MAX = 600


def seeds():
    out = [pdf([[f"Line {n} of page {p} with words" for n in range(30)] for p in range(5)], title="Made",
               outline=[("One", 1), ("Two", 2)])]
    folder = shared_folder() and shared_folder() / "data/formats/pdf"
    for file in sorted(folder.glob("*.pdf")) if folder and folder.is_dir() else []:
        if file.stat().st_size <= SEED_BYTES_MAX:
            out.append(file.read_bytes())
    return out


def mutate(data, random_):
    data = bytearray(data)
    for _ in range(random_.choice([1, 1, 2, 5, 20, 100])):
        at = random_.randrange(len(data))
        kind = random_.randrange(7)
        if kind == 0:
            data[at] = random_.randrange(256)
        elif kind == 1:
            data[at] ^= 1 << random_.randrange(8)
        elif kind == 2:
            del data[at:at + random_.randrange(1, 2000)]
        elif kind == 3:
            data[at:at] = data[at:at + random_.randrange(1, 2000)]
        elif kind == 4:
            other = random_.randrange(len(data))
            size = random_.randrange(1, 500)
            data[at:at + size] = data[other:other + size]
        elif kind == 5:
            numbers = list(re.finditer(rb"\d+", data[at:at + 3000]))
            if numbers:
                one = random_.choice(numbers)
                data[at + one.start():at + one.end()] = random_.choice([b"0", b"-1", b"2147483647", b"99999999999999", b"65536"])
        else:
            del data[at:]
        if len(data) < 20:
            data += b"%PDF-1.4\n" + bytes(20)
    return bytes(data)


def peak_mib(pid):
    return int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1)) / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--strict", action="store_true", help="also when the server's memory passes its goal")
    options = parser.parse_args()
    home = pathlib.Path(tempfile.mkdtemp(prefix="knap-mutants-"))
    (home / "notes").mkdir()
    (home / "notes/note.md").write_text("zebrafish\n")
    random_, base = random.Random(options.seed), seeds()
    for n in range(options.count):
        (home / f"notes/{n:05d}.pdf").write_bytes(mutate(base[n % len(base)], random_))
    server = Server(home, {"notes": home / "notes"}, NO_MODELS)
    faults = []
    begin = time.monotonic()
    try:
        server.start()
        server.wait_found("zebrafish", "note.md")
        while not server.settled() and time.monotonic() - begin < 60 + options.count * 5:
            if server.process.poll() is not None:
                raise SystemExit(f"the server ended with {server.process.returncode}:\n{server.tail()}")
            if server.paths("zebrafish", mode="keyword") != ["note.md"]:
                faults.append("a search failed meanwhile")
            time.sleep(.25)
        took = time.monotonic() - begin
        rows = server.files()
        states = collections.Counter(row["state"] for row in rows)
        if len(rows) != options.count + 1 or states["pending"] or states["stale"]:
            faults.append(f"not settled: {dict(states)}")
        reasons = collections.Counter(row["reason"] for row in rows if row["reason"])
        longest = server.metrics().get('knap_documents_read_seconds_bucket{kind="pdf",le="60"}', 0)
        total = server.metrics().get('knap_documents_read_seconds_count{kind="pdf"}', 0)
        series = [m for m in server.get("/api/performance/metrics")["series"] if m["name"] == "knap_documents_read_seconds"]
        p99 = max((m["p99_seconds"] for m in series), default=0)
        if longest != total:
            faults.append("a reading took more than 60 s")
        peak = peak_mib(server.process.pid)
        if options.strict and peak > SERVER_MIB_MAX:
            faults.append(f"the server took {peak:.0f} MiB")
        print(f"{options.count} mutants of {len(base)} PDFs in {took:.0f} s: {dict(states)}; p99 of a reading {p99:.2f} s; "
              f"server's peak {peak:.0f} MiB")
        for reason, count in reasons.most_common(12):
            print(f"{count:6} {reason}")
        for fault in faults:
            print("fault:", fault)
        print(json.dumps({"machine": machine(), "count": options.count, "seconds": round(took, 1), "states": dict(states),
                          "p99_s": round(p99, 3), "server_peak_mib": round(peak, 1), "faults": faults}))
        return 1 if faults else 0
    finally:
        server.kill()
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
