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


QUESTIONS = ("leave a folder out of the index", "how is a citation checked", "restart after a crash", "text in scanned pictures",
             "who may connect to the server", "limit the memory of models", "questions by voice", "remove a cached answer",
             "words that repeat over many notes", "tags and dates in a search")


def judge_by_the_present_model(server, file, **extra):
    """Questions whose first three notes of today are called right, in their order: another model can only lose."""
    questions = [{"query": text, "notes": [{"path": hit["path"], "grade": 3 - i} for i, hit in enumerate(server.search(text, limit=3)["results"])]}
                 for text in QUESTIONS]
    file.write_text(json.dumps({"questions": questions + ([extra] if extra else [])}))


def held(server):
    return embedding(server)["held"]


def test_a_change_that_loses_is_held_until_it_is_forced(server):
    file = server.data_dir / "judged.yaml"
    judge_by_the_present_model(server, file, query="where is it", notes=["No such note.md"])
    used = knap(server, "models", "use", E5)
    assert used.returncode == 0 and "question 11: there is no note No such note.md" in used.stdout, used
    wait_until(lambda: held(server), 90, "the verdict")
    state = embedding(server)
    assert state["serving"].startswith(MINILM) and state["building"].startswith(E5) and state["missing"] == 0
    judged = state["compared"]["judged"]
    assert judged["questions"] == len(QUESTIONS)
    assert judged["ndcg_10_before"] > .99 and judged["ndcg_10"] < judged["ndcg_10_before"] - .02
    assert 0 < judged["recall_10"] <= judged["recall_10_before"] <= 1
    assert "No such note.md" in state["compared"]["problem"] and str(server.data_dir) not in state["compared"]["problem"]
    assert state["compared"]["overlap_at_10"] > 0
    assert f"held: {state['held']}" in knap(server, "status").stdout
    listed = knap(server, "models", "list").stdout
    assert "is held" in listed and f"on {len(QUESTIONS)} judged questions" in listed
    assert server.search("citations")["mode"] == "hybrid"

    # A kill changes nothing: the settings name the new model, and it is judged again before it serves.
    server.kill()
    server.start()
    wait_until(lambda: held(server), 90, "the same verdict")
    assert serving(server) == MINILM
    forced = knap(server, "models", "use", E5, "--force")
    assert forced.returncode == 0, forced.stderr
    wait_until(lambda: serving(server) == E5, 60, "the new model")
    assert held(server) is None and embedding(server)["compared"]["judged"]["questions"] == len(QUESTIONS)
    assert knap(server, "models", "rollback").returncode == 0
    assert serving(server) == MINILM


def test_a_held_change_is_given_up_by_a_rollback(server):
    judge_by_the_present_model(server, server.data_dir / "judged.yaml")
    knap(server, "models", "use", E5)
    wait_until(lambda: held(server), 90, "the verdict")
    back = knap(server, "models", "rollback")
    assert back.returncode == 0, back.stderr
    assert f"embed: {MINILM}" in server.config.read_text()
    assert serving(server) == MINILM and embedding(server)["building"] is None and held(server) is None


def test_a_model_that_finds_more_serves_at_once(server):
    file = server.data_dir / "judged.yaml"
    file.write_text(json.dumps({"questions": [{"query": "Was passiert, wenn ich Notizen umbenenne?", "notes": ["Keeping up with changes.md"]}]}))
    knap(server, "models", "use", E5)
    wait_until(lambda: serving(server) == E5, 90, "the new model")
    judged = embedding(server)["compared"]["judged"]
    assert judged["questions"] == 1 and judged["ndcg_10"] >= judged["ndcg_10_before"]
    measured = knap(server, "bench", "search", "--json")
    assert measured.returncode == 0, measured.stderr
    assert json.loads(measured.stdout)["quality"]["ndcg_10"] == pytest.approx(judged["ndcg_10"])


def test_judged_questions_that_cannot_be_read_break_no_change(server):
    (server.data_dir / "judged.yaml").write_text("questions:\n  - query: x\n    note: [A.md]\n")
    used = knap(server, "models", "use", E5)
    assert used.returncode == 0 and "line 3: unknown key 'note'" in used.stdout, used
    wait_until(lambda: serving(server) == E5, 90, "the new model")
    compared = embedding(server)["compared"]
    assert compared["judged"] is None and "line 3" in compared["problem"]
    assert "correct the file" in knap(server, "models", "list").stdout


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
