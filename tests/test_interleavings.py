"""Edits, searches and asks in random order over two servers of one vault: nothing that an acknowledged edit removed is ever shown.

KNAP_INTERLEAVINGS says how many questions are asked (600; a thorough run takes 10000), KNAP_SEED begins another sequence.
"""
import os
import random
import re
import shutil
import threading
import time

import pytest
import requests

from conftest import write_notes

from test_redis import Redis, wait_open

COUNT, SEED = int(os.environ.get("KNAP_INTERLEAVINGS", 600)), int(os.environ.get("KNAP_SEED", 1))
NOTES, ASKERS = 12, 4
VERSION = re.compile(r"v(\d+)x(\d+)z")


def text(note, version):
    return f"# Topic{note}\n\nThe marker of topic{note} is v{version}x{note}z, as everybody knows.\n"


class Truth:
    """Which version of each note each server has acknowledged."""

    def __init__(self, servers):
        self.acknowledged = [[0] * NOTES for _ in servers]
        self.edits = 0

    def seen(self, server):
        return list(self.acknowledged[server])


def edit(root, servers, truth, rng, done):
    """Writes notes, one after the other; each edit is acknowledged by a server when its new word is found there."""
    versions = [0] * NOTES
    with requests.Session() as http:
        while not done.is_set():
            note = rng.randrange(NOTES)
            versions[note] += 1
            (root / f"N{note}.md").write_text(text(note, versions[note]))
            waiting, until = set(range(len(servers))), time.monotonic() + 20
            while waiting:
                assert time.monotonic() < until, f"edit {versions} is not found"
                for number in list(waiting):
                    found = http.post(f"{servers[number].url}/api/search", timeout=20,
                                      json={"query": f"v{versions[note]}x{note}z", "mode": "keyword", "limit": 1}).json()
                    shown = [int(match[1]) for result in found["results"] for match in VERSION.finditer(result["snippet"])
                             if int(match[2]) == note]
                    if versions[note] in shown:
                        truth.acknowledged[number][note] = versions[note]
                        waiting.discard(number)
            truth.edits += 1


def question(rng):
    note = rng.randrange(NOTES)
    if rng.random() < .25:
        return "/api/ask", {"question": f"What is the marker of topic{note}?", "mode": "extractive", "stream": False}
    body = {"query": rng.choice([f"marker topic{note}", f"topic{note}", "everybody knows the marker"])}
    if rng.random() < .3:
        body["limit"] = rng.choice([1, 5])
    return "/api/search", body


def shown(answer):
    """(note, version) pairs anywhere in what a reader sees."""
    texts = [result["snippet"] for result in answer.get("results", [])]
    texts += [citation["quote"] for citation in answer.get("citations", [])] + [answer.get("answer", "")]
    return [(int(match[2]), int(match[1])) for each in texts for match in VERSION.finditer(each)]


@pytest.fixture
def shared_layers(tmp_path):
    """Redis where it is installed: the two servers then share their third layer."""
    if not shutil.which("redis-server"):
        yield ["memory", "disk"], {}
        return
    redis = Redis(tmp_path).wait()
    yield ["memory", "disk", "redis"], {"addresses": [redis.address]}
    redis.kill()


def test_nothing_that_an_acknowledged_edit_removed_is_shown(servers, tmp_path, shared_layers):
    layers, redis = shared_layers
    root = write_notes(tmp_path / "vault", {f"N{note}.md": text(note, 0) for note in range(NOTES)})
    pair = [servers(vaults={"notes": root}, settings={"cache": {"layers": layers, "redis": redis}}) for _ in range(2)]
    if redis:
        for server in pair:
            wait_open(server)
    truth, done, wrong, asked, cached = Truth(pair), threading.Event(), [], [0] * ASKERS, {}

    def ask(number):
        rng = random.Random(SEED * 1000 + number)
        with requests.Session() as http:
            while asked[number] < COUNT // ASKERS and not wrong:
                server = rng.randrange(2)
                path, body = question(rng)
                before = truth.seen(server)
                answer = http.post(pair[server].url + path, json=body, timeout=20).json()
                cached[answer.get("cached")] = cached.get(answer.get("cached"), 0) + 1
                for note, version in shown(answer):
                    if version < before[note]:
                        wrong.append(f"{path} {body} on server {server}: {version} of note {note}, acknowledged {before[note]}; "
                                     f"cached {answer.get('cached')}")
                asked[number] += 1
    editor = threading.Thread(target=edit, args=(root, pair, truth, random.Random(SEED), done))
    askers = [threading.Thread(target=ask, args=(number,)) for number in range(ASKERS)]
    editor.start()
    for thread in askers:
        thread.start()
    for thread in askers:
        thread.join()
    done.set()
    editor.join()
    print(f"{sum(asked)} questions, {truth.edits} edits, by layer: {cached}")
    assert not wrong, wrong[0]
    assert sum(asked) == COUNT // ASKERS * ASKERS and truth.edits > 3
    assert cached.get("l1", 0) > COUNT / 20
