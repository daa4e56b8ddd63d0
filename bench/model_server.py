#!/usr/bin/env python3
"""Knap's runner beside llama-server of the same llama.cpp: same model file, threads, prompts and room, taking turns in one run.

    model_server.py                                   SmolLM2 135M; and Qwen2.5 1.5B where it is installed
    model_server.py --model smollm2-135m-instruct     one of them
    model_server.py --only single shared              some of: single, quote, shared, newcomer, vanish

`single`: one client, a fresh prompt each time: tokens a second, reading and writing. `quote`: one client wants a text of its
prompt word for word: tokens a second, and of Knap's runner how many tokens it guessed and how many were right. `shared`: eight askers at once who share a
system prompt that is new to the server, then again when it is known: tokens a second of all, time to the first token.
`newcomer`: a question while four long background answers are written, beside the same question on the idle server. `vanish`: a
hundred clients ask and go away at once: time until no slot is busy or waiting.

llama-server is built from the source that script/bootstrap has, into ~/.cache/knap/peers, and computes with the same prebuilt
CPU backends. It is started with eight slots that share one cache of the runner's size; --threads for both. Prints a table, and
as the last line one JSON object. --strict: exit code 1 when a goal is missed. Figures count only on an idle machine.
"""
import argparse
import contextlib
import http.client
import json
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests"))
from knap_server import ROOT, UnixConnection, free_port, program, wait_until  # noqa: E402
from latency import machine, peak_mb, percentiles  # noqa: E402
from peers import CACHE  # noqa: E402

CONTEXT, CELLS = 4096, 8192
SETTINGS = ["-DCMAKE_BUILD_TYPE=Release", "-DBUILD_SHARED_LIBS=ON", "-DGGML_BACKEND_DL=ON", "-DGGML_NATIVE=OFF", "-DGGML_OPENMP=OFF",
            "-DLLAMA_CURL=OFF", "-DLLAMA_OPENSSL=OFF", "-DLLAMA_BUILD_APP=OFF", "-DLLAMA_BUILD_UI=OFF", "-DLLAMA_BUILD_COMMON=ON",
            "-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_TOOLS=ON", "-DLLAMA_BUILD_EXAMPLES=OFF", "-DLLAMA_BUILD_SERVER=ON",
            "-DCMAKE_BUILD_RPATH=$ORIGIN", "-DCMAKE_BUILD_RPATH_USE_ORIGIN=ON"]
MODELS = ["smollm2-135m-instruct", "qwen2.5-coder-1.5b-instruct"]


def engine_folder():
    """The llama.cpp that this checkout is built with."""
    version = re.search(r"^llama\s+(\S+)", (ROOT / "packages" / "engines.txt").read_text(), re.M)[1]
    return CACHE / "engines" / f"llama-{version}"


def llama_server():
    """The program, built when it is not there yet: several minutes, once."""
    engine = engine_folder()
    target = CACHE / "peers" / f"llama-server-{engine.name}"
    if not (target / "llama-server").exists():
        print("building llama-server (several minutes)", file=sys.stderr)
        with tempfile.TemporaryDirectory(dir=CACHE) as build:
            launchers = [f"-DCMAKE_{x}_COMPILER_LAUNCHER=ccache" for x in ("C", "CXX")] if shutil.which("ccache") else []
            subprocess.run(["cmake", "-S", engine / "source", "-B", build, "-G", "Ninja", *SETTINGS, *launchers], check=True, stdout=subprocess.DEVNULL)
            subprocess.run(["cmake", "--build", build, "--target", "llama-server"], check=True, stdout=subprocess.DEVNULL)
            (pathlib.Path(build) / "bin" / "libggml-cpu.so").unlink(missing_ok=True)
            for backend in (engine / "lib").glob("libggml-cpu-*.so"):
                shutil.copy(backend, pathlib.Path(build) / "bin")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(pathlib.Path(build) / "bin", target, symlinks=True)
    return target / "llama-server"


