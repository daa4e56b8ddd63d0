"""The reranking stage and /v1/rerank, with a cross-encoder of random weights: it knows nothing, but what it says must be kept to."""
import json
import shutil
import signal
import subprocess

import pytest

import cross_encoder
from knap_server import clean_environment, program, wait_until

NOTES = {f"{word}.md": f"The {word} and the {other} on the harbour.\n" for word, other in
         zip("boat sail wind rope anchor tide crew map".split(), "star rain oar boat sail wind rope anchor".split())}


@pytest.fixture
def server(servers, tmp_path):
    models = tmp_path / "models"
    name = cross_encoder.install(models)
    server = servers(notes=NOTES, settings={"models": {"embed": "", "answer": "", "speech": "", "rerank": name, "dir": str(models)},
                                            "search": {"rerank_weight": 1}})
    server.model = name
    return server


def ready(server):
    """The model is loaded at its first use."""
    def loaded():
        return server.call("POST", "/v1/rerank", None, json={"model": server.model, "query": "boat", "documents": ["sail"]}).status_code == 200
    wait_until(loaded, 20, "the reranking model")


def test_texts_are_ordered_by_relevance(server):
    ready(server)
    documents = ["the wind", {"text": "boat and sail"}, "a star", "rope rope"]
    answer = server.post("/v1/rerank", {"model": "knap", "query": "which boat", "documents": documents, "return_documents": True})
    scores = [r["relevance_score"] for r in answer["results"]]
    assert scores == sorted(scores, reverse=True) and all(0 < s < 1 for s in scores) and len(set(scores)) == 4
    assert sorted(r["index"] for r in answer["results"]) == [0, 1, 2, 3]
    assert {r["index"]: r["document"]["text"] for r in answer["results"]}[1] == "boat and sail"
    assert answer["usage"]["total_tokens"] > 4 * 4
    top = server.post("/v1/rerank", {"model": server.model, "query": "which boat", "documents": documents, "top_n": 2})
    assert [r["index"] for r in top["results"]] == [r["index"] for r in answer["results"]][:2] and "document" not in top["results"][0]
    alone = server.post("/v1/rerank", {"model": server.model, "query": "which boat", "documents": ["rope rope"]})
    together = {r["index"]: r["relevance_score"] for r in answer["results"]}
    assert abs(alone["results"][0]["relevance_score"] - together[3]) < 1e-3


@pytest.mark.parametrize("body, says", [
    ({"query": "x", "documents": ["a"]}, "model"),
    ({"model": "knap", "documents": ["a"]}, "query"),
    ({"model": "knap", "query": "x"}, "documents"),
    ({"model": "knap", "query": "x", "documents": []}, "documents"),
    ({"model": "knap", "query": "x", "documents": ["a"] * 513}, "512"),
    ({"model": "knap", "query": "x", "documents": [1]}, "text"),
    ({"model": "knap", "query": "x", "documents": ["a"], "top_n": 0}, "top_n"),
    ({"model": "nobody", "query": "x", "documents": ["a"]}, "does not exist"),
])
def test_wrong_requests_are_told_what_is_wrong(server, body, says):
    answer = server.call("POST", "/v1/rerank", None, json=body)
    assert answer.status_code in (400, 404, 422) and says in answer.json()["error"]["message"]


def search(server, **more):
    """What the search finds; `degraded` without what the missing embedding model is the reason for."""
    found = server.post("/api/search", {"query": "harbour wind", "explain": True, **more})
    found["degraded"] = [reason for reason in found["degraded"] if not reason.startswith("semantic: ")]
    return found


def test_searches_follow_the_model_and_say_so(server):
    ready(server)
    found = search(server)
    assert [s["name"] for s in found["explain"]["stages"]][-1] == "rerank" and found["degraded"] == []
    results = found["results"]
    texts = [f"{r['title']}\n{NOTES[r['path']].strip()}" for r in results]
    told = server.post("/v1/rerank", {"model": server.model, "query": "harbour wind", "documents": texts})
    scores = {r["index"]: r["relevance_score"] for r in told["results"]}
    named = [i for i, r in enumerate(results) if r["explain"]["prior"]]
    rest = [scores[i] for i in range(len(results)) if i not in named]
    assert len(results) == len(NOTES) and rest == sorted(rest, reverse=True)
    assert all(abs(r["explain"]["rerank"] - scores[i]) < 1e-3 for i, r in enumerate(results))
    assert len(search(server, limit=2)["results"]) == 2
    assert [r["path"] for r in search(server, limit=2)["results"]] == [r["path"] for r in results[:2]]
    keyword = search(server, mode="keyword")
    assert "rerank" not in [s["name"] for s in keyword["explain"]["stages"]], "who asks for words alone gets them"


def test_a_search_never_waits_for_the_model_to_load_or_to_come_back(server):
    first = search(server)
    assert first["results"] and (first["degraded"] == [] or first["degraded"][0].startswith("rerank: "))
    ready(server)
    runner = next(pid for pid in server.children() if b"rerank" in open(f"/proc/{pid}/cmdline", "rb").read())
    subprocess.run(["kill", f"-{signal.SIGKILL.value}", str(runner)], check=True)
    assert search(server)["results"]
    ready(server)
    assert search(server)["degraded"] == []


def test_an_absent_model_is_named(servers, tmp_path):
    models = tmp_path / "models"
    name = cross_encoder.install(models)
    shutil.rmtree(models / name)
    server = servers(notes=NOTES, settings={"models": {"embed": "", "answer": "", "speech": "", "rerank": name, "dir": str(models)}})
    found = search(server)
    assert found["degraded"] == ["rerank: the reranking model is not installed"] and found["results"]


def test_a_wrong_setting_stops_the_start(tmp_path):
    config = tmp_path / "knap.yaml"
    config.write_text(json.dumps({"models": {"rerank": "all-minilm-l6-v2"}, "data": {"dir": str(tmp_path / "data")},
                                  "vaults": [{"name": "notes", "path": str(tmp_path)}]}))
    done = subprocess.run([program(), "serve", "--config", config], capture_output=True, text=True, env=clean_environment(tmp_path), timeout=30)
    assert done.returncode != 0 and "is for the role embed, not rerank" in done.stderr
