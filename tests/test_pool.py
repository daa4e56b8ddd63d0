"""Several local models within one budget of memory: who is loaded, who waits, what is refused, what is left behind."""
import concurrent.futures
import contextlib
import itertools
import os
import pathlib
import threading
import time

import pytest

from knap_server import run, wait_until

NOTES = {"Kettle.md": "# Kettle\n\nThe Orbital Kettle Company was founded in 1987 by Mara Lindqvist.\n"}
EMBED, SMALL, MIDDLE = "all-minilm-l6-v2", "smollm2-135m-instruct", "qwen2.5-coder-0.5b-instruct"
GIB = 1 << 30
PAGE = os.sysconf("SC_PAGE_SIZE")


def resident(process):
    with contextlib.suppress(OSError, ValueError):
        return int(pathlib.Path(f"/proc/{process}/statm").read_text().split()[1]) * PAGE
    return 0


def chat(server, model, words="Say yes.", **options):
    body = {"model": model, "messages": [{"role": "user", "content": words}], "max_tokens": 2, "temperature": 0, "deadline_ms": 110_000}
    return server.call("POST", "/v1/chat/completions", json=body, timeout=120, **options)


def embed(server, model=EMBED, **options):
    return server.call("POST", "/v1/embeddings", json={"model": model, "input": "kettle", "deadline_ms": 110_000}, timeout=120, **options)


def models_of(server):
    return {model["name"]: model for model in server.get("/api/models")["models"]}


class Sampler:
    """The most that the children of a server held together, looked at all the time."""

    def __init__(self, server):
        self.server, self.peak, self.samples, self.over = server, 0, 0, threading.Event()
        self.thread = threading.Thread(target=self.sample, daemon=True)

    def sample(self):
        while not self.over.is_set():
            self.peak = max(self.peak, sum(resident(child) for child in self.server.children()))
            self.samples += 1
            time.sleep(0.01)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def test_three_models_take_turns_within_a_budget_for_one(servers, installed_models):
    if missing := {EMBED, SMALL, MIDDLE} - installed_models:
        pytest.skip(f"not installed: {', '.join(sorted(missing))}")
    server = servers(NOTES, models=True, settings={"models": {"memory_bytes": GIB}}).wait_covered()
    with Sampler(server) as sampler, concurrent.futures.ThreadPoolExecutor(6) as callers:
        asked = [callers.submit(embed, server) if model == EMBED else callers.submit(chat, server, model)
                 for model in [EMBED, SMALL, MIDDLE] * 4]
        for each in asked:
            assert each.result().status_code == 200
    assert sampler.samples > 20 and 0 < sampler.peak <= GIB, f"{sampler.peak / GIB:.3f} GiB in {sampler.samples} samples"
    print(f"peak {sampler.peak / GIB:.3f} GiB of 1 in {sampler.samples} samples, pool {server.get('/api/models')['pool']}")
    pool = server.get("/api/models")["pool"]
    assert pool["evictions"] >= 2 and pool["counted_bytes"] <= pool["budget_bytes"] == GIB


def test_a_too_large_model_is_refused_with_the_arithmetic(servers, default_models):
    server = servers(NOTES, models=True, settings={"models": {"memory_bytes": 350 << 20}})
    began = time.monotonic()
    answer = chat(server, SMALL, expect=409)
    assert time.monotonic() - began < 5
    assert "state of its contexts" in answer.text and "models.memory_bytes allows 0.34 GiB" in answer.text
    reply = server.ask("Who founded the Orbital Kettle Company?")
    assert "Lindqvist" in reply["answer"] and any("needs" in reason for reason in reply["degraded"])