class Peer:
    """A model server under test."""

    def __init__(self, name, command, connect):
        self.name, self.connect = name, connect
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self.ready, 120, f"{name} to be ready")

    def ready(self):
        if self.process.poll() is not None:
            raise SystemExit(f"{self.name} ended with code {self.process.returncode}")
        with contextlib.suppress(OSError):
            return self.get("/health")[0] == 200
        return False

    def get(self, path):
        connection = self.connect()
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def busy(self):
        """Answers that hold a slot or wait for one."""
        if self.name == "knap":
            stats = json.loads(self.get("/stats")[1])
            return stats["running"] + stats["queued"]
        text = self.get("/metrics")[1].decode()
        return sum(float(re.search(rf"^llamacpp:requests_{state} (\S+)", text, re.M)[1]) for state in ("processing", "deferred"))

    def body(self, messages, tokens, priority):
        own = {"priority": priority} if self.name == "knap" else {}
        return json.dumps({"messages": messages, "max_tokens": tokens, "temperature": 0, "stream": True, "stream_options": {"include_usage": True}, **own})

    def ask(self, messages, tokens, priority="interactive", on_first=None, leave=None):
        """One answer: times in seconds from the request's sending, and its usage. None when the event `leave` was set meanwhile."""
        connection = self.connect()
        begin, first, last, usage = time.perf_counter(), None, None, None
        connection.request("POST", "/v1/chat/completions", self.body(messages, tokens, priority), {"Content-Type": "application/json"})
        response = connection.getresponse()
        if response.status != 200:
            raise SystemExit(f"{self.name} answers {response.status}: {response.read()[:300]}")
        for line in response:
            if leave and leave.is_set():
                connection.close()
                return None
            if not line.startswith(b"data: {"):
                continue
            event = json.loads(line[6:])
            usage = event.get("usage") or usage
            if event.get("choices") and event["choices"][0]["delta"].get("content"):
                last = time.perf_counter() - begin
                if first is None:
                    first = last
                    if on_first:
                        on_first()
        connection.close()
        if first is None or usage["completion_tokens"] == 0:
            raise SystemExit(f"{self.name} wrote nothing")
        return {"first_s": first, "last_s": last, "prompt": usage["prompt_tokens"], "written": usage["completion_tokens"]}

    def stop(self):
        self.process.terminate()
        self.process.wait()


def chat(question, system="You are helpful."):
    """With a system prompt always: templates put different ones in where there is none."""
    return [{"role": "system", "content": system}, {"role": "user", "content": question}]


def turns(peers, round_):
    """Who goes first alternates: the machine's speed drifts."""
    return peers if round_ % 2 == 0 else peers[::-1]


class Texts:
    """Prompts that no server has seen: words of the manual from another place each time."""

    def __init__(self):
        text = " ".join(path.read_text() for path in sorted((ROOT / "docs").glob("*.md")))
        self.words, self.at = re.findall(r"[A-Za-z]+", text), 0
        self.prose = re.findall(r"[A-Z][a-z][^.|`*\[\]{}<>\n]{30,200}[a-z]\. ", text)

    def take(self, count):
        self.at += 1
        start = self.at * 97 % (len(self.words) - count)
        return f"{self.at}. " + " ".join(self.words[start:start + count])

    def sentences(self, words):
        """Sentences of the manual with about so many words."""
        out = []
        while sum(len(each.split()) for each in out) < words:
            self.at += 1
            out.append(self.prose[self.at * 97 % len(self.prose)].strip())
        return " ".join(out)


def single(peers, texts, rounds):
    figures = {peer.name: {"read": [], "write": []} for peer in peers}
    for round_ in range(2 * rounds):
        prompt = chat(texts.take(400) + "\nCount from 1 to 200, all numbers, separated by commas.")
        for peer in turns(peers, round_):
            seen = peer.ask(prompt, 128)
            figures[peer.name]["read"].append(seen["prompt"] / seen["first_s"])
            if seen["written"] > 50:  # some stop at once; both do, mostly
                figures[peer.name]["write"].append((seen["written"] - 1) / (seen["last_s"] - seen["first_s"]))
    return {name: {key: round(statistics.median(values), 1) for key, values in each.items()} for name, each in figures.items()}


