"""Remote models: chosen, guarded, explained, and never given what stays on this machine.

Real servers on loopback, which answer, hang, fail, break off or dawdle as they are told.
"""
import http.server
import json
import threading
import time

import pytest

from knap_server import run

NOTES = {
    "Company/History.md": "# History\n\nThe Orbital Kettle Company was founded in 1987 by Mara Lindqvist in Gothenburg.\n",
    "Diary.md": "---\ntags: [local-only/diary]\n---\n# Diary\n\nThe surgery at Saint Barnabas hospital took place on 4 May 2021.\n",
    "Journal/Salary.md": "# Salary\n\nThe yearly salary of Ottoline Pemberton is 61,250 euros.\n",
}
PUBLIC, ANSWER = "Who founded the Orbital Kettle Company?", "The Orbital Kettle Company was founded by Mara Lindqvist. [1]"
SECRETS = [("When did the surgery at Saint Barnabas hospital take place?", "4 May 2021"),
           ("What is the yearly salary of Ottoline Pemberton?", "61,250")]


class Remote:
    """A server of models that behaves as `mood` says, and keeps what it was sent."""

    def __init__(self):
        self.mood, self.bodies, self.paths, self.failures = "good", [], [], 0
        self.ending = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                outer.bodies.append(body)
                outer.paths.append(self.path)
                mood = outer.mood
                if outer.failures > 0:
                    outer.failures, mood = outer.failures - 1, "500"
                if mood == "hang":
                    outer.ending.wait(30)
                    return self.close()
                if mood in ("500", "later"):
                    reply = b'{"error": {"message": "no memory left"}}'
                    self.send_response(429 if mood == "later" else 500)
                    if mood == "later":
                        self.send_header("Retry-After", "45")
                    self.send_header("Content-Length", str(len(reply)))
                    self.end_headers()
                    return self.wfile.write(reply)
                self.send_response(200)
                self.send_header("Connection", "close")
                self.end_headers()
                self.close_connection = True
                ollama = self.path == "/api/chat"
                for piece in ANSWER.split(" "):
                    text = piece if piece == "The" else " " + piece
                    self.put({"message": {"content": text}, "done": False} if ollama else
                             {"choices": [{"delta": {"content": text}, "finish_reason": None}]}, ollama)
                    if mood == "cut" and piece == "Kettle":
                        return self.close()
                    if mood == "slow":
                        outer.ending.wait(0.1)
                self.put({"message": {"content": ""}, "done": True, "done_reason": "stop", "prompt_eval_count": 200, "eval_count": 12}
                         if ollama else {"choices": [{"delta": {}, "finish_reason": "stop"}],
                                         "usage": {"prompt_tokens": 200, "completion_tokens": 12}}, ollama)
                if not ollama:
                    self.wfile.write(b"data: [DONE]\n\n")

            def put(self, value, ollama):
                text = json.dumps(value)
                self.wfile.write((text + "\n" if ollama else f"data: {text}\n\n").encode())
                self.wfile.flush()

            def close(self):
                self.close_connection = True

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def end(self):
        self.ending.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def remote():
    made = Remote()
    yield made
    made.end()


@pytest.fixture
def serve(servers, remote):
    """A server whose answers are worded by `remote`."""
    def make(**more):
        settings = {"url": f"http://127.0.0.1:{remote.server.server_port}", "model": "far", "silence_ms": 500,
                    "price_read": 2, "price_write": 10, "local_only_folders": ["Journal"], **more}
        return servers(NOTES, settings={"models": {"remote": settings}, "cache": {"layers": []}})
    return make


def explained(server, answer_headers):
    return server.get("/api/models/routes/" + answer_headers["X-Request-Id"])


def asked(server, question=PUBLIC, **more):
    response = server.call("POST", "/api/ask", json={"question": question, "deadline_ms": 20_000, **more})
    return response.json(), response.headers


@pytest.mark.parametrize("shape, path", [("openai", "/v1/chat/completions"), ("ollama", "/api/chat")])
def test_answers_and_keeps_books(serve, remote, shape, path):
    server = serve(shape=shape)
    answer, headers = asked(server)
    assert answer["mode"] == "generative" and answer["model"] == "remote:far", answer
    assert remote.paths == [path] and "Mara Lindqvist" in remote.bodies[0]
    route = explained(server, headers)
    assert route["candidates"][0] == {"model": "remote:far", "remote": True, "usable": True, "expected_ms": None,
                                      "reason": "fits; by the order of the settings"}
    attempt = route["attempts"][0]
    assert attempt["outcome"] == "answered" and (attempt["prompt_tokens"], attempt["completion_tokens"]) == (200, 12)
    assert attempt["cost"] == pytest.approx((200 * 2 + 12 * 10) / 1e6)
    shown = run("models", "explain", headers["X-Request-Id"], "--url", server.url, home=server.home)
    assert shown.returncode == 0 and "remote:far" in shown.stdout and "answered" in shown.stdout, shown.stderr
    entries = [json.loads(line) for line in (server.data_dir / "sent.jsonl").read_text("utf-8").splitlines()]
    assert [entry["request_id"] for entry in entries] == [headers["X-Request-Id"]]
    assert [note["path"] for note in entries[0]["notes"]] == ["Company/History.md"]
    assert "Lindqvist" not in json.dumps(entries), "paths, never text"
    metrics = server.call("GET", "/metrics").text
    assert "knap_models_remote_prompt_tokens_total 200" in metrics


