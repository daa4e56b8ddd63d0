"""What the server may take: a container's limits, memory, compressed bodies; and traces for a collector."""
import contextlib
import gzip
import http.server
import json
import os
import pathlib
import threading

import pytest
import requests

from knap_server import program, wait_until

NOTES = {"One.md": "# Kettle\nThe kettle boils at dawn.\n"}
CGROUP = pathlib.Path("/sys/fs/cgroup")


def mocked_v2(folder, cpu, memory):
    folder.mkdir(parents=True)
    for name, text in {"cgroup.controllers": "cpu memory", "cpu.max": cpu, "memory.max": memory, "memory.current": "1000000",
                       "memory.stat": "inactive_file 0", "cpu.stat": "usage_usec 1"}.items():
        (folder / name).write_text(text + "\n")
    return folder


def mocked_v1(folder, quota, memory):
    for name, text in {"cpu/cpu.cfs_quota_us": quota, "cpu/cpu.cfs_period_us": "100000", "memory/memory.limit_in_bytes": memory,
                       "memory/memory.usage_in_bytes": "1000000", "cpuacct/cpuacct.usage": "1"}.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    return folder


@pytest.mark.parametrize("version", [1, 2])
def test_threads_and_memory_follow_the_container(servers, tmp_path, version):
    cores = len(os.sched_getaffinity(0))
    if cores < 2:
        pytest.skip("one core cannot be limited to fewer")
    memory = 800 << 20
    make = mocked_v2 if version == 2 else mocked_v1
    tree = make(tmp_path / "cgroup", "90000 100000" if version == 2 else "90000", str(memory))
    server = servers(NOTES, settings={"service": {"cgroup_dir": str(tree)}})
    shown = server.get("/api/performance/metrics")
    assert shown["leases"]["cores"] == 1
    wait_until(lambda: server.metrics().get("knap_cgroup_cpu_limit_cores") == .9, 10, "the limit sampled")
    samples = server.metrics()
    assert samples["knap_allowed_memory_bytes"] == samples["knap_cgroup_memory_limit_bytes"] == memory
    assert samples["knap_allowed_cores"] == .9
    roomy = make(tmp_path / "roomy", "max 100000" if version == 2 else "-1", "max" if version == 2 else str((1 << 63) - 4096))
    free = servers(NOTES, settings={"service": {"cgroup_dir": str(roomy)}})
    assert free.get("/api/performance/metrics")["leases"]["cores"] == cores
    assert free.metrics()["knap_allowed_memory_bytes"] > memory


def test_a_real_container_group(servers):
    groups = {}
    try:
        for controller, limits in {"cpu": {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "80000"},
                                   "memory": {"memory.limit_in_bytes": str(700 << 20)}}.items():
            folder = CGROUP / controller / f"knap-test-{os.getpid()}"
            try:
                folder.mkdir()
                groups[controller] = folder
                for name, value in limits.items():
                    (folder / name).write_text(value)
            except OSError as error:
                pytest.skip(f"no group can be made here: {error}")
        server = servers(NOTES, start=False)
        enter = "".join(f"echo $$ > {folder}/cgroup.procs; " for folder in groups.values())
        command = ["sh", "-c", enter + 'exec "$@"', "sh", str(program()), "serve", "--config", str(server.config)]
        server.__class__ = type("InGroup", (type(server),), {"command": property(lambda _: command)})
        server.start().wait_settled()
        assert server.get("/api/performance/metrics")["leases"]["cores"] == 1
        samples = server.metrics()
        assert samples["knap_allowed_memory_bytes"] == 700 << 20 and samples["knap_allowed_cores"] == .8
        assert server.search("kettle")["results"]
        server.kill()
    finally:
        for folder in groups.values():
            def removed(path=folder):
                with contextlib.suppress(OSError):
                    path.rmdir()
                return not path.exists()
            wait_until(removed, 10, f"{folder} removed")


def test_new_work_is_refused_before_memory_runs_out(servers):
    server = servers(NOTES, settings={"service": {"memory_bytes": 1 << 20}})
    refused = server.call("POST", "/api/search", expect=503, json={"query": "kettle"})
    assert int(refused.headers["retry-after"]) >= 1 and "memory" in refused.json()["detail"]
    server.call("POST", "/api/ask", expect=503, json={"question": "When does the kettle boil?"})
    for path in ("/health", "/metrics", "/api/index/status", "/api/health/detailed"):
        assert server.call("GET", path).status_code == 200
    samples = server.metrics()
    assert samples["knap_memory_pressure"] == 2
    assert samples['knap_http_refused_total{reason="memory"}'] == 2


def test_large_bodies_are_compressed_as_the_client_likes(servers):
    server = servers(NOTES, settings={"server": {"compress_from_bytes": 1024}})
    plain = requests.get(server.url + "/openapi.json", headers={"Accept-Encoding": "identity"}, timeout=10)
    assert "content-encoding" not in plain.headers and "Accept-Encoding" in plain.headers["vary"]
    for accept, encoding in (("gzip", "gzip"), ("gzip, br;q=0.9", "gzip"), ("br, gzip;q=0.5", "br"), ("gzip, deflate, br, zstd", "zstd")):
        answer = requests.get(server.url + "/openapi.json", headers={"Accept-Encoding": accept}, timeout=10, stream=True)
        raw = answer.raw.read(decode_content=False)
        assert answer.headers["content-encoding"] == encoding and len(raw) == int(answer.headers["content-length"]) < len(plain.content) / 3
        if encoding == "gzip":
            assert gzip.decompress(raw) == plain.content
    small = requests.get(server.url + "/healthz", headers={"Accept-Encoding": "gzip"}, timeout=10)
    assert "content-encoding" not in small.headers


def test_traces_reach_a_collector(servers):
    got = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            got.append((self.path, json.loads(self.rfile.read(int(self.headers["content-length"])))))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_):
            pass
    collector = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    server = servers(NOTES, settings={"otlp": {"endpoint": f"http://127.0.0.1:{collector.server_port}"}})
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    server.call("POST", "/api/search", json={"query": "kettle dawn"}, headers={"traceparent": parent})

    def spans():
        return [span for path, body in got if path == "/v1/traces" for resource in body["resourceSpans"]
                for scope in resource["scopeSpans"] for span in scope["spans"] if span["traceId"] == parent[3:35]]
    wait_until(spans, 20, "the trace of the search")
    root = next(span for span in spans() if span.get("parentSpanId") == parent[36:52])
    assert root["name"] == "POST /api/search"
    assert {"queue", "search.keyword"} <= {span["name"] for span in spans() if span.get("parentSpanId") == root["spanId"]}
    assert "kettle" not in json.dumps(got)
    collector.shutdown()
    wait_until(lambda: server.metric("knap_otlp_traces_total") > 0, 10, "counted")
