"""Rules that hold for every route: errors, limits, who may ask."""
import json
import socket

import pytest
import requests

LIMIT = 64 * 1024


@pytest.fixture(scope="module")
def server(module_servers):
    return module_servers({"One.md": "The word is alphaone.\n"},
                          settings={"server": {"max_body_bytes": LIMIT, "allowed_origins": ["https://notes.example"],
                                               "allowed_hosts": ["knap.local"]}})


def raw(server, data, timeout=10):
    """Bytes in, all bytes out until the server closes or the answer is complete enough."""
    with socket.create_connection(("127.0.0.1", server.port), timeout) as connection:
        connection.sendall(data)
        got = b""
        try:
            while chunk := connection.recv(65536):
                got += chunk
        except TimeoutError:
            pass
        return got


def problem_of(answer, status):
    assert answer.status_code == status, f"{answer.status_code} {answer.text[:300]}"
    assert answer.headers["content-type"].startswith("application/problem+json")
    body = answer.json()
    assert body["status"] == status and body["title"] and body["detail"] and body["type"]
    assert body["request_id"] == answer.headers["x-request-id"]
    return body


def test_unknown_route(server):
    problem_of(server.call("GET", "/api/nosuchroute", expect=None), 404)


def test_wrong_method_names_the_right_ones(server):
    answer = server.call("DELETE", "/api/search", expect=None)
    problem_of(answer, 405)
    assert {"GET", "POST"} <= {method.strip() for method in answer.headers["allow"].split(",")}


@pytest.mark.parametrize("body, field, nearest", [
    ({"qurey": "x"}, "qurey", "query"), ({"query": "x", "limt": 3}, "limt", "limit"), ({"query": "x", "filtr": ""}, "filtr", "filter")])
def test_unknown_field_names_the_nearest(server, body, field, nearest):
    problem = problem_of(server.call("POST", "/api/search", json=body, expect=None), 422)
    assert problem["field"] == field and nearest in problem["detail"]


@pytest.mark.parametrize("body, field", [
    ({}, "query"), ({"query": 7}, "query"), ({"query": "x", "limit": "many"}, "limit"), ({"query": "x", "mode": "fast"}, "mode"),
    ({"query": "x", "group": "folder"}, "group"), ({"query": "x", "explain": 1}, "explain"), ({"query": "x", "deadline_ms": -5}, "deadline_ms")])
def test_wrong_values_name_their_field(server, body, field):
    assert problem_of(server.call("POST", "/api/search", json=body, expect=None), 422)["field"] == field


@pytest.mark.parametrize("data", ["", "{", "[]", "\"text\"", "null", '{"query": "x"} trailing', "\xff\xfe", '{"query":"\\ud800"}',
                                  "[" * 5000 + "]" * 5000])
def test_bodies_that_are_no_object(server, data):
    answer = server.call("POST", "/api/search", data=data.encode("latin-1"), expect=None)
    assert answer.status_code in (400, 422)
    problem_of(answer, answer.status_code)


def test_body_over_the_limit(server):
    answer = server.call("POST", "/api/search", json={"query": "x" * (LIMIT + 1)}, expect=None)
    assert answer.status_code == 413
    assert server.call("GET", "/health").status_code == 200


def test_declared_body_over_the_limit_is_not_waited_for(server):
    head = f"POST /api/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: {10**12}\r\n\r\n"
    assert b" 413 " in raw(server, head.encode()).split(b"\r\n")[0]


def test_header_over_the_limit(server):
    head = "GET /health HTTP/1.1\r\nHost: localhost\r\nX-Long: " + "a" * 100_000 + "\r\n\r\n"
    try:
        first = raw(server, head.encode()).split(b"\r\n")[0]
    except ConnectionError:
        first = b" 431 "  # refused while we were still sending
    assert b" 431 " in first or b" 400 " in first or first == b""
    assert server.call("GET", "/health").status_code == 200


@pytest.mark.parametrize("data", [b"\0\1\2\3\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00",
                                  b"GET /health HTTP/1.1\r\nHost localhost\r\n\r\n",
                                  b"POST /api/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{}",
                                  b"POST /api/search HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n"])
def test_garbage_is_refused_and_survived(server, data):
    got = raw(server, data, timeout=3)
    assert b" 200 " not in got.split(b"\r\n")[0]
    assert server.call("GET", "/health").status_code == 200


