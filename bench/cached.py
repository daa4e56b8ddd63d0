#!/usr/bin/env python3
"""Latency of cached searches and answers end to end, open loop, beside the same worked out each time.

    cached.py                           the manual as the vault, default models where installed
    cached.py --folder ~/Notes          a copy of your own notes
    cached.py --rate 2000 --seconds 15

Requests leave on a schedule whether or not earlier ones are answered; latency counts from the moment a request was due. The
server has one core (the last one), the client another. Every answer is checked: status 200, and the layer it says it comes
from. Ends with exit code 1 when one is wrong, with --strict also when a goal was missed.
"""
import argparse
import json
import os
import pathlib
import select
import shutil
import socket
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests"))
from knap_server import NO_MODELS, ROOT, Server, merged  # noqa: E402
from latency import machine, make_queries, percentiles  # noqa: E402

CONNECTIONS = 16
GOALS = {"search_cached_ms.p50": .5, "search_cached_ms.p99": 5, "answer_cached_ms.p99": 10}


def request(server, path, body):
    payload = json.dumps(body).encode()
    return (f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(payload)}\r\n\r\n").encode() + payload


class Line:
    """One keep-alive connection."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.due, self.got, self.want = None, b"", 0

    def send(self, due, raw):
        self.due, self.got, self.want = due, b"", 0
        self.socket.send(raw)

    def read(self):
        """The whole response, or None as long as parts are missing."""
        part = self.socket.recv(1 << 18)
        if not part:
            raise SystemExit("the server closed a connection")
        self.got = self.got + part if self.got else part
        if not self.want:
            end = self.got.find(b"\r\n\r\n")
            if end < 0:
                return None
            at = self.got.lower().find(b"content-length:") + 15
            self.want = end + 4 + int(self.got[at:self.got.find(b"\r", at)])
        return self.got if len(self.got) >= self.want else None


def open_loop(port, raws, rate, seconds, expected):
    """Milliseconds from due to answered, of each request. `expected`: bytes that each answer must hold."""
    lines = [Line(port) for _ in range(CONNECTIONS)]
    free, by_fd, poll = list(lines), {line.socket.fileno(): line for line in lines}, select.epoll()
    for fd in by_fd:
        poll.register(fd, select.EPOLLIN)
    took, waiting, sent, total = [], [], 0, int(rate * seconds)
    clock = time.perf_counter
    begin = clock() + .05
    while len(took) < total:
        now = clock()
        while sent < total and begin + sent / rate <= now:
            waiting.append(begin + sent / rate)
            sent += 1
        while waiting and free:
            due = waiting.pop(0)
            free.pop().send(due, raws[len(took) % len(raws)])
        if sent < total and not waiting:
            # epoll waits whole milliseconds: the rest is waited for in turns.
            left = begin + sent / rate - clock()
            events = poll.poll(0 if left < .0015 else .001)
        else:
            events = poll.poll(1)
        for fd, _ in events:
            line = by_fd[fd]
            whole = line.read()
            if whole is None:
                continue
            took.append((clock() - line.due) * 1000)
            if not whole.startswith(b"HTTP/1.1 200") or expected not in whole:
                raise SystemExit(f"wrong answer: {whole[:300]!r} ... {whole[-200:]!r}, wanted {expected!r}")
            free.append(line)
    for line in lines:
        line.socket.close()
    return took


def one_by_one(port, raws, expected):
    line, took = Line(port), []
    line.socket.setblocking(True)
    for raw in raws:
        begin = time.perf_counter()
        line.send(begin, raw)
        while (whole := line.read()) is None:
            pass
        took.append((time.perf_counter() - begin) * 1000)
        if expected not in whole:
            raise SystemExit(f"wrong answer: {whole[:300]!r}")
    return took


def measure(args, folder):
    vault = folder / "vault"
    shutil.copytree(args.folder or ROOT / "docs", vault)
    import random
    queries = make_queries(vault, 500, random.Random(7))
    settings = merged(NO_MODELS if args.no_models else {}, {"cache": {"memory_seconds": 3600}})
    server = Server(folder / "home", {"notes": vault}, settings).start()
    figures = {}
    try:
        server.wait_settled(120)
        if not args.no_models:
            server.wait_covered(600)
        cores = sorted(os.sched_getaffinity(0))
        for thread in pathlib.Path(f"/proc/{server.process.pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {cores[-1]})
        os.sched_setaffinity(0, {cores[0]})
        searches = [request(server, "/api/search", {"query": query}) for query in queries]
        asks = [request(server, "/api/ask", {"question": query, "mode": "extractive"}) for query in queries[:100]]
        figures["search_uncached_ms"] = percentiles(one_by_one(server.port, searches, b'"cached":null'))
        figures["answer_uncached_ms"] = percentiles(one_by_one(server.port, asks, b'"cached":null'))
        for kind, raws in (("search", searches), ("answer", asks)):
            one_by_one(server.port, raws, b'"cached":"l1"')
            figures[f"{kind}_cached_one_by_one_ms"] = percentiles(one_by_one(server.port, raws, b'"cached":"l1"'))
        figures["search_cached_ms"] = percentiles(open_loop(server.port, searches, args.rate, args.seconds, b'"cached":"l1"'))
        figures["answer_cached_ms"] = percentiles(open_loop(server.port, asks, args.rate, args.seconds, b'"cached":"l1"'))
        for kind in ("search", "answer"):
            figures[f"{kind}_ratio_p50"] = round(figures[f"{kind}_uncached_ms"]["p50"] / figures[f"{kind}_cached_one_by_one_ms"]["p50"], 1)
        figures["notes"] = server.status()["notes"]
    finally:
        server.kill()
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=pathlib.Path, help="a vault of your own (a copy is used)")
    parser.add_argument("--no-models", action="store_true")
    parser.add_argument("--rate", type=float, default=2000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--strict", action="store_true")
    args = parser.parse_args()
    facts = machine()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(args, pathlib.Path(folder))
    missed = []
    for name, value in figures.items():
        print(f"{name:<30} {value}")
    for goal, most in GOALS.items():
        name, _, quantile = goal.partition(".")
        if figures[name][quantile] > most:
            missed.append(f"{goal} is {figures[name][quantile]}, wanted {most}")
    for line in missed:
        print("missed:", line)
    print(json.dumps({**facts, "rate": args.rate, "figures": figures, "missed": missed}))
    return 1 if missed and args.strict else 0


if __name__ == "__main__":
    sys.exit(main())