def test_a_model_that_is_named_can_be_explained(serve, remote):
    server = serve()
    response = server.call("POST", "/v1/chat/completions", json={"model": "remote:far", "messages": [{"role": "user", "content": "Hello"}]})
    assert response.status_code == 200, response.text
    route = explained(server, response.headers)
    assert [each["model"] for each in route["candidates"]] == ["remote:far"]
    assert [each["outcome"] for each in route["attempts"]] == ["answered"] and route["attempts"][0]["completion_tokens"] == 12


def test_a_server_that_asks_for_it_is_left_alone(serve, remote):
    server = serve()
    remote.mood = "later"
    answer, headers = asked(server)
    assert answer["mode"] == "extractive"
    assert len(remote.bodies) == 1, "not tried again"
    remote.mood = "good"
    asked(server, PUBLIC + " Say it again.")
    assert len(remote.bodies) == 1
    refused = server.post("/v1/chat/completions", {"model": "far", "messages": [{"role": "user", "content": "Hello"}]}, expect=503)
    assert "left alone for" in refused["error"]["message"] and len(remote.bodies) == 1


@pytest.mark.parametrize("question, fact", SECRETS)
def test_local_notes_are_never_sent(serve, remote, question, fact):
    """By tag and by folder; the answer is quoted instead."""
    server = serve()
    for mode in ("auto", "generative"):
        answer, headers = asked(server, question, mode=mode)
        assert fact in answer["answer"] and answer["mode"] == "extractive", answer
        route = explained(server, headers)
        assert route["kept_local"] and not route["candidates"][0]["usable"] and route["attempts"] == []
    named, _ = asked(server, question, model="far")
    assert named["mode"] == "extractive"
    asked(server)
    assert len(remote.bodies) == 1
    for _, secret in SECRETS:
        assert secret not in remote.bodies[0]


def test_one_switch_forbids_all(serve, remote):
    server = serve(forbid=True)
    answer, _ = asked(server)
    assert answer["mode"] == "extractive"
    server.post("/v1/chat/completions", {"model": "far", "messages": [{"role": "user", "content": "Hello"}]}, expect=404)
    assert remote.bodies == [] and not (server.data_dir / "sent.jsonl").exists()


def test_a_failure_is_tried_again(serve, remote):
    server = serve()
    remote.failures = 2
    answer, headers = asked(server)
    assert answer["mode"] == "generative" and len(remote.bodies) == 3
    assert len((server.data_dir / "sent.jsonl").read_text().splitlines()) == 3


def test_a_failing_server_is_left_alone(serve, remote):
    server = serve()
    remote.mood = "500"
    answer, headers = asked(server)
    assert answer["mode"] == "extractive" and "Mara Lindqvist" in answer["answer"]
    assert "no memory left" in " ".join(answer["degraded"])
    tried = len(remote.bodies)
    assert tried == 3
    begin = time.monotonic()
    answer, headers = asked(server)
    assert answer["mode"] == "extractive" and len(remote.bodies) == tried and time.monotonic() - begin < 2
    assert "open for" in explained(server, headers)["candidates"][0]["reason"]


@pytest.mark.parametrize("mood", ["hang", "cut"])
def test_a_server_that_hangs_or_breaks_off(serve, remote, mood):
    server = serve()
    remote.mood = mood
    begin = time.monotonic()
    answer, headers = asked(server)
    assert answer["mode"] == "extractive" and "Mara Lindqvist" in answer["answer"] and answer["degraded"]
    assert time.monotonic() - begin < 10
    assert explained(server, headers)["attempts"][0]["outcome"] != "answered"


def test_a_slow_server_is_waited_for(serve, remote):
    """Each token comes within the limit of silence, all together do not."""
    server = serve()
    remote.mood = "slow"
    answer, _ = asked(server)
    assert answer["mode"] == "generative", answer


def test_falls_back_on_a_local_model(servers, remote, default_models):
    remote.mood = "500"
    server = servers(NOTES, models=True, settings={"models": {"remote": {
        "url": f"http://127.0.0.1:{remote.server.server_port}", "model": "far"}}, "cache": {"layers": []}})
    answer, headers = asked(server, deadline_ms=60_000)
    attempts = explained(server, headers)["attempts"]
    assert [attempt["model"] for attempt in attempts] == ["remote:far", "smollm2-135m-instruct"], attempts
    assert attempts[1]["outcome"] == "answered"
    secret, _ = asked(server, SECRETS[0][0], deadline_ms=60_000)
    assert all("4 May 2021" not in body for body in remote.bodies)