def test_half_a_request_and_gone(server):
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", server.port), 5) as connection:
            connection.sendall(b"POST /api/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
    assert server.call("GET", "/health").status_code == 200


def test_pipelined_requests_are_answered_in_order(server):
    one = b"GET /api/search?q=alphaone HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: first\r\n\r\n"
    two = b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: second\r\nConnection: close\r\n\r\n"
    got = raw(server, one + two).lower()
    assert 0 < got.find(b"x-request-id: first") < got.find(b"x-request-id: second")


def test_chunked_body(server):
    def pieces():
        yield b'{"query": '
        yield b'"alphaone"}'
    answer = requests.post(f"{server.url}/api/search", data=pieces(), headers={"Content-Type": "application/json"}, timeout=10)
    assert answer.status_code == 200 and answer.json()["results"]


def test_request_id_is_made_or_taken_over(server):
    made = {server.call("GET", "/health").headers["x-request-id"] for _ in range(3)}
    assert len(made) == 3
    taken = server.call("GET", "/health", headers={"X-Request-Id": "mine-42"})
    assert taken.headers["x-request-id"] == "mine-42"


@pytest.mark.parametrize("wrong", ["x" * 5000, "a b\tc", "<script>"])
def test_odd_request_ids_are_not_reflected(server, wrong):
    assert server.call("GET", "/health", headers={"X-Request-Id": wrong}).headers["x-request-id"] != wrong


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST", "knap.local"])
def test_hosts_that_may_ask(server, host):
    assert server.call("GET", "/health", headers={"Host": f"{host}:{server.port}"}).status_code == 200
    assert server.call("GET", "/api/search?q=x", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "evil.example:8000", "10.0.0.1"])
@pytest.mark.parametrize("route", ["/api/search?q=x", "/v1/models", "/api/config", "/metrics"])
def test_hosts_that_may_not(server, host, route):
    assert server.call("GET", route, headers={"Host": host}, expect=None).status_code == 403


@pytest.mark.parametrize("origin", ["app://obsidian.md", "capacitor://localhost", "http://localhost", "https://notes.example"])
def test_origins_that_may_ask(server, origin):
    answer = server.call("POST", "/api/search", json={"query": "alphaone"}, headers={"Origin": origin})
    assert answer.headers["access-control-allow-origin"] == origin
    assert "origin" in answer.headers.get("vary", "").lower()
    before = server.call("OPTIONS", "/api/search", expect=None, headers={
        "Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"})
    assert before.status_code in (200, 204)
    assert before.headers["access-control-allow-origin"] == origin
    assert "POST" in before.headers["access-control-allow-methods"]
    assert "content-type" in before.headers["access-control-allow-headers"].lower()


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.evil.example", "app://obsidian.md.evil"])
def test_origins_that_may_not(server, origin):
    for method, route in (("POST", "/api/search"), ("GET", "/api/search?q=x"), ("POST", "/v1/chat/completions")):
        answer = server.call(method, route, json={"query": "x"} if method == "POST" else None, headers={"Origin": origin}, expect=None)
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers


def test_a_deadline_is_kept_or_answered_honestly(server):
    answer = server.call("POST", "/api/search", json={"query": "alphaone", "deadline_ms": 1}, expect=None)
    assert answer.status_code in (200, 504)
    answer = server.call("GET", "/api/search?q=alphaone", headers={"X-Knap-Deadline-Ms": "500"})
    assert answer.json()["results"]


@pytest.mark.parametrize("route", ["/status", "/health", "/healthz", "/readyz", "/api/index/status", "/api/config",
                                   "/api/performance/metrics", "/api/jobs", "/api/index/files"])
def test_level_one_routes_answer(server, route):
    answer = server.call("GET", route)
    assert answer.headers["content-type"].startswith("application/json")
    json.loads(answer.text)


def test_pages_of_the_ledger(servers):
    server = servers({f"Note {n}.md": "text\n" for n in range(25)})
    seen, cursor, pages = [], "", 0
    while True:
        page = server.get(f"/api/index/files?limit=10{cursor}")
        seen += [file["path"] for file in page["files"]]
        pages += 1
        if not page.get("next_cursor"):
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert pages == 3 and len(seen) == len(set(seen)) == 25
    for wrong in ("limit=0", "limit=1001", "state=lost", "cursor=%00garbage"):
        assert server.call("GET", f"/api/index/files?{wrong}", expect=None).status_code in (400, 422), wrong


def test_metrics_are_prometheus(server):
    server.search("alphaone")
    text = server.call("GET", "/metrics").text
    assert server.call("GET", "/metrics").headers["content-type"].startswith("text/plain")
    typed = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")}
    common = {"cache_hit_rate", "cache_hits_total", "cache_requests_total", "http_request_duration_seconds", "model_queue_length"}
    assert typed and all(name.startswith(("knap_", "process_")) or name in common for name in typed)
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name = line.partition("{")[0].split()[0]
            base = name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count")
            assert name in typed or base in typed, line
            float(line.rpartition(" ")[2])


def test_secrets_are_masked(servers):
    server = servers({"One.md": "text\n"}, settings={"models": {"remote": {"url": "http://127.0.0.1:1/v1", "key": "verysecretkey"}}})
    assert "verysecretkey" not in server.call("GET", "/api/config").text
    assert "verysecretkey" not in server.log.read_text()


def test_log_holds_no_note_text_and_no_queries(servers):
    server = servers({"Secretname.md": "Confidential contentword here.\n"}, settings={"log": {"level": "debug"}})
    server.search("contentword")
    server.ask("What is the confidential contentword?")
    server.call("POST", "/api/search", json={"query": "contentword", "filter": "path:("}, expect=422)
    server.stop()
    assert "contentword" not in server.log.read_text("utf-8", "replace")