def quote(peers, texts, rounds):
    figures = {peer.name: {"write": []} for peer in peers}
    for round_ in range(2 * rounds):
        prompt = chat("Repeat this text word for word, and nothing else:\n" + texts.sentences(80))
        for peer in turns(peers, round_):
            seen = peer.ask(prompt, 128)
            if seen["written"] > 50:
                figures[peer.name]["write"].append((seen["written"] - 1) / (seen["last_s"] - seen["first_s"]))
    out = {name: {key: round(statistics.median(values), 1) for key, values in each.items()} for name, each in figures.items()}
    for peer in peers:
        if peer.name == "knap":
            stats = json.loads(peer.get("/stats")[1])
            out["knap"] |= {key: stats[key] for key in ("guessed_tokens", "guessed_right")}
    return out


def together(peer, prompts, tokens):
    results, threads = [None] * len(prompts), []
    begin = time.perf_counter()
    for i, prompt in enumerate(prompts):
        threads.append(threading.Thread(target=lambda i=i, prompt=prompt: results.__setitem__(i, peer.ask(prompt, tokens))))
        threads[-1].start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - begin
    return took, results


def shared(peers, texts, rounds):
    figures = {peer.name: {kind: {"rate": [], "first_ms": []} for kind in ("new", "known")} for peer in peers}
    for round_ in range(rounds):
        system = "You answer in a few sentences. What you know:\n" + texts.take(300)
        for kind in ("new", "known"):
            prompts = [chat("Say more about this: " + texts.take(20), system) for _ in range(8)]
            for peer in turns(peers, round_):
                took, results = together(peer, prompts, 64)
                figures[peer.name][kind]["rate"].append(sum(each["written"] for each in results) / took)
                figures[peer.name][kind]["first_ms"] += [each["first_s"] * 1000 for each in results]
    return {name: {kind: {"tokens_s": round(statistics.median(each["rate"]), 1), "first_ms": percentiles(each["first_ms"])} for kind, each in kinds.items()}
            for name, kinds in figures.items()}


def newcomer(peers, texts, rounds):
    figures = {peer.name: {"idle_ms": [], "beside_ms": []} for peer in peers}

    def question():
        return chat(texts.take(80) + "\nWhat is this about?")

    for round_ in range(rounds):
        long_ones = [chat(texts.take(60) + "\nCount from 1 to 500, all numbers, separated by commas.") for _ in range(4)]
        for peer in turns(peers, round_):
            figures[peer.name]["idle_ms"].append(peer.ask(question(), 8)["first_s"] * 1000)
            begun, leave = threading.Semaphore(0), threading.Event()
            threads = [threading.Thread(target=peer.ask, args=(prompt, 500, "background", begun.release, leave)) for prompt in long_ones]
            for thread in threads:
                thread.start()
            for _ in long_ones:
                begun.acquire()
            figures[peer.name]["beside_ms"].append(peer.ask(question(), 8)["first_s"] * 1000)
            leave.set()
            for thread in threads:
                thread.join()
    return {name: {key: round(statistics.median(values), 1) for key, values in each.items()} for name, each in figures.items()}


def vanish(peers, texts, rounds):
    figures = {peer.name: [] for peer in peers}
    for _ in range(rounds):
        for peer in peers:
            connections = []
            for _ in range(100):
                connection = peer.connect()
                connection.request("POST", "/v1/chat/completions", peer.body(chat(texts.take(60)), 1000, "interactive"),
                                   {"Content-Type": "application/json"})
                connections.append(connection)
            wait_until(lambda peer=peer: peer.busy() >= 90, 60, f"{peer.name} to take a hundred")
            begin = time.perf_counter()
            for connection in connections:
                connection.sock.shutdown(socket.SHUT_RDWR)
                connection.close()
            wait_until(lambda peer=peer: peer.busy() == 0, 120, f"{peer.name} to be free")
            figures[peer.name].append((time.perf_counter() - begin) * 1000)
    return {name: {"free_ms": round(statistics.median(values), 1), "max_ms": round(max(values), 1)} for name, values in figures.items()}


