"""Answers: cited, verbatim, honest, streamed, and alive when a model dies."""
import os
import signal
import time

import pytest

from knap_server import events, wait_until

NOTES = {
    "Company/History.md": "# History\n\nThe Orbital Kettle Company was founded in 1987 by Mara Lindqvist in Gothenburg.\n\n"
                          "Its first product was a kettle that whistled in three voices.\n",
    "Company/Office.md": "---\ntags: [office]\n---\n# Office\n\nThe office opens at half past eight.\n\n"
                         "## Parking\n\nVisitors park behind the red barn, not in the street.\n",
    "Garden.md": "# Garden\n\nTomatoes are sown in March and planted out after the last frost in May.\n",
    "Numbers.md": "# Numbers\n\n| Quarter | Revenue |\n|---|---|\n| Q1 | 120,000 euros |\n| Q2 | 95,000 euros |\n",
}
UNANSWERABLE = ["What is the capital of Mongolia?", "Who won the chess tournament in Reykjavik?",
                "How many moons does Jupiter have?"]


def check_citations(server, answer):
    """Every quote stands word for word at its lines."""
    for citation in answer["citations"]:
        lines = (server.vaults[citation["vault"]] / citation["path"]).read_text("utf-8").splitlines()
        first, last = citation["lines"]
        text = " ".join(" ".join(lines[first - 1:last]).split())
        assert citation["quote"].strip() and " ".join(citation["quote"].split()) in text
        assert citation["uri"].startswith("obsidian://open")
    ids = {citation["id"] for citation in answer["citations"]}
    for claim in answer["claims"]:
        assert set(claim["citations"]) <= ids
        assert claim["verdict"] in ("supported", "weak", "unsupported")


@pytest.fixture(scope="module")
def plain(module_servers):
    """Without any model: answers are made of quotes."""
    return module_servers(NOTES)


@pytest.fixture(scope="module")
def full(module_servers, default_models):
    return module_servers(NOTES, models=True).wait_covered()


@pytest.fixture(params=["plain", "full"])
def server(request):
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("question, fact, path", [
    ("Who founded the Orbital Kettle Company?", "Mara Lindqvist", "Company/History.md"),
    ("When was the Orbital Kettle Company founded?", "1987", "Company/History.md"),
    ("Where do visitors park?", "red barn", "Company/Office.md"),
    ("When are tomatoes sown?", "March", "Garden.md"),
])
def test_cited_answer(server, question, fact, path):
    answer = server.ask(question)
    assert not answer["refused"]
    assert fact in answer["answer"], answer["answer"]
    assert path in {citation["path"] for citation in answer["citations"]}
    assert "[1]" in answer["answer"]
    assert len(answer["answer"].split()) <= 120, "an answer, not a pasted note"
    check_citations(server, answer)
    assert all(claim["verdict"] != "unsupported" for claim in answer["claims"])
    assert answer["timings"]["total_ms"] >= 0


@pytest.mark.parametrize("question", UNANSWERABLE)
def test_refuses_what_the_notes_do_not_hold(server, question):
    answer = server.ask(question)
    assert answer["refused"], answer["answer"]
    assert answer["answer"], "a refusal says so in words"
    assert all(claim["verdict"] != "unsupported" for claim in answer["claims"])


def test_empty_vault_refuses(servers):
    assert servers({}).ask("Who founded the company?")["refused"]


def test_without_a_model_the_answer_is_extractive(plain):
    answer = plain.ask("Who founded the Orbital Kettle Company?")
    assert answer["mode"] == "extractive" and not answer["model"]


def test_extractive_on_request(full):
    assert full.ask("Who founded the Orbital Kettle Company?", mode="extractive")["mode"] == "extractive"


def test_a_model_words_the_answer(full):
    answer = full.ask("Who founded the Orbital Kettle Company?", mode="generative", deadline_ms=15_000)
    assert "Lindqvist" in answer["answer"]
    check_citations(full, answer)
    if answer["mode"] == "generative":
        assert answer["model"]
    else:
        assert answer["degraded"], "where the model's wording was not used, the answer says why"


