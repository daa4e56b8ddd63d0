"""Each of the figures that count is driven to its warning and to its critical value by what really causes it."""
import contextlib
import ctypes
import http.server
import json
import os
import pathlib
import socket
import threading
import time

import pytest
import requests
import yaml

from knap_server import wait_until
from test_limits import mocked_v2

NOTES = {f"n{i}.md": f"# Note {i}\nThe kettle number {i} boils at dawn, says the manual of house {i}.\n" for i in range(40)}


def kpi(server, name):
    return next(k for k in server.get("/api/health/detailed")["kpis"] if k["name"] == name)


def restarted(server, **sections):
    server.kill()
    config = yaml.safe_load(server.config.read_text("utf-8"))
    for section, values in sections.items():
        config[section] = {**config.get(section, {}), **values}
    server.config.write_text(yaml.safe_dump(config), encoding="utf-8")
    return server.start()


def alert_names(server):
    return {alert["rule"] for alert in server.get("/api/health/alerts")["active"]}


def test_cache_hit_rate(servers):
    server = servers(NOTES, settings={"alerts": {"pending_s": 0}})
    for number in range(40):  # all of them new
        server.search(f"kettle {number}")
    wait_until(lambda: kpi(server, "cache_hit_rate")["state"] == "critical", 20, lambda: f"critical; {kpi(server, 'cache_hit_rate')}")
    wait_until(lambda: "KnapCacheHitRateCritical" in alert_names(server), 20, "told")
    new = iter(range(1000, 100_000))

    def repeated_until_better():
        for _ in range(20):
            server.search("kettle 1")
        time.sleep(1)  # figures are sampled every two seconds
        state = kpi(server, "cache_hit_rate")
        if (state["value"] or 0) > 75:
            for _ in range(20):
                server.search(f"kettle {next(new)}")
        return state["state"] == "warning"
    wait_until(repeated_until_better, 60, lambda: f"warning; {kpi(server, 'cache_hit_rate')}")


SEIZE, INTERRUPT, DETACH, ANY_CHILD = 0x4206, 0x4207, 17, 0x40000000  # PTRACE_..., __WALL


@contextlib.contextmanager
def standing_still(server, thread):
    """The threads of that name are held, all others go on: as when a disk or a swapped page does not come."""
    tasks = [int(task.name) for task in pathlib.Path(f"/proc/{server.process.pid}/task").iterdir()
             if (task / "comm").read_text().strip() == thread]
    assert tasks, f"no thread {thread}"
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    libc.ptrace.restype = ctypes.c_long
    for task in tasks:
        if libc.ptrace(SEIZE, task, None, None) != 0:
            pytest.skip(f"threads cannot be held here: ptrace says {os.strerror(ctypes.get_errno())}")
        assert libc.ptrace(INTERRUPT, task, None, None) == 0
        os.waitpid(task, ANY_CHILD)
    try:
        yield
    finally:
        for task in tasks:
            libc.ptrace(DETACH, task, None, None)


def test_response_time(servers):
    server = servers(NOTES, settings={"service": {"levels": False, "answer_threads": 1}, "cache": {"layers": []}, "alerts": {"pending_s": 0}})
    body = json.dumps({"question": "When does the kettle boil?", "mode": "extractive"}).encode()
    head = (b"POST /api/ask HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nConnection: close\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body))
    for state, seconds in (("warning", 2.2), ("critical", 3.5)):
        restarted(server)
        with contextlib.ExitStack() as sockets:
            connections = [sockets.enter_context(socket.create_connection(("127.0.0.1", server.port), 60)) for _ in range(5)]
            with standing_still(server, "knap-answer"):
                for connection in connections:
                    connection.sendall(head + body)
                time.sleep(seconds)
            for connection in connections:
                while connection.recv(65536):
                    pass
        wait_until(lambda: kpi(server, "response_p95")["value"] is not None, 20, "counted")
        seen = kpi(server, "response_p95")
        assert seen["state"] == state and seconds <= seen["value"], seen


def test_model_queue(servers):
    """A model server that answers nobody until it is told to."""
    go = threading.Event()

    class Slow(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            go.wait(100)
            chunk = {"choices": [{"index": 0, "delta": {"content": "yes"}, "finish_reason": "stop"}]}
            body = f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass
    remote = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=remote.serve_forever, daemon=True).start()
    server = servers(NOTES, settings={"models": {"embed": "", "answer": "", "remote": {"url": f"http://127.0.0.1:{remote.server_port}", "model": "slow"}},
                                      "service": {"answer_threads": 16}, "alerts": {"pending_s": 0}})

    def ask():
        requests.post(server.url + "/v1/chat/completions", timeout=110, json={"model": "slow", "messages": [{"role": "user", "content": "Say yes."}]})
    threads = []
    for state, askers in (("warning", 7), ("critical", 12)):
        while len(threads) < askers:
            threads.append(threading.Thread(target=ask, daemon=True))
            threads[-1].start()
        wait_until(lambda: kpi(server, "model_queue")["state"] == state, 30, lambda: f"{state}; {kpi(server, 'model_queue')}")
    wait_until(lambda: "KnapModelQueueCritical" in alert_names(server), 20, "told")
    go.set()
    for thread in threads:
        thread.join(60)
    wait_until(lambda: kpi(server, "model_queue")["value"] == 0, 20, "the queue empty")
    remote.shutdown()


@pytest.mark.timeout(300)
def test_processor(servers, tmp_path):
    """Searches in a container that may use a twentieth of a core, as many a second as take the wanted part of that."""
    limit = .05
    tree = mocked_v2(tmp_path / "container", f"{int(limit * 1e5)} 100000", "max")
    server = servers(NOTES, settings={"cache": {"layers": []}, "alerts": {"pending_s": 0}, "service": {"cgroup_dir": str(tree)}})
    stop, pause = threading.Event(), [.05]

    def search():
        session, number = requests.Session(), 0
        while not stop.wait(pause[0]):
            number += 1
            session.post(server.url + "/api/search", json={"query": f"kettle dawn {number}"}, timeout=10)
    thread = threading.Thread(target=search, daemon=True)
    thread.start()
    # What a search takes differs by machine and moment, so the pause between them follows the processor time they took.
    used, at = server.metric("process_cpu_seconds_total"), time.monotonic()

    def reached(state, share):
        nonlocal used, at
        time.sleep(2)
        used_now, now = server.metric("process_cpu_seconds_total"), time.monotonic()
        seen = (used_now - used) / (now - at) / limit
        used, at = used_now, now
        pause[0] = min(.5, max(.0005, pause[0] * min(2, max(.5, seen / share))))
        return kpi(server, "cpu")["state"] == state
    try:
        for state, share in (("warning", .85), ("critical", 2)):
            wait_until(lambda: reached(state, share), 120, lambda: f"{state}; {kpi(server, 'cpu')}")
    finally:
        stop.set()
        thread.join(20)


def test_memory(servers):
    server = servers(NOTES, settings={"alerts": {"pending_s": 0}})
    for state, share in (("warning", .85), ("critical", .93)):
        taken = wait_until(lambda: server.metrics().get('knap_process_memory_bytes{process="server"}'), 20, "memory sampled")
        restarted(server, service={"memory_bytes": int(taken / share)})
        wait_until(lambda: kpi(server, "memory")["state"] == state, 30, lambda: f"{state}; {kpi(server, 'memory')}")
    wait_until(lambda: "KnapMemoryCritical" in alert_names(server), 20, "told")
