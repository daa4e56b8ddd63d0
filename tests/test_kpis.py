"""Each of the figures that count is driven to its warning and to its critical value by what really causes it."""
import json
import socket
import threading
import time

import pytest
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


def flood(server, count):
    """So many questions at once, each on a connection of its own, read to the end."""
    sockets = []
    for number in range(count):
        body = json.dumps({"question": f"When does kettle {number} boil, says the manual?", "mode": "extractive"}).encode()
        connection = socket.create_connection(("127.0.0.1", server.port), 60)
        connection.sendall(b"POST /api/ask HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nConnection: close\r\n"
                           b"Content-Length: %d\r\n\r\n" % len(body) + body)
        sockets.append(connection)
    for connection in sockets:
        while connection.recv(65536):
            pass
        connection.close()


def test_response_time(servers):
    """Without the levels questions wait in a long queue: as many as take the time."""
    server = servers(NOTES, settings={"service": {"levels": False, "answer_threads": 1}, "alerts": {"pending_s": 0}})
    count = 100
    for state, low, high in (("warning", 2, 3), ("critical", 3, 12)):
        for _ in range(8):
            restarted(server)
            flood(server, count)
            wait_until(lambda: kpi(server, "response_p95")["value"] is not None, 20, "counted")
            seen = kpi(server, "response_p95")
            if seen["state"] == state:
                break
            wanted = (low + high) / 2 if state == "warning" else 4.5
            count = max(10, min(1500, int(count * min(4, max(.25, wanted / max(.01, seen["value"]))))))
        assert seen["state"] == state and low < seen["value"], (seen, count)


def test_model_queue(servers, default_models):
    server = servers(NOTES, models=True, settings={"service": {"answer_threads": 16}, "alerts": {"pending_s": 0}})
    server.post("/v1/chat/completions", {"model": "smollm2-135m-instruct", "max_tokens": 1, "messages": [{"role": "user", "content": "Say yes."}]}, timeout=120)

    def ask(number):
        text = " ".join(f"Fact {number} {i}: the kettle boils." for i in range(120))
        server.http.post(server.url + "/v1/chat/completions", timeout=300, json={
            "model": "smollm2-135m-instruct", "max_tokens": 1, "deadline_ms": 200_000, "messages": [{"role": "user", "content": text}]})

    for state, askers in (("warning", 8), ("critical", 14)):
        threads = [threading.Thread(target=ask, args=(number,), daemon=True) for number in range(askers)]
        for thread in threads:
            thread.start()
        wait_until(lambda: kpi(server, "model_queue")["state"] == state, 60, lambda: f"{state}; {kpi(server, 'model_queue')}")
        for thread in threads:
            thread.join(200)
        wait_until(lambda: kpi(server, "model_queue")["value"] == 0, 60, "the queue empty")


def test_processor(servers, tmp_path):
    """Searches at a growing rate, against a container that may use a fifth of a core."""
    tree = mocked_v2(tmp_path / "cgroup", "20000 100000", "max")
    server = servers(NOTES, settings={"service": {"cgroup_dir": str(tree)}, "cache": {"layers": []}, "alerts": {"pending_s": 0}})
    rate, stop = [20.0], threading.Event()

    def search():
        number = 0
        while not stop.is_set():
            server.search(f"kettle dawn {number}")
            number += 1
            stop.wait(1 / rate[0])
    thread = threading.Thread(target=search, daemon=True)
    thread.start()
    try:
        for state, wanted in (("warning", 85), ("critical", 97)):
            def steered():
                seen = kpi(server, "cpu")
                if seen["state"] == state:
                    return True
                if seen["value"]:
                    rate[0] = max(1, min(2000, rate[0] * min(1.3, max(.8, wanted / seen["value"]))))
                time.sleep(2)  # figures are sampled every two seconds
                return False
            wait_until(steered, 120, lambda: f"{state}; {kpi(server, 'cpu')} at {rate[0]:.0f} a second")
    finally:
        stop.set()
        thread.join(20)


def test_memory(servers):
    server = servers(NOTES, settings={"alerts": {"pending_s": 0}})
    for state, share in (("warning", .85), ("critical", .93)):
        taken = wait_until(lambda: server.metrics().get('knap_process_memory_bytes{process="server"}'), 20, "memory sampled")
        restarted(server, service={"memory_bytes": int(taken / share)})
        wait_until(lambda: kpi(server, "memory")["state"] == state, 30, lambda: f"{state}; {kpi(server, 'memory')}")
    assert "KnapMemoryCritical" in alert_names(server)
