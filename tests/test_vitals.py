"""Health, figures that count, trends and slow requests, as an operator sees them."""
import pytest

from knap_server import wait_until


def component(server, name):
    return next(c for c in server.get("/api/health/detailed")["components"] if c["name"] == name)


def kpi(server, name):
    return next(k for k in server.get("/api/health/detailed")["kpis"] if k["name"] == name)


@pytest.fixture(scope="module")
def server(module_servers):
    return module_servers({"One.md": "# Kettle\nThe kettle boils at dawn.\n"}, settings={"server": {"slow_request_ms": 0}})


def test_every_part_is_tried_on_a_schedule(server):
    for name, message in (("search", "answers"), ("store", "written"), ("embedding", "no embedding model"), ("generation", "no answer model")):
        wait_until(lambda: component(server, name)["state"] == "ok", 20, f"{name} is ok")
        assert message in component(server, name)["message"]
    first = component(server, "search")["last_check"]
    wait_until(lambda: component(server, "search")["last_check"] != first, 20, "searched again without a request")
    assert server.get("/api/health/detailed")["status"] == "ok"


def test_models_are_tried(servers, default_models):
    server = servers({"One.md": "The kettle boils at dawn, says the manual.\n"}, models=True)
    wait_until(lambda: "gave a vector" in component(server, "embedding")["message"], 60, "embedding tried")
    assert "not loaded" in component(server, "generation")["message"]
    server.wait_covered()


def test_kpis_say_why(server):
    for one in server.get("/api/health/detailed")["kpis"]:
        assert one["reason"] and {"target", "warning", "critical"} <= one.keys(), one
    for _ in range(10):
        server.search("kettle")
    wait_until(lambda: kpi(server, "response_p95")["state"] == "good", 20, "the searches counted")
    wait_until(lambda: kpi(server, "memory")["value"] > 0, 20, "memory sampled")
    assert kpi(server, "model_queue")["value"] == 0


def test_slow_requests_show_their_stages(server):
    answer = server.call("POST", "/api/search", json={"query": "kettle dawn"}, headers={"X-Request-Id": "slow-one-1"})
    assert answer.headers["x-request-id"] == "slow-one-1"

    def found():
        return [r for r in server.get("/api/performance/slow-requests?limit=200")["requests"] if r["request_id"] == "slow-one-1"]
    wait_until(found, 10, "the request kept")
    trace = found()[0]
    assert trace["route"] == "POST /api/search" and trace["level"] == "search"
    names = [stage["name"] for stage in trace["stages"]]
    assert names[0] == "queue" and "search.keyword" in names and "search.fetch" in names
    assert all(0 <= s["begin_ms"] <= trace["took_ms"] + 1 for s in trace["stages"])
    assert "kettle" not in str(trace)


def test_failures_are_kept_too(server):
    server.call("GET", "/api/performance/slow-requests?limit=0", expect=422)
    server.call("GET", "/api/performance/slow-requests?limt=3", expect=422)


def test_trends_grow(server):
    server.search("kettle")
    wait_until(lambda: len(server.get("/api/performance/trends")["points"]) >= 1, 40, "a point of the last hour")
    trends = server.get("/api/performance/trends?span=hour")
    assert trends["step_s"] == 10 and trends["points"][-1]["memory_bytes"] > 1e6
    assert server.get("/api/performance/trends?span=day")["points"] == []
    server.call("GET", "/api/performance/trends?span=year", expect=422)


def test_performance_names_levels_and_figures(server):
    shown = server.get("/api/performance/metrics")
    assert [level["limit_ms"] for level in shown["levels"]] == [100, 500, 2000, 10000, 60000]
    assert {one["name"] for one in shown["kpis"]} == {"cache_hit_rate", "response_p95", "model_queue", "cpu", "memory"}
