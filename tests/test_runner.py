"""A runner of a language model by itself: several answers at once, who goes first, who is refused, who leaves."""
import concurrent.futures
import contextlib
import json
import os
import pathlib
import subprocess

import pytest

from knap_server import UnixConnection, program, wait_until

COUNT = "Count from 1 to 300, all numbers, separated by commas."


def models_folder():
    data = os.environ.get("XDG_DATA_HOME") or pathlib.Path.home() / ".local" / "share"
    return pathlib.Path(os.environ.get("KNAP_MODELS_DIR") or pathlib.Path(data) / "knap" / "models")


class Runner:
    def __init__(self, folder, *options):
        self.path = str(folder / "runner.sock")
        self.process = subprocess.Popen([program(), "runner", "--role", "answer", "--model", "small", "--model-file",
                                         models_folder() / "smollm2-135m-instruct" / "model.gguf", "--socket", self.path, "--threads", "2", *options])
        wait_until(self.ready, 60, "the runner to be ready")

    def ready(self):
        assert self.process.poll() is None
        try:
            return self.get("/health")["state"] == "ready"
        except OSError:
            return False

    def get(self, path):
        connection = UnixConnection(self.path)
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())

    def busy(self):
        stats = self.get("/stats")
        return stats["running"] + stats["queued"]

    def post(self, question, max_tokens=8, **fields):
        """An open response to a question."""
        connection = UnixConnection(self.path)
        body = {"messages": [{"role": "system", "content": "You are brief."}, {"role": "user", "content": question}], "temperature": 0,
                "max_tokens": max_tokens, **fields}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
        return connection, connection.getresponse()

    def ask(self, question, max_tokens=8, **fields):
        connection, response = self.post(question, max_tokens, **fields)
        with contextlib.closing(connection):
            return response.status, response.headers, json.loads(response.read())

    def begin(self, question, **fields):
        """An answer of which something has come, and goes on."""
        connection, response = self.post(question, 1000, stream=True, **fields)
        assert response.status == 200, response.read()
        while b'"content":"' not in (line := response.readline()) or b'"content":""' in line:
            assert line, "ended at once"
        return connection, response


@pytest.fixture(scope="module")
def runner(tmp_path_factory, default_models):
    runner = Runner(tmp_path_factory.mktemp("runner"))
    yield runner
    runner.process.terminate()
    runner.process.wait(10)


def leave(*begun):
    for connection, response in begun:
        response.close()
        connection.close()


def test_answers_run_side_by_side_and_share_what_they_begin_with(runner):
    before = runner.get("/stats")
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        replies = list(pool.map(lambda i: runner.ask(f"Say the number {i}.", 20), range(6)))
    after = runner.get("/stats")
    assert [status for status, _, _ in replies] == [200] * 6
    written = sum(reply["usage"]["completion_tokens"] for _, _, reply in replies)
    assert after["completion_tokens"] - before["completion_tokens"] == written
    assert after["steps"] - before["steps"] < written, "each step writes for several"
    assert sum(reply["usage"]["prompt_tokens_details"]["cached_tokens"] > 10 for _, _, reply in replies) >= 5


def test_a_question_goes_before_background_answers(runner):
    begun = [runner.begin(COUNT + str(i), priority="background", tenant=f"t{i}") for i in range(4)]
    before = runner.get("/stats")
    status, _, reply = runner.ask("Name a colour.", 4)
    after = runner.get("/stats")
    assert status == 200 and reply["usage"]["completion_tokens"] > 0
    assert after["running"] == 4, "they go on"
    assert after["steps"] - before["steps"] < 20
    leave(*begun)
    wait_until(lambda: runner.busy() == 0, 10, "the background to leave")


def test_clients_that_vanish_free_their_slots(runner):
    begun = runner.begin(COUNT)
    waiting = []
    for i in range(99):
        connection = UnixConnection(runner.path)
        body = {"messages": [{"role": "user", "content": f"{i} {COUNT}"}], "max_tokens": 1000, "stream": True}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
        waiting.append(connection)
    wait_until(lambda: runner.busy() == 100, 20, "all to be taken in")
    for connection in waiting:
        connection.close()
    leave(begun)
    wait_until(lambda: runner.busy() == 0, 5, "all to be free")
    stats = runner.get("/stats")
    assert stats["free_cells"] >= stats["cells"] - 1500, "at most the latest state is kept"


def test_what_cannot_come_in_time_is_refused_at_once(runner):
    begun = [runner.begin(f"{i} {COUNT}") for i in range(3)]
    status, headers, reply = runner.ask("word " * 3000, deadline_ms=300)
    assert status == 503 and int(headers["Retry-After"]) >= 1
    assert reply["error"]["code"] == "unavailable" and "the deadline is in" in reply["error"]["message"]
    leave(*begun)


def test_a_prompt_over_the_context_says_both_numbers(runner):
    status, _, reply = runner.ask("word " * 5000)
    assert status == 400 and reply["error"]["code"] == "context_length_exceeded"
    assert "the model's context 4096" in reply["error"]["message"]


def test_a_client_that_does_not_read_holds_nobody_up(runner):
    connection = UnixConnection(runner.path)
    body = {"messages": [{"role": "user", "content": COUNT}], "max_tokens": 1000, "stream": True}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    wait_until(lambda: runner.busy() == 1, 10, "it to begin")
    assert runner.ask("Name a colour.", 4)[0] == 200
    connection.close()
    wait_until(lambda: runner.busy() == 0, 10, "it to leave")


def test_stops_and_usage_hold_beside_other_answers(runner):
    begun = runner.begin(COUNT)
    try:
        asked = {"temperature": 1, "seed": 7}
        first = runner.ask("Tell a story.", 30, **asked)[2]
        stopped = runner.ask("Tell a story.", 30, **asked, stop=["e"])[2]
        assert stopped["choices"][0]["finish_reason"] == "stop"
        assert "e" not in stopped["choices"][0]["message"]["content"]
        assert 0 < stopped["usage"]["completion_tokens"] <= 30
        assert first["usage"]["total_tokens"] == first["usage"]["prompt_tokens"] + first["usage"]["completion_tokens"]
    finally:
        leave(begun)