def test_a_pinned_model_stays(servers, default_models):
    settings = {"models": {"memory_bytes": 800 << 20, "pinned": [SMALL], "keep_alive_s": 1}}
    server = servers(NOTES, models=True, settings=settings).wait_covered()
    wait_until(lambda: models_of(server)[SMALL]["state"] == "ready", 60, "the pinned model to be loaded unasked")
    assert models_of(server)[SMALL]["pinned"] and not models_of(server)[EMBED]["pinned"]
    time.sleep(2)
    assert models_of(server)[SMALL]["state"] == "ready" and models_of(server)[EMBED]["state"] == "ready"


def test_an_idle_model_gives_its_memory_back(servers, default_models):
    server = servers(NOTES, models=True, settings={"models": {"keep_alive_s": 1}}).wait_covered()
    assert chat(server, SMALL).status_code == 200
    assert models_of(server)[SMALL]["resident_bytes"] > 100 << 20
    wait_until(lambda: models_of(server)[SMALL]["state"] == "installed", 30, "the model to be unloaded")
    assert len(server.children()) == 1, "the embedding model's"
    assert chat(server, SMALL).status_code == 200


# KNAP_POOL_CYCLES=100 is the whole of it; each cycle loads one model and unloads the other.
@pytest.mark.timeout(900)
def test_cycles_leave_no_memory_no_socket_and_no_child(servers, default_models):
    cycles = int(os.environ.get("KNAP_POOL_CYCLES", "8"))
    server = servers(NOTES, models=True, settings={"models": {"memory_bytes": 420 << 20}}).wait_covered()
    turns = itertools.cycle([lambda: chat(server, SMALL), lambda: embed(server)])

    def held():
        process = pathlib.Path(f"/proc/{server.process.pid}")
        return {"descriptors": len(list((process / "fd").iterdir())), "threads": len(list((process / "task").iterdir()))}

    for _ in range(4):
        next(turns)()
    before, memory = held(), resident(server.process.pid)
    loads = server.get("/api/models")["pool"]["loads"]
    for _ in range(cycles):
        next(turns)()
    assert server.get("/api/models")["pool"]["loads"] == loads + cycles
    after = held()
    grown = resident(server.process.pid) - memory
    print(f"{cycles} cycles: {before} -> {after}, memory {grown / 1e6:+.1f} MB")
    assert len(server.children()) == 1
    assert after["threads"] <= before["threads"] + 2 and after["descriptors"] <= before["descriptors"] + 6
    assert grown < 30 << 20
    run_dirs = {line.split()[-1].rpartition("/")[0] for line in pathlib.Path("/proc/net/unix").read_text().splitlines()
                if line.endswith(".sock") and f"/{SMALL}." in line or f"/{EMBED}." in line}
    mine = [folder for folder in run_dirs if any(folder in pathlib.Path(f"/proc/{child}/cmdline").read_text() for child in server.children())]
    assert all(len(list(pathlib.Path(folder).iterdir())) == 1 for folder in mine) and mine


def test_an_imported_model_is_seen_at_once(servers, default_models, tmp_path):
    from test_runner import models_folder
    folder = tmp_path / "models"
    (folder / EMBED).parent.mkdir()
    (folder / EMBED).symlink_to(models_folder() / EMBED)
    (folder / SMALL).symlink_to(models_folder() / SMALL)
    server = servers(NOTES, models=True, settings={"models": {"dir": str(folder)}}).wait_covered()
    chat(server, "mine", expect=404)
    done = run("models", "import", folder / SMALL / "model.gguf", "mine", home=tmp_path, KNAP_MODELS_DIR=str(folder))
    assert done.returncode == 0, done.stderr
    assert chat(server, "mine").json()["model"] == "mine"
    listed = {model["id"]: model for model in server.get("/v1/models")["data"]}
    assert listed["mine"]["knap"]["state"] == "ready" and listed["mine"]["knap"]["resident_bytes"] > 100 << 20
    assert run("models", "remove", "mine", home=tmp_path, KNAP_MODELS_DIR=str(folder)).returncode == 0
    chat(server, "mine", expect=404)
    assert "mine" not in models_of(server)
    wait_until(lambda: len(server.children()) == 1, 10, "its runner to end")