MEASUREMENTS = {"single": single, "quote": quote, "shared": shared, "newcomer": newcomer, "vanish": vanish}


def missed(found):
    """What the issue asks of Knap beside llama-server, as far as it was measured."""
    out = []

    def goal(holds, what):
        if not holds:
            out.append(what)

    if "single" in found:
        knap, other = found["single"]["knap"], found["single"]["llama-server"]
        goal(knap["read"] >= .97 * other["read"], "single: reading within 3 %")
        goal(knap["write"] >= .97 * other["write"], "single: writing within 3 %")
    if "shared" in found:
        knap, other = found["shared"]["knap"]["new"], found["shared"]["llama-server"]["new"]
        goal(knap["tokens_s"] >= other["tokens_s"], "shared: as many tokens a second")
        goal(knap["first_ms"]["p95"] <= .5 * other["first_ms"]["p95"], "shared: half the time to the first token")
    if "newcomer" in found:
        knap = found["newcomer"]["knap"]
        goal(knap["beside_ms"] <= 2 * knap["idle_ms"], "newcomer: within twice the idle time")
    if "vanish" in found:
        goal(found["vanish"]["knap"]["max_ms"] <= 200, "vanish: free within 200 ms")
    return out


def measure(model_file, wanted, threads, rounds):
    port, texts = free_port(), Texts()
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/knap.sock"
        knap = Peer("knap", [program(), "runner", "--role", "answer", "--model", "model", "--model-file", model_file, "--socket", path, "--threads",
                             str(threads), "--context", str(CONTEXT), "--contexts", str(CELLS // CONTEXT)], lambda: UnixConnection(path, 600))
        other = Peer("llama-server", [llama_server(), "-m", model_file, "--port", str(port), "-t", str(threads), "-tb", str(threads), "-c", str(CELLS),
                                      "-np", "8", "-kvu", "--metrics", "--threads-http", "128"], lambda: http.client.HTTPConnection("127.0.0.1", port, timeout=600))
        peers = [knap, other]
        try:
            for peer in peers:  # both have computed before anything is measured
                peer.ask(chat(texts.take(50)), 16)
            found = {}
            for name in wanted:
                found[name] = MEASUREMENTS[name](peers, texts, rounds)
                print(f"{name}: done", file=sys.stderr)
            found["memory_mb"] = {peer.name: peak_mb(peer.process.pid) for peer in peers}
        finally:
            for peer in peers:
                peer.stop()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", help="name of an installed answer model; repeatable")
    parser.add_argument("--only", nargs="+", choices=MEASUREMENTS, default=list(MEASUREMENTS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--strict", action="store_true")
    args = parser.parse_args()
    models = pathlib.Path.home() / ".local" / "share" / "knap" / "models"
    report, failed = {"machine": machine(), "threads": args.threads, "rounds": args.rounds, "models": {}}, []
    for name in args.model or [each for each in MODELS if (models / each / "model.gguf").exists()]:
        found = report["models"][name] = measure(models / name / "model.gguf", args.only, args.threads, args.rounds)
        print(f"\n{name}")
        for what in found:
            for peer, figures in found[what].items():
                print(f"  {what:10} {peer:13} {json.dumps(figures)}")
        for goal in missed(found):
            failed.append(f"{name}: {goal}")
            print(f"  missed: {goal}")
    if not report["models"]:
        raise SystemExit("no answer model is installed: run ./script/server once, or knap models pull smollm2-135m-instruct")
    print(json.dumps(report))
    return 1 if args.strict and failed else 0


if __name__ == "__main__":
    sys.exit(main())
