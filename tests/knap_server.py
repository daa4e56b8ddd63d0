"""Starts the real program and talks to it, for the tests and benchmarks that drive it from outside."""
import contextlib
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import time

import requests
import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
NO_MODELS = {"models": {"embed": "", "answer": "", "speech": ""}}


def program():
    """The program under test: KNAP_BIN, or the release build of this checkout."""
    return pathlib.Path(os.environ.get("KNAP_BIN") or ROOT / "build" / "release" / "knap")


def shared_folder():
    """The folder with evaluation scripts and data, or None where it is absent."""
    folder = pathlib.Path(os.environ.get("KNAP_SHARED") or ROOT.parent / "shared")
    return folder if (folder / "eval").is_dir() else None


def clean_environment(home, **extra):
    """The caller's environment without its Knap settings and without the user's configuration file."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KNAP_")}
    return {**kept, "XDG_CONFIG_HOME": str(home), **extra}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition, timeout=20, what="the condition"):
    """Polls until condition() is true; returns its value. Fails after `timeout` seconds."""
    until = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > until:
            raise AssertionError(f"{what() if callable(what) else what}: not within {timeout} s")
        time.sleep(0.01)


def merged(*settings):
    """Sections of several settings laid over each other."""
    out = {}
    for one in settings:
        for section, values in (one or {}).items():
            out[section] = {**out.get(section, {}), **values} if isinstance(values, dict) else values
    return out


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket: how a runner listens."""

    def __init__(self, path, timeout=60):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


class Server:
    """One `knap serve` with a data folder and configuration of its own under `home`.

    start() returns when keyword search answers. The port stays the same over restarts. The process leads a session, so
    that its children can be found and nothing outlives the test.
    """

    def __init__(self, home, vaults, settings=None):
        self.home, self.vaults = pathlib.Path(home), {name: pathlib.Path(path) for name, path in vaults.items()}
        self.port, self.process = free_port(), None
        self.url, self.data_dir, self.log = f"http://127.0.0.1:{self.port}", self.home / "data", self.home / "server.log"
        self.config = self.home / "knap.yaml"
        self.http = requests.Session()
        self.http.trust_env = False
        self.home.mkdir(parents=True, exist_ok=True)
        config = merged({"server": {"port": self.port}, "data": {"dir": str(self.data_dir)},
                         "vaults": [{"name": n, "path": str(p)} for n, p in self.vaults.items()]}, settings)
        self.config.write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")

    @property
    def command(self):
        return [str(program()), "serve", "--config", str(self.config)]

    def start(self, ready_within=30):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.home,
                                            env=clean_environment(self.home), start_new_session=True)
        self.wait_ready(ready_within)
        return self

    def tail(self):
        text = self.log.read_text("utf-8", "replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-20:])

    def wait_ready(self, timeout=30):
        def ready():
            if self.process.poll() is not None:
                raise AssertionError(f"knap serve ended with {self.process.returncode}:\n{self.tail()}")
            with contextlib.suppress(requests.ConnectionError, requests.Timeout):
                return self.http.get(f"{self.url}/readyz", timeout=5).status_code == 200
        wait_until(ready, timeout, lambda: f"ready; the log ends with\n{self.tail()}")

    def stop(self, within=8):
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(within)
        finally:
            self.kill()

    def kill(self):
        """SIGKILL for the server and all its children, without warning."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        self.http.close()

    def children(self):
        """Process ids of the session other than the server's own."""
        found = []
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, IndexError, ValueError):
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == self.process.pid and int(folder.name) != self.process.pid and fields[0] != "Z":
                    found.append(int(folder.name))
        return found

    def call(self, method, path, expect=200, **options):
        answer = self.http.request(method, self.url + path, timeout=options.pop("timeout", 60), **options)
        if expect is not None:
            assert answer.status_code == expect, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer

    def get(self, path, **options):
        return self.call("GET", path, **options).json()

    def post(self, path, body=None, **options):
        return self.call("POST", path, json={} if body is None else body, **options).json()

    def search(self, query, expect=200, **fields):
        return self.post("/api/search", {"query": query, **fields}, expect=expect)

    def paths(self, query, **fields):
        return [result["path"] for result in self.search(query, **fields)["results"]]

    def ask(self, question, **fields):
        """Bounded, because on a busy machine a model needs longer than a test can wait: then the quotes are the answer."""
        return self.post("/api/ask", {"question": question, "deadline_ms": 6000, **fields}, timeout=120)

    def status(self, vault=None):
        vaults = self.get("/api/index/status")["vaults"]
        return vaults[0] if vault is None else next(v for v in vaults if v["name"] == vault)

    def files(self, state=None):
        """The whole ledger, page by page."""
        files, cursor = [], ""
        while True:
            query = "limit=500" + (f"&state={state}" if state else "") + (f"&cursor={cursor}" if cursor else "")
            page = self.get(f"/api/index/files?{query}")
            files += page["files"]
            cursor = page.get("next_cursor")
            if not cursor:
                return files

    def settled(self):
        return all(v["files"]["pending"] == 0 and v["files"]["stale"] == 0 and v["coverage"]["keyword"] >= 1
                   for v in self.get("/api/index/status")["vaults"])

    def wait_settled(self, timeout=30):
        """Until every file is read."""
        wait_until(self.settled, timeout, lambda: f"settled; {json.dumps(self.get('/api/index/status'))}")
        return self

    def wait_covered(self, timeout=90):
        """Until every passage has a vector."""
        self.wait_settled(timeout)
        wait_until(lambda: all(v["coverage"]["semantic"] >= 1 for v in self.get("/api/index/status")["vaults"]), timeout,
                   lambda: f"covered; {json.dumps(self.get('/api/index/status'))}\n{self.tail()}")
        return self

    def wait_found(self, word, path, timeout=10):
        wait_until(lambda: path in self.paths(word, mode="keyword"), timeout, f"{path} found by {word!r}")

    def wait_gone(self, word, path=None, timeout=10):
        def gone():
            found = self.paths(word, mode="keyword")
            return path not in found if path else not found
        wait_until(gone, timeout, f"{word!r} gone")

    def wait_job(self, job, timeout=60):
        done = ("done", "succeeded", "finished", "completed")
        failed = ("failed", "cancelled", "canceled")
        def state():
            now = self.get(f"/api/jobs/{job}")
            assert now["state"] not in failed, now
            return now if now["state"] in done else None
        return wait_until(state, timeout, f"job {job}")

    def metrics(self):
        """Prometheus samples: series as written -> value."""
        samples = {}
        for line in self.call("GET", "/metrics").text.splitlines():
            if line and not line.startswith("#"):
                series, _, value = line.rpartition(" ")
                samples[series] = float(value)
        return samples

    def metric(self, name):
        """The sum over all series of a name; 0 when there is none yet."""
        return sum(value for series, value in self.metrics().items() if series.partition("{")[0] == name)


def events(response):
    """Server-Sent Events of a streamed response, as (name, data as JSON or text)."""
    name, data = "message", []
    for raw in response.iter_lines(chunk_size=1):
        line = raw.decode("utf-8")
        if line.startswith("event:"):
            name = line[6:].strip()
        elif line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif not line and data:
            text = "\n".join(data)
            try:
                yield name, json.loads(text)
            except ValueError:
                yield name, text
            name, data = "message", []


def run(*arguments, home, timeout=60, **environment):
    """One `knap` command to its end, with neither terminal nor the user's settings."""
    return subprocess.run([str(program()), *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=timeout, cwd=home, env=clean_environment(home, **environment))
