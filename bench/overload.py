#!/usr/bin/env python3
"""What the service levels are worth when too much is asked.

    overload.py                     searches at 5 times the capacity for 60 s, with the levels and without them
    overload.py --saturate          new and repeated searches and questions while a reindex and four background answers
                                    of the model take both cores; then the same with more questions than can be answered
    overload.py --home FOLDER       keeps vault and index there, so that the next run begins at once

Requests leave on a schedule, whether or not earlier ones were answered, and latency counts from the moment a request was due.
Goodput counts answers within their level's limit; `degraded` those of them that left a stage out for want of time. Prints tables, and as the last line one JSON object. With --strict the exit
code is 1 when a goal was missed.
"""
import argparse
import asyncio
import collections
import contextlib
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

import requests

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from latency import machine, make_queries, make_vault, percentiles  # noqa: E402
from knap_server import NO_MODELS, Server, merged, shared_folder  # noqa: E402

LIMIT_MS = {"health": 100, "repeated": 500, "search": 2000, "ask": 30000}
CONNECTIONS_MAX = 1_500
DEGRADED = re.compile(rb'"degraded": *\[ *"')
# So small that it is full before the load begins: what grows then is no cache. None on disk, which an earlier run has filled.
CACHE_BYTES = 16 << 20
OVERLOAD_GOALS = {"health p99 below 100 ms": lambda r: r["health"]["p99"] < 100,
                  "goodput at least 80 % of the peak": lambda r: r["goodput"] >= .8 * r["capacity"],
                  # Connections and queues of the first seconds are what the load takes; more and more would be a leak.
                  "memory flat from its tenth second to its end": lambda r: r["memory_mb"][2] < 1.1 * r["memory_mb"][1],
                  "back within 2 s": lambda r: r["back_s"] <= 2}
SATURATED_GOALS = {"health p99 below 100 ms": lambda r: r["health"]["p99"] < 100,
                   "repeated search p99 below 500 ms": lambda r: r["repeated"]["p99"] < 500,
                   "new search p95 below 500 ms": lambda r: r["search"]["p95"] < 500,
                   "asks admitted keep their deadline at 99 %": lambda r: r["ask"]["in_time"] >= .99,
                   "refusals p99 below 50 ms": lambda r: r["refused"].get("p99", 0) < 50}
# Questions a second: such as a few people ask, and several times what two cores can word.
ASKS, ASKS_MANY = .5, 3
CROWDED_GOALS = {**SATURATED_GOALS, "refused are told when to come back": lambda r: r["refused"]["retry_after_s"] is not None}


class Connection(asyncio.Protocol):
    """One kept connection, one request at a time."""

    def connection_made(self, transport):
        self.transport, self.data, self.waiter, self.open = transport, b"", None, True

    def connection_lost(self, _):
        self.open = False
        if self.waiter and not self.waiter.done():
            self.waiter.set_exception(ConnectionError("closed"))

    def data_received(self, data):
        self.data += data
        head, found, body = self.data.partition(b"\r\n\r\n")
        if found and self.waiter and not self.waiter.done():
            length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
            if length and len(body) >= int(length[1]):
                self.data = b""
                self.waiter.set_result((int(head.split(b" ", 2)[1]), head, body))

    def call(self, request):
        self.waiter = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self.waiter


class Client:
    def __init__(self, server):
        self.server, self.free, self.open = server, [], 0

    async def call(self, method, path, body=None, headers=()):
        payload = b"" if body is None else json.dumps(body).encode()
        extra = "".join(f"{name}: {value}\r\n" for name, value in headers)
        request = (f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n{extra}"
                   f"Content-Length: {len(payload)}\r\n\r\n").encode() + payload
        while self.free and not self.free[-1].open:
            self.free.pop()
        if self.free:
            connection = self.free.pop()
        else:
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_connection(Connection, "127.0.0.1", self.server.port)
        status, head, body = await connection.call(request)
        self.free.append(connection)
        return status, head, body


