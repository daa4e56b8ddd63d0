"""`knap models` as a user meets it: pulling from a hub that breaks off, offline mode, import, show, remove."""
import hashlib
import http.server
import json
import os
import signal
import struct
import subprocess
import threading

import pytest

from knap_server import clean_environment, program, wait_until

WEIGHTS = os.urandom(3_000_000)


class Hub(http.server.ThreadingHTTPServer):
    """A model hub on loopback that redirects to its storage, and can misbehave."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Storage)
        self.files = {"/store/weights": WEIGHTS}
        self.tag = '"one"'
        self.cuts = []  # bytes after which the next answers break off
        self.ranges = True
        self.status = None
        self.asked = []  # (path, Range)
        self.hold = None  # an event to wait for after half of an answer
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def address(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


class Storage(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        hub, wanted = self.server, self.headers.get("Range")
        hub.asked.append((self.path, wanted))
        if hub.status:
            self.send_response(hub.status)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        if self.path.startswith("/who/what/resolve/"):
            self.send_response(302)
            self.send_header("Location", hub.address() + "/store/weights")
            self.send_header("ETag", '"of the redirect"')
            self.send_header("Content-Length", "0")
            return self.end_headers()
        body, begin = hub.files[self.path], 0
        same = self.headers.get("If-Range") in (None, hub.tag)
        if wanted and hub.ranges and same:
            begin = int(wanted.removeprefix("bytes=").rstrip("-"))
        if begin >= len(body):
            self.send_response(416)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(body) - 1}/{len(body)}")
        self.send_header("ETag", hub.tag)
        self.send_header("Content-Length", str(len(body) - begin))
        self.end_headers()
        rest = body[begin:]
        if hub.cuts:
            self.wfile.write(rest[: hub.cuts.pop(0)])
            self.wfile.flush()
            self.close_connection = True
            return None
        if hub.hold:
            self.wfile.write(rest[: len(rest) // 2])
            self.wfile.flush()
            hub.hold.wait(30)
            rest = rest[len(rest) // 2 :]
        try:
            self.wfile.write(rest)
        except OSError:
            pass  # the client went
        return None

    def log_message(self, *_):
        pass


@pytest.fixture
def hub():
    hub = Hub()
    yield hub
    hub.shutdown()


@pytest.fixture
def machine(tmp_path, hub):
    return Machine(tmp_path, hub)


class Machine:
    """A models folder, with a catalogue whose one model lies in the hub."""

    def __init__(self, folder, hub):
        self.folder, self.models = folder, folder / "models"
        self.models.mkdir()
        self.environment = clean_environment(folder, HOME=str(folder), KNAP_MODELS_DIR=str(self.models), KNAP_MODELS_HUB=hub.address(),
                                             no_proxy="127.0.0.1", NO_PROXY="127.0.0.1")
        self.catalogue()

    def catalogue(self, sha256=None, size=None):
        self.models.joinpath("models.yaml").write_text(f"""version: 1
models:
  mine:
    role: answer
    licence: MIT
    context: 512
    files:
      - name: model.gguf
        bytes: {size or len(WEIGHTS)}
        sha256: {sha256 or hashlib.sha256(WEIGHTS).hexdigest()}
        hub: {{repository: who/what, revision: abc123, file: a/weights.gguf}}