def test_filter_and_vault_narrow_the_question(server):
    assert server.ask("Where do visitors park?", filter="tag:#office")["citations"]
    assert server.ask("Where do visitors park?", filter="path:Garden")["refused"]
    server.post("/api/ask", {"question": "Where?", "vault": "elsewhere"}, expect=404)


def test_unknown_model_is_not_found(server):
    server.post("/api/ask", {"question": "Where do visitors park?", "model": "nosuchmodel"}, expect=404)


@pytest.mark.parametrize("body, field", [
    ({"question": ""}, "question"), ({}, "question"), ({"question": 7}, "question"), ({"question": "x" * 4097}, "question"),
    ({"question": "x", "mode": "loud"}, "mode"), ({"question": "x", "stream": "yes"}, "stream"),
    ({"question": "x", "history": [{"role": "user"}]}, "history")])
def test_wrong_fields(server, body, field):
    assert server.post("/api/ask", body, expect=422)["field"].startswith(field)


def test_follow_up_question(server):
    history = [{"role": "user", "content": "Who founded the Orbital Kettle Company?"},
               {"role": "assistant", "content": "Mara Lindqvist founded it."}]
    check_citations(server, server.ask("When was the Orbital Kettle Company founded?", history=history))


def test_stream_order(server):
    with server.call("POST", "/api/ask", json={"question": "Who founded the Orbital Kettle Company?", "stream": True, "deadline_ms": 8000},
                     stream=True) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        got = list(events(response))
    names = [name for name, _ in got]
    assert names[0] == "sources" and names[-1] == "done", names
    assert names.index("claims") == len(names) - 2
    assert set(names[1:-2]) <= {"token"}
    assert got[0][1]["citations"], "quotes come before any token"
    done = got[-1][1]
    assert "Lindqvist" in done["answer"]
    check_citations(server, done)


def test_a_stream_that_refuses(server):
    with server.call("POST", "/api/ask", json={"question": UNANSWERABLE[0], "stream": True}, stream=True) as response:
        got = list(events(response))
    assert got[-1][0] == "done" and got[-1][1]["refused"]


def test_a_client_that_leaves_stops_the_work(full):
    for _ in range(5):
        with full.call("POST", "/api/ask", json={"question": "Who founded the Orbital Kettle Company?", "mode": "generative",
                                                 "stream": True}, stream=True) as response:
            next(events(response))
    assert full.ask("When are tomatoes sown?")["answer"]


def runners_of(server, word):
    found = []
    for pid in server.children():
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            if word.encode() in file.read():
                found.append(pid)
    return found


def test_runner_killed_in_the_middle_of_an_answer(servers, default_models):
    server = servers(NOTES, models=True).wait_covered()
    question = {"question": "Who founded the Orbital Kettle Company?", "mode": "generative", "deadline_ms": 15_000}
    server.post("/api/ask", question)  # the model is loaded
    with server.call("POST", "/api/ask", json={**question, "stream": True}, stream=True) as response:
        stream = events(response)
        assert next(stream)[0] == "sources"
        killed = runners_of(server, "runner")
        assert killed, "no runner is up"
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        name, last = list(stream)[-1]
    assert name in ("done", "error")
    if name == "done":
        assert "Lindqvist" in last["answer"] and not last["refused"]
        check_citations(server, last)
    assert server.process.poll() is None, "the server lives"
    answer = server.post("/api/ask", question)
    assert "Lindqvist" in answer["answer"]
    wait_until(lambda: set(runners_of(server, "runner")) - set(killed), 30, "a new runner")
    wait_until(lambda: server.search("kettle", mode="semantic")["mode"] == "semantic", 60, "meaning is back")


def test_runner_that_hangs(servers, default_models):
    server = servers(NOTES, models=True).wait_covered()
    server.ask("Who founded the Orbital Kettle Company?")
    stopped = runners_of(server, "runner")
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        begin = time.monotonic()
        answer = server.post("/api/ask", {"question": "When are tomatoes sown?", "deadline_ms": 5000}, timeout=30)
        assert "March" in answer["answer"]
        assert time.monotonic() - begin < 15
        assert server.search("kettle")["results"]
    finally:
        for pid in stopped:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                pass  # replaced meanwhile, as it should be