class Load:
    """An open loop of several kinds of requests."""

    def __init__(self, server, queries, seed=1):
        self.client, self.rng = Client(server), random.Random(seed)
        self.queries, self.number = queries, 0
        self.rows, self.by_keyword = {}, 0

    def new_query(self):
        self.number += 1
        return f"{self.rng.choice(self.queries)} {self.rng.choice(self.queries).split()[0]} {self.number}"

    def request(self, kind):
        if kind == "health":
            return "GET", "/health", None
        if kind == "ask":
            return "POST", "/api/ask", {"question": self.new_query(), "max_tokens": 64}
        text = self.queries[self.rng.randrange(5)] if kind == "repeated" else self.new_query()
        return "POST", "/api/search", {"query": text}

    async def one(self, kind, due):
        if len(self.client.free) == 0 and self.client.open >= CONNECTIONS_MAX:
            self.rows.setdefault(kind, []).append(("no connection", 0, b""))
            return
        self.client.open += 1
        try:
            status, head, body = await self.client.call(*self.request(kind))
        except (OSError, asyncio.TimeoutError) as error:
            status, head, body = type(error).__name__, b"", b""
        self.client.open -= 1
        self.by_keyword += status == 200 and DEGRADED.search(body) is not None
        self.rows.setdefault(kind, []).append((status, (time.perf_counter() - due) * 1000, head))

    async def run(self, rates, seconds):
        schedule = []
        for kind, rate in rates.items():
            at = self.rng.expovariate(rate)
            while at < seconds:
                schedule.append((at, kind))
                at += self.rng.expovariate(rate)
        begin, tasks = time.perf_counter(), set()
        for at, kind in sorted(schedule):
            pause = begin + at - time.perf_counter()
            if pause > 0:
                await asyncio.sleep(pause)
            task = asyncio.create_task(self.one(kind, begin + at))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        if tasks:
            await asyncio.wait(tasks, timeout=60)
        return self.report(seconds)

    def report(self, seconds):
        out, refused = {}, []
        for kind, rows in self.rows.items():
            good = [ms for status, ms, _ in rows if status == 200]
            out[kind] = {"sent": len(rows), "ok": len(good), "refused": sum(s in (429, 503) for s, *_ in rows),
                         "failed": sum(s not in (200, 429, 503) for s, *_ in rows), **percentiles(good),
                         # Of all that were not refused: who failed had been let in.
                         "in_time": round(sum(ms <= LIMIT_MS[kind] for ms in good) / max(1, sum(s not in (429, 503) for s, *_ in rows)), 4),
                         "failures": dict(collections.Counter(str(s) for s, *_ in rows if s not in (200, 429, 503)))}
            refused += [ms for status, ms, _ in rows if status in (429, 503)]
        waits = [int(found[1]) for rows in self.rows.values() for _, _, head in rows
                 if (found := re.search(rb"retry-after: *(\d+)", head, re.IGNORECASE))]
        out["refused"] = {**percentiles(refused), "retry_after_s": [min(waits), max(waits)] if waits else None}
        out["degraded"] = self.by_keyword
        out["goodput"] = round(sum(ms <= LIMIT_MS["search"] for s, ms, _ in self.rows.get("search", []) if s == 200) / seconds, 1)
        return out


async def capacity(server, queries, seconds):
    """Most whole searches a second, of several numbers of clients that ask again at once."""
    best, first = 0, Load(server, queries, seed=0)
    for _ in range(600):  # just after the start the embedding model still loads
        *_, body = await first.client.call(*first.request("search"))
        if DEGRADED.search(body) is None:
            break
        await asyncio.sleep(.1)
    for clients in (2, 4, 8):
        load = Load(server, queries, seed=clients)
        until, done = time.perf_counter() + seconds, [0]

        async def ask():
            while time.perf_counter() < until:
                status, _, body = await load.client.call(*load.request("search"))
                done[0] += status == 200 and DEGRADED.search(body) is None

        await asyncio.gather(*(ask() for _ in range(clients)))
        best = max(best, done[0] / seconds)
    return best