""")

    def knap(self, *arguments, **environment):
        return subprocess.run([program(), "models", *arguments], env={**self.environment, **environment}, capture_output=True, text=True, timeout=60)

    def partial(self):
        return self.models / ".partial-mine" / "model.gguf"

    def installed(self):
        return (self.models / "mine" / "model.gguf").read_bytes()


def test_a_pull_follows_the_hub_and_leaves_nothing_beside(machine, hub):
    done = machine.knap("pull", "mine")
    assert done.returncode == 0, done.stderr
    assert machine.installed() == WEIGHTS
    assert hub.asked[0] == ("/who/what/resolve/abc123/a/weights.gguf", None)
    assert sorted(os.listdir(machine.models)) == ["mine", "models.yaml"]
    assert "already" in machine.knap("pull", "mine").stdout + "already" and len(hub.asked) == 2


def test_a_pull_goes_on_where_the_connection_broke(machine, hub):
    hub.cuts = [1_000_000, 500_000]
    done = machine.knap("pull", "mine")
    assert done.returncode == 0, done.stderr
    assert machine.installed() == WEIGHTS
    assert [wanted for path, wanted in hub.asked if path == "/store/weights"] == [None, "bytes=1000000-", "bytes=1500000-"]


def test_a_killed_pull_is_gone_on_with_by_the_next(machine, hub):
    hub.hold = threading.Event()
    child = subprocess.Popen([program(), "models", "pull", "mine"], env=machine.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: machine.partial().is_file() and machine.partial().stat().st_size >= 1_400_000, 20, "half of the file")
    child.send_signal(signal.SIGKILL)
    child.wait(10)
    had = machine.partial().stat().st_size
    hub.hold.set()
    hub.hold = None
    hub.asked.clear()
    done = machine.knap("pull", "mine")
    assert done.returncode == 0, done.stderr
    assert machine.installed() == WEIGHTS
    assert hub.asked[-1] == ("/store/weights", f"bytes={had}-")
    assert "mine" not in [name for name in os.listdir(machine.models) if name.startswith(".partial")]


def test_a_file_that_changed_meanwhile_is_fetched_anew(machine, hub):
    machine.partial().parent.mkdir()
    machine.partial().write_bytes(b"old" * 1000)
    machine.partial().with_name("model.gguf.tag").write_text('"before"')
    assert machine.knap("pull", "mine").returncode == 0
    assert machine.installed() == WEIGHTS


def test_a_server_without_ranges_sends_all_again(machine, hub):
    hub.ranges, hub.cuts = False, [1_000_000]
    assert machine.knap("pull", "mine").returncode == 0
    assert machine.installed() == WEIGHTS


def test_a_wrong_checksum_installs_nothing_and_keeps_nothing(machine, hub):
    machine.catalogue(sha256="0" * 64)
    done = machine.knap("pull", "mine")
    assert done.returncode == 1 and "checksum" in done.stderr
    assert sorted(os.listdir(machine.models)) == ["models.yaml"]


def test_a_longer_file_is_refused_before_it_fills_the_disk(machine, hub):
    machine.catalogue(size=1000)
    done = machine.knap("pull", "mine")
    assert done.returncode == 1 and "longer than the catalogue says" in done.stderr


@pytest.mark.parametrize(("status", "words"), [(404, "does not exist"), (403, "may want an agreement"), (401, "may want an agreement")])
def test_the_hubs_refusal_is_told_at_once(machine, hub, status, words):
    hub.status = status
    done = machine.knap("pull", "mine")
    assert done.returncode == 1 and words in done.stderr
    assert len(hub.asked) == 1


def test_offline_dials_nothing(machine, hub):
    done = machine.knap("pull", "mine", KNAP_MODELS_OFFLINE="true")
    assert done.returncode == 1 and "models.offline" in done.stderr
    done = machine.knap("pull", "smollm2-135m-instruct", KNAP_MODELS_OFFLINE="true")
    assert done.returncode == 1 and "models.offline" in done.stderr
    assert hub.asked == []


def test_a_model_without_a_checksum_is_not_fetched(machine, hub):
    done = machine.knap("pull", "phi-4")
    assert done.returncode == 1 and "no checksum" in done.stderr and "bartowski/phi-4-GGUF" in done.stderr
    assert hub.asked == []


def gguf(chat=True):
    def text(value):
        return struct.pack("<Q", len(value)) + value.encode()

    pairs = [("general.architecture", "llama"), ("general.name", "Mine")] + ([("tokenizer.chat_template", "{{ messages }}")] if chat else [])
    return b"GGUF" + struct.pack("<IQQ", 3, 0, len(pairs)) + b"".join(text(key) + struct.pack("<I", 8) + text(value) for key, value in pairs)


def test_an_own_file_is_imported_used_and_removed(machine, tmp_path):
    file = tmp_path / "own.gguf"
    file.write_bytes(gguf())
    assert machine.knap("import", str(file), "own").returncode == 0
    listed = {model["name"]: model for model in json.loads(machine.knap("list", "--json").stdout)["models"]}
    assert listed["own"]["installed"] and not listed["own"]["run_by_us"]
    assert machine.knap("verify", "own").returncode == 0
    assert machine.knap("use", "own").returncode == 0
    assert json.loads(machine.knap("show", "own", "--json").stdout)["summary"] == "Imported: Mine"
    (machine.models / "own" / "model.gguf").write_bytes(gguf() + b"x")
    assert machine.knap("verify", "own").returncode == 1
    assert machine.knap("remove", "own").returncode == 0
    assert machine.knap("show", "own").returncode != 0


def test_what_is_no_chat_model_is_refused(machine, tmp_path):
    file = tmp_path / "base.gguf"
    file.write_bytes(gguf(chat=False))
    done = machine.knap("import", str(file), "base")
    assert done.returncode == 1 and "chat template" in done.stderr


def test_a_model_without_an_engine_cannot_be_chosen(machine):
    for name in ("bge-reranker-v2-m3", "bge-m3"):
        done = machine.knap("use", name)
        assert done.returncode != 0 and "no engine" in done.stderr


def test_the_users_mistake_is_named_with_its_line(machine):
    machine.models.joinpath("models.yaml").write_text("version: 1\nmodels:\n  mine:\n    rolle: answer\n")
    done = machine.knap("list")
    assert done.returncode != 0 and "models.yaml: line 4" in done.stderr and "did you mean 'role'?" in done.stderr
