"""What /metrics says, to promtool and to a real Prometheus."""
import re
import time

import pytest

from knap_server import wait_until
from prometheus import Prometheus, promtool

LEVEL_LIMITS = ["0.1", "0.5", "2", "10", "60"]


@pytest.fixture(scope="module")
def server(module_servers):
    made = module_servers({"One.md": "# Kettle\nThe kettle boils at dawn.\n", "Two.md": "The lamp is blue.\n"})
    for question in ("kettle", "lamp", "nothing at all"):
        made.search(question)
    made.ask("When does the kettle boil?")
    return made


@pytest.fixture(scope="module")
def prometheus(server, tmp_path_factory):
    made = Prometheus(tmp_path_factory.mktemp("prometheus"), server)
    yield made
    made.stop()


def text_of(server):
    answer = server.call("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return answer.text


def test_promtool_finds_nothing_wrong(server):
    checked = promtool("check", "metrics", input=text_of(server))
    assert checked.returncode == 0 and not checked.stdout and not checked.stderr, checked.stdout + checked.stderr


def test_histograms_have_buckets_at_the_level_limits(server):
    text = text_of(server)
    for name in ("knap_http_request_seconds", "knap_level_seconds", "knap_search_stage_seconds", "knap_answer_stage_seconds"):
        edges = set(re.findall(rf'^{name}_bucket{{.*?le="([^"]+)"}}', text, re.MULTILINE))
        assert set(LEVEL_LIMITS) < edges, f"{name}: {sorted(edges)}"


def test_buckets_never_shrink_and_end_at_the_count(server):
    buckets, counts = {}, {}
    for line in text_of(server).splitlines():
        if match := re.match(r'(\w+)_bucket\{(.*?),?le="([^"]+)"\} (\d+)', line):
            buckets.setdefault((match[1], match[2]), []).append(int(match[4]))
        elif match := re.match(r"(\w+)_count(?:\{(.*)\})? (\d+)", line):
            counts[match[1], match[2] or ""] = int(match[3])
    assert buckets and buckets.keys() == counts.keys()
    for series, values in buckets.items():
        assert values == sorted(values) and values[-1] == counts[series], series


def test_names_of_ready_made_dashboards(server):
    samples = server.metrics()
    names = {re.sub(r"\{.*", "", series) for series in samples}
    assert {"cache_hit_rate", "cache_requests_total", "http_request_duration_seconds_bucket",
            "http_request_duration_seconds_count", "http_request_duration_seconds_sum"} <= names
    for series, value in samples.items():
        if series.startswith("http_request_duration_seconds_count") and "/api/search" in series:
            assert value >= 3


def test_series_stay_bounded_whatever_is_asked(server):
    before = len(server.metrics())
    for number in range(50):
        server.call("GET", f"/api/notes/No%20such%20{number}.md", expect=404)
        server.call("GET", f"/no/such/route/{number}", expect=404)
        server.call("PATCH", f"/api/search?q={number}", expect=405)
        server.search(f"word{number}")
    assert len(server.metrics()) - before < 100


def test_process_and_machine(server):
    samples = server.metrics()
    assert samples["process_resident_memory_bytes"] > 5e6
    assert 3 < samples["process_open_fds"] < samples["process_max_fds"]
    assert abs(samples["process_start_time_seconds"] - time.time()) < 600
    assert samples['knap_process_memory_bytes{process="server"}'] == samples["process_resident_memory_bytes"]
    assert 0 < samples['knap_disk_free_bytes{folder="data"}'] < samples['knap_disk_size_bytes{folder="data"}']
    def counted():
        return server.metric("process_cpu_seconds_total") > 0
    wait_until(counted, 20, "processor time counted")


def test_index_and_levels(server):
    wait_until(lambda: server.metrics().get('knap_index_notes{vault="notes"}') == 2, 10, "the notes sampled")
    samples = server.metrics()
    assert samples['knap_index_coverage_ratio{vault="notes",kind="keyword"}'] == 1
    assert samples['knap_level_requests_total{level="search",result="good"}'] >= 4
    assert server.metric("knap_leases_cores") >= 1
    assert server.metric("knap_http_queue_seconds_count") > 0
    assert server.metric("knap_search_stage_seconds_count") > 0


def test_a_real_prometheus_scrapes_it(server, prometheus):
    wait_until(lambda: prometheus.query('up{job="knap"} == 1'), 30, lambda: f"scraped; {prometheus.targets()}")
    wait_until(lambda: prometheus.query("count_over_time(knap_process_uptime_seconds[1m]) > 3"), 30, "several scrapes")
    assert prometheus.targets()[0]["lastError"] == ""
    for expression in ('sum by (level) (rate(knap_level_requests_total[1m]))',
                       'histogram_quantile(0.95, sum by (le, level) (rate(knap_level_seconds_bucket[1m])))',
                       'histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket[1m])))',
                       'cache_hit_rate', 'knap_index_coverage_ratio', 'knap_process_memory_bytes'):
        assert prometheus.query(expression), f"{expression} gives nothing"


def test_models_are_measured(servers, default_models):
    server = servers({"One.md": "The kettle boils at dawn, says the old manual of the house.\n"}, models=True)
    server.wait_covered()
    labels = '{model="smollm2-135m-instruct"}'

    def answered():
        """On a busy machine a model may need longer than its deadline."""
        server.post("/v1/chat/completions", {"model": "smollm2-135m-instruct", "max_tokens": 8, "messages": [{"role": "user", "content": "Count to ten."}]}, timeout=110)
        server.post("/api/ask", {"question": "When does the kettle boil?", "mode": "generative", "deadline_ms": 20000}, timeout=110)
        return server.metrics().get(f"knap_models_first_token_seconds_count{labels}", 0) >= 1
    wait_until(answered, 90, "a token written")
    samples = server.metrics()
    assert samples[f"knap_models_queue_length{labels}"] == samples[f"model_queue_length{labels}"] == 0
    assert server.metric("knap_models_tokens_per_second_sum") > 0
    assert any(series.startswith("knap_answer_stage_seconds_count") and "word" in series for series in samples)
    def runner_seen():
        return server.metrics().get('knap_process_memory_bytes{process="runner:all-minilm-l6-v2"}', 0) > 1e7
    wait_until(runner_seen, 20, "the runner's memory sampled")