class Memory(threading.Thread):
    """Resident memory of the server, every half second."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.samples, self.over = pid, [], False
        self.start()

    def run(self):
        while not self.over:
            text = pathlib.Path(f"/proc/{self.pid}/status").read_text()
            self.samples.append(int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1024)
            time.sleep(.5)


async def time_until_back(server, queries):
    """Seconds after the load until health, search and quotes are within their limits."""
    begin = time.perf_counter()
    load = Load(server, queries, seed=99)
    while time.perf_counter() - begin < 120:
        ok = True
        for kind, limit in (("health", 100), ("search", 2000)):
            start = time.perf_counter()
            status, *_ = await load.client.call(*load.request(kind))
            ok = ok and status == 200 and (time.perf_counter() - start) * 1000 <= limit
        start = time.perf_counter()
        status, *_ = await load.client.call("POST", "/api/ask", {"question": load.new_query(), "mode": "extractive"})
        ok = ok and status == 200 and (time.perf_counter() - start) * 1000 <= 2000
        if ok:
            break
        await asyncio.sleep(.05)
    return round(time.perf_counter() - begin, 2)


def overload(server, queries, args, peak=None):
    peak = peak or asyncio.run(capacity(server, queries, 4))
    memory = Memory(server.process.pid)
    time.sleep(1)
    before = max(memory.samples)

    early = []

    async def go():
        load = Load(server, queries)
        asyncio.get_running_loop().call_later(min(10, args.seconds / 2), lambda: early.append(max(memory.samples)))
        task = asyncio.create_task(load.run({"search": args.times * peak, "health": 20}, args.seconds))
        await asyncio.sleep(args.seconds)
        back = await time_until_back(server, queries)
        return await task, back

    report, back = asyncio.run(go())
    memory.over = True
    return {"capacity": round(peak, 1), "offered": round(args.times * peak, 1), **report,
            "memory_mb": [round(before, 1), round(early[0], 1), round(max(memory.samples), 1)], "back_s": back}


def saturate(server, queries, args, asks):
    """Both cores busy: a reindex over and over, and four background answers of the model at any time."""
    stop = threading.Event()

    def generate(number):
        while not stop.is_set():
            with contextlib.suppress(requests.ConnectionError):  # the server ends while it writes
                server.http.post(server.url + "/v1/chat/completions", headers={"X-Knap-Priority": "background"}, timeout=300,
                                 json={"model": "smollm2-135m-instruct", "max_tokens": 400, "deadline_ms": 120_000,
                                       "messages": [{"role": "user", "content": f"Write a long story about harbour {number}."}]})

    def reindex():
        while not stop.is_set():
            job = server.http.post(server.url + "/api/reindex", timeout=60).json()
            while not stop.is_set() and server.http.get(f"{server.url}/api/jobs/{job['id']}", timeout=60).json()["state"] in ("queued", "running"):
                time.sleep(.1)

    threads = [threading.Thread(target=generate, args=(i,), daemon=True) for i in range(4)] + [threading.Thread(target=reindex, daemon=True)]
    for thread in threads:
        thread.start()
    time.sleep(3)
    report = asyncio.run(Load(server, queries).run({"health": 20, "search": 5, "repeated": 10, "ask": asks}, args.seconds))
    stop.set()
    for thread in threads:
        thread.join(150)
    return report


def show(title, report, goals):
    print(f"\n{title}")
    print(f"{'':10} {'sent':>7} {'ok':>7} {'refused':>8} {'failed':>7} {'p50':>8} {'p95':>8} {'p99':>8} {'max':>9} {'in time':>8}")
    for kind, row in report.items():
        if isinstance(row, dict) and "sent" in row:
            print(f"{kind:10} {row['sent']:7} {row['ok']:7} {row['refused']:8} {row['failed']:7} "
                  + " ".join(f"{row.get(q, float('nan')):8.1f}" for q in ("p50", "p95", "p99")) + f" {row.get('max', float('nan')):9.1f} {row['in_time']:8.4f}")
    for name in ("refused", "capacity", "offered", "goodput", "degraded", "memory_mb", "back_s"):
        if name in report:
            print(f"{name}: {report[name]}")
    missed = [name for name, reached in goals.items() if not reached(report)]
    for name in goals:
        print(f"  {'MISSED' if name in missed else 'reached'}: {name}")
    return missed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--saturate", action="store_true")
    parser.add_argument("--levels-only", action="store_true", help="leave out the run without levels")
    parser.add_argument("--times", type=float, default=5, help="the capacity (5)")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--home", type=pathlib.Path)
    parser.add_argument("--prepare", action="store_true", help="only make vault and index in --home")
    parser.add_argument("--no-models", action="store_true")
    parser.add_argument("--strict", action="store_true")
    args = parser.parse_args()
    if shared_folder() is None:
        sys.exit("the evaluation data is absent: name its folder with KNAP_SHARED")
    home = args.home or pathlib.Path(tempfile.mkdtemp(prefix="knap-overload-"))
    home.mkdir(parents=True, exist_ok=True)
    vault = home / "vault"
    if not vault.exists():
        make_vault("hub", vault)
    queries = make_queries(vault, 2_000, random.Random(7))
    results, missed, cores = {"machine": machine()}, [], []
    try:
        runs = ["with levels"] if args.saturate or args.levels_only or args.prepare else ["with levels", "without levels"]
        for run in runs:
            settings = merged(NO_MODELS if args.no_models else {}, {"service": {"levels": run == "with levels"}, "cache": {"layers": ["memory"], "memory_bytes": CACHE_BYTES}})
            server = Server(home, {"hub": vault}, settings)
            # Five times the capacity costs the client as much as it costs the server: each has a core of its own, when the
            # capacity is measured too. Only --saturate is about both cores.
            cores = cores or sorted(os.sched_getaffinity(0))
            if not args.saturate and not args.prepare:
                os.sched_setaffinity(0, set(cores[len(cores) // 2:]))
            server.start(60)
            if not args.saturate and not args.prepare:
                os.sched_setaffinity(0, set(cores[:max(1, len(cores) // 2)]))
            try:
                server.wait_settled(120)
                if not args.no_models:
                    server.wait_covered(1200)
                if args.prepare:
                    continue
                if args.saturate:
                    for name, asks, goals in (("saturated", ASKS, SATURATED_GOALS), ("more questions than can be answered", ASKS_MANY, CROWDED_GOALS)):
                        results[name] = saturate(server, queries, args, asks)
                        missed += show(name, results[name], goals)
                else:
                    results[run] = overload(server, queries, args, results.get("with levels", {}).get("capacity"))
                    failed = show(run, results[run], OVERLOAD_GOALS)
                    missed += failed if run == "with levels" else []
            finally:
                server.kill()
    finally:
        if args.home is None:
            shutil.rmtree(home, ignore_errors=True)
    print(json.dumps(results))
    sys.exit(1 if args.strict and missed else 0)


if __name__ == "__main__":
    main()
