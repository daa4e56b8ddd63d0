"""Another embedding model takes the place of the one that serves, while people search."""
import json
import subprocess

import pytest

from knap_server import ROOT, clean_environment, program, wait_until

MINILM, E5 = "all-minilm-l6-v2", "multilingual-e5-small"


@pytest.fixture
def server(servers):
    listed = json.loads(subprocess.run([program(), "models", "list", "--json"], capture_output=True, text=True, check=True).stdout)
    absent = [m["name"] for m in listed["models"] if m["name"] in (MINILM, E5) and not m["installed"]]
    if absent:
        pytest.skip(f"not installed: {', '.join(absent)}; run `knap models pull {' '.join(absent)}`")
    return servers(vaults={"docs": ROOT / "docs"}, models=True).wait_covered()


def embedding(server):
    return server.get("/api/models")["embedding"]


def serving(server):
    return embedding(server)["serving"].partition("@")[0]


def knap(server, *arguments):
    return subprocess.run([program(), *arguments, "--config", server.config], capture_output=True, text=True, timeout=60,
                          env=clean_environment(server.home))


def test_changes_by_command_and_back(server):
    assert serving(server) == MINILM
    question = "Was passiert, wenn ich Notizen umbenenne?"
    server.search(question)
    used = knap(server, "models", "use", E5)
    assert used.returncode == 0, used.stderr
    assert "builds the vectors" in used.stdout and E5 in used.stdout
    shown = knap(server, "status")
    assert shown.returncode == 0 and f"model     {MINILM}" in shown.stdout, shown.stdout
    assert "passages to go" in shown.stdout or serving(server) == E5
    while serving(server) == MINILM:
        during = server.search("leave a folder out of the index")
        assert during["mode"] == "hybrid" and not during["degraded"], "the old model serves until the new one has all"
        assert during["index"]["coverage"]["semantic"] == 1
    state = embedding(server)
    assert state["building"] is None and state["missing"] == 0
    wait_until(lambda: embedding(server)["compared"], what="the comparison")
    assert embedding(server)["compared"]["questions"] >= 1
    assert "Keeping up with changes.md" in [r["path"] for r in server.search(question, limit=5)["results"]]
    assert f"embed: {E5}" in server.config.read_text()

    back = knap(server, "models", "rollback")
    assert back.returncode == 0, back.stderr
    assert serving(server) == MINILM
    assert f"embed: {MINILM}" in server.config.read_text()
    after = server.search("leave a folder out of the index")
    assert after["mode"] == "hybrid" and after["index"]["coverage"]["semantic"] == 1 and not after["degraded"]


def test_goes_on_after_a_kill(server):
    embedded = server.metric("knap_index_passages_embedded_total")
    knap(server, "models", "use", E5)
    total = embedding(server)["missing"]
    wait_until(lambda: 0 < embedding(server)["missing"] < total - 50, 60, "some vectors of the new model")
    server.kill()
    server.start()
    first = embedding(server)
    assert first["serving"].startswith(MINILM) and (first["building"] or "").startswith(E5)
    wait_until(lambda: server.search("citations")["mode"] == "hybrid", what="the old model, loaded again")
    wait_until(lambda: serving(server) == E5, 90, "the new model serves")
    assert server.metric("knap_index_passages_embedded_total") < embedded, "what was built was not built again"


def test_says_what_it_cannot_do(server):
    assert server.call("POST", "/api/models/use", expect=404, json={"model": "nothing"}).json()["type"] == "urn:knap:problem:model_not_found"
    assert server.call("POST", "/api/models/use", expect=422, json={"modell": E5}).status_code == 422
    refused = server.call("POST", "/api/models/rollback", expect=None)
    assert 400 <= refused.status_code < 500 and "models use" in refused.json()["detail"]
    assert knap(server, "models", "rollback").returncode == 1


def test_use_without_a_server_is_for_the_next_start(server):
    server.stop()
    used = knap(server, "models", "use", E5)
    assert used.returncode == 0 and "next start" in used.stdout, used
    server.start()
    assert (embedding(server)["building"] or embedding(server)["serving"]).startswith(E5)
