"""The cache layer in Redis, against real servers: one, a cluster, sentinels; slow, dead, secured ones; two Knaps beside each other."""
import shutil
import signal
import subprocess
import threading
import time

import pytest
import requests

from conftest import write_notes
from knap_server import free_port, wait_until

pytestmark = pytest.mark.skipif(not shutil.which("redis-server"), reason="redis-server is not installed (script/bootstrap --tests)")

NOTES = {
    "Rocket.md": "---\ntags: [space]\n---\n# Rocket\n\nThe booster burns kerosene and liquid oxygen.\n",
    "Balloon.md": "# Balloon\n\nHelium lifts the balloon.\n",
    "Bread.md": "# Bread\n\nThe sourdough rests for twelve hours.\n",
}


class Redis:
    """One redis-server of this test."""

    def __init__(self, folder, *settings, port=None, sentinel=False, tls=False):
        self.port, self.folder = port or free_port(), folder / f"redis{time.monotonic_ns()}"
        self.folder.mkdir(parents=True)
        lines = [f"{'tls-port' if tls else 'port'} {self.port}", "bind 127.0.0.1", f"dir {self.folder}", "save \"\"", *settings]
        if tls:
            lines.insert(0, "port 0")
        if sentinel:
            lines = [line for line in lines if not line.startswith("save")]
        self.config, self.sentinel, self.process = self.folder / "redis.conf", sentinel, None
        self.config.write_text("\n".join(lines) + "\n")
        self.start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self):
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(["redis-server", str(self.config), *(["--sentinel"] if self.sentinel else [])],
                                            stdout=log, stderr=log)

    def cli(self, *words, check=True):
        done = subprocess.run(["redis-cli", "-p", str(self.port), *map(str, words)], capture_output=True, text=True, timeout=30)
        assert not check or done.returncode == 0, done
        return done.stdout.strip()

    def wait(self):
        wait_until(lambda: self.cli("PING", check=False) == "PONG", what=f"redis at {self.address}")
        return self

    def stop(self):
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait(10)


@pytest.fixture
def redises(tmp_path):
    made = []

    def make(*settings, **options):
        made.append(Redis(tmp_path, *settings, **options))
        return made[-1]
    yield make
    for redis in made:
        redis.kill()


def knaps(servers, tmp_path, redis, count=1, layers=("memory", "redis"), notes=None, **settings):
    """Servers over one vault, each with a data folder of its own."""
    vault = write_notes(tmp_path / "vault", notes or NOTES)
    # Patient, for the machine may be busy; what impatience does has a test of its own.
    redis = {"addresses": redis if isinstance(redis, list) else [redis.address], "timeout_ms": 500, **settings}
    return [servers(vaults={"notes": vault}, settings={"cache": {"layers": list(layers), "redis": redis}}) for _ in range(count)]


def layer(server, name="l3"):
    return next(each for each in server.get("/api/performance/cache/stats")["layers"] if each["layer"] == name)


def wait_open(server, is_open=True):
    wait_until(lambda: layer(server)["open"] is is_open, what=lambda: f"redis open: {is_open}; {layer(server)}\n{server.tail()}")


def cached(server, query, **fields):
    return server.search(query, **fields)["cached"]


def puts(server):
    return sum(kind["puts"] for kind in layer(server)["kinds"])


def wait_shared(one, other):
    """Until a result of one server is found by the other."""
    count = iter(range(1000))

    def found():
        query = f"kerosene {next(count)}"
        one.search(query, mode="keyword")
        time.sleep(.02)
        return cached(other, query, mode="keyword") == "l3"
    wait_until(found, what=lambda: f"a shared result; {layer(one)} {layer(other)}")


def test_two_servers_share_results_and_an_edit_is_stale_on_neither(servers, redises, tmp_path):
    redis = redises().wait()
    a, b = knaps(servers, tmp_path, redis, 2)
    wait_open(a), wait_open(b)
    first = a.search("kerosene")
    assert first["cached"] is None
    wait_until(lambda: redis.cli("DBSIZE") == "1", what="the value in Redis")
    second = b.search("kerosene")
    assert second["cached"] == "l3" and second["results"] == first["results"]
    assert cached(b, "kerosene") == "l1"
    (a.vaults["notes"] / "Rocket.md").write_text("# Rocket\n\nMethane now.\n")
    for server in (a, b):
        server.wait_found("methane", "Rocket.md")
        assert server.search("kerosene")["results"] == []


def test_answers_are_shared(servers, redises, tmp_path):
    redis = redises().wait()
    a, b = knaps(servers, tmp_path, redis, 2)
    wait_open(a), wait_open(b)
    question = {"question": "How long does the sourdough rest?", "mode": "extractive"}
    first = a.post("/api/ask", question)
    wait_until(lambda: int(redis.cli("DBSIZE")) >= 2, what="the answer in Redis")
    second = b.post("/api/ask", question)
    assert (first["cached"], second["cached"]) == (None, "l3")
    assert first["answer"] == second["answer"] and first["citations"] == second["citations"]


def test_no_search_on_two_servers_shows_what_an_edit_removed(servers, redises, tmp_path):
    redis = redises().wait()
    pair = knaps(servers, tmp_path, redis, 2)
    for server in pair:
        wait_open(server)
    note = pair[0].vaults["notes"] / "Diary.md"
    for turn in range(15):
        note.write_text(f"zebra number{turn}\n")
        for server in pair:
            server.wait_found(f"number{turn}", "Diary.md")
        for server in (pair[turn % 2], pair[1 - turn % 2]):
            assert server.search("zebra")["results"][0]["snippet"] == f"zebra number{turn}"


def test_forgetting_on_one_server_reaches_the_other(servers, redises, tmp_path):
    redis = redises().wait()
    a, b = knaps(servers, tmp_path, redis, 2, layers=("memory", "disk", "redis"))
    wait_open(a), wait_open(b)
    for query in ("kerosene", "helium"):
        a.search(query)
    wait_until(lambda: redis.cli("DBSIZE") == "2", what="values in Redis")
    for query in ("kerosene", "helium"):
        assert cached(b, query) == "l3"
    assert a.post("/api/performance/cache/invalidate", {"note": "Rocket.md"})["invalidated"] >= 2
    assert redis.cli("DBSIZE") == "1"
    wait_until(lambda: layer(b, "l1")["entries"] == 1, what="forgotten by the other")
    assert cached(b, "helium") == "l1"
    a.post("/api/performance/cache/clear")
    wait_until(lambda: layer(b, "l1")["entries"] == 0, what="all forgotten by the other")
    assert redis.cli("DBSIZE") == "0"


def test_a_value_changed_in_redis_leaves_the_memory_of_who_read_it(servers, redises, tmp_path):
    redis = redises().wait()
    a, b = knaps(servers, tmp_path, redis, 2)
    wait_open(a), wait_open(b)
    a.search("kerosene")
    wait_until(lambda: redis.cli("DBSIZE") == "1", what="the value in Redis")
    assert cached(b, "kerosene") == "l3" and layer(b, "l1")["entries"] == 1
    redis.cli("DEL", redis.cli("KEYS", "*"))
    wait_until(lambda: layer(b, "l1")["entries"] == 0, what="told by Redis")


def test_a_damaged_value_is_a_miss(servers, redises, tmp_path):
    redis = redises().wait()
    a, b = knaps(servers, tmp_path, redis, 2)
    wait_open(a), wait_open(b)
    a.search("kerosene")
    wait_until(lambda: redis.cli("DBSIZE") == "1", what="the value in Redis")
    redis.cli("SETRANGE", redis.cli("KEYS", "*"), 70, "xxxx")
    assert cached(b, "kerosene") is None
    assert layer(b)["damaged"] == 1


def test_values_expire(servers, redises, tmp_path):
    redis = redises().wait()
    (server,) = knaps(servers, tmp_path, redis, seconds=1)
    wait_open(server)
    server.search("kerosene")
    wait_until(lambda: redis.cli("DBSIZE") == "1", what="there")
    wait_until(lambda: redis.cli("DBSIZE") == "0", what="gone")


def test_a_frozen_redis_costs_little_once_and_then_nothing(servers, redises, tmp_path):
    redis = redises().wait()
    (server,) = knaps(servers, tmp_path, redis, timeout_ms=100)
    wait_open(server)
    redis.stop()
    took = []
    for number in range(30):
        begin = time.monotonic()
        assert server.search(f"kerosene {number}", mode="keyword")["results"]
        took.append(time.monotonic() - begin)
    state = layer(server)
    # One request met the frozen server; from then on nobody waited.
    assert state["trips"] == 1 and state["write_errors"] >= 1 and state["skipped"] >= 28, state
    assert sorted(took)[len(took) // 2] < 0.1
    redis.go_on()
    wait_open(server)


def test_a_server_without_its_redis_starts_and_finds_it_later(servers, redises, tmp_path):
    port = free_port()
    (server,) = knaps(servers, tmp_path, [f"127.0.0.1:{port}"])
    assert [cached(server, "kerosene") for _ in range(2)] == [None, "l1"]
    assert layer(server)["open"] is False
    redis = redises(port=port).wait()
    wait_open(server)
    server.search("helium")
    wait_until(lambda: redis.cli("DBSIZE") == "1", what="used")
    redis.kill()
    for number in range(5):
        assert server.search(f"kerosene {number}", mode="keyword")["results"]
    wait_open(server, False)
    redis.start()
    wait_open(server)


def test_password_and_rights(servers, redises, tmp_path):
    redis = redises(
        "user knap on >secret ~notes:* &notes:* +@all", "requirepass other")
    wait_until(lambda: "NOAUTH" in redis.cli("PING", check=False), what="redis")
    good, = knaps(servers, tmp_path, redis, user="knap", password="secret", prefix="notes")
    wait_open(good)
    good.search("kerosene")
    wait_until(lambda: puts(good) == 1, what="put")
    assert "secret" not in good.call("GET", "/api/config").text
    bad, = knaps(servers, tmp_path, redis, user="knap", password="wrong", prefix="notes")
    wait_until(lambda: "WRONGPASS" in bad.tail(), what="told in the log")
    assert bad.search("kerosene")["results"] and layer(bad)["open"] is False


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
def test_tls(servers, redises, tmp_path):
    made = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                           "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", tmp_path / "key.pem",
                           "-out", tmp_path / "cert.pem"], capture_output=True)
    assert made.returncode == 0, made.stderr
    redis = redises(f"tls-cert-file {tmp_path}/cert.pem", f"tls-key-file {tmp_path}/key.pem", f"tls-ca-cert-file {tmp_path}/cert.pem",
                    "tls-auth-clients no", tls=True)
    server, other = knaps(servers, tmp_path, redis, 2, tls=True, ca_file=str(tmp_path / "cert.pem"))
    wait_open(server), wait_open(other)
    wait_shared(server, other)
    stranger, = knaps(servers, tmp_path, redis, tls=True)
    wait_until(lambda: "TLS: " in stranger.tail(), what="an unknown authority is refused")


@pytest.mark.parametrize("settings, said", [
    ({"addresses": ["nowhere"]}, "HOST:PORT"), ({"addresses": []}, "names no server"), ({"prefix": "a b"}, "cache.redis.prefix"),
    ({"tls": True, "ca_file": "/nothing.pem"}, "cache.redis.ca_file"), ({"timeout_ms": 0}, "cache.redis.timeout_ms"),
])
def test_wrong_settings_stop_the_start(servers, tmp_path, settings, said):
    server = servers(NOTES, settings={"cache": {"layers": ["redis"], "redis": settings}}, start=False)
    done = subprocess.run(server.command, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
    assert done.returncode in (1, 2) and said in done.stderr, done


# ---- a cluster

@pytest.fixture
def cluster(redises):
    # The nodes' own port is 10,000 higher unless it is named.
    nodes = [redises("cluster-enabled yes", f"cluster-port {free_port()}", "cluster-node-timeout 1000", "cluster-replica-validity-factor 0", "appendonly no")
             for _ in range(6)]
    for node in nodes:
        node.wait()
    subprocess.run(["redis-cli", "--cluster", "create", *[node.address for node in nodes], "--cluster-replicas", "1", "--cluster-yes"],
                   check=True, capture_output=True, timeout=60)
    wait_until(lambda: all("cluster_state:ok" in node.cli("CLUSTER", "INFO") for node in nodes), what="the cluster")
    wait_until(lambda: sum("role:slave" in node.cli("INFO", "replication") and "master_link_status:up" in node.cli("INFO", "replication")
                           for node in nodes) == 3, what="its replicas")
    return nodes


def masters(nodes):
    return [node for node in nodes if node.process.poll() is None and "role:master" in node.cli("INFO", "replication")]


def test_a_cluster_holds_the_values_and_a_killed_master_fails_no_request(servers, cluster, tmp_path):
    notes = {f"{i}.md": f"# Note {i}\n\nword{i} and common words\n" for i in range(60)}
    a, b = knaps(servers, tmp_path, [node.address for node in cluster[:2]], 2, layers=("memory", "redis_cluster"), notes=notes)
    wait_open(a), wait_open(b)
    for number in range(60):
        a.search(f"word{number}", mode="keyword")
    wait_until(lambda: sum(int(node.cli("DBSIZE")) for node in masters(cluster)) == 60, what="values in the cluster")
    assert all(int(node.cli("DBSIZE")) > 5 for node in masters(cluster))
    assert sum(cached(b, f"word{number}", mode="keyword") == "l3" for number in range(30)) >= 28

    stop, failed, asked = threading.Event(), [], []

    def load(server, start):
        with requests.Session() as http:
            number = start
            while not stop.is_set():
                number += 1
                answer = http.post(f"{server.url}/api/search", json={"query": f"word{number % 60} {number}", "mode": "keyword"}, timeout=10)
                asked.append(1)
                if answer.status_code != 200 or not answer.json()["results"]:
                    failed.append(answer.text)
    threads = [threading.Thread(target=load, args=(server, start)) for server in (a, b) for start in (0, 5000)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: len(asked) > 100, what="load")
        victim = masters(cluster)[0]
        victim.kill()
        wait_until(lambda: len(masters(cluster)) == 3, timeout=30, what="a replica promoted")
        count = len(asked)
        wait_until(lambda: len(asked) > count + 200, what="load goes on")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failed == []
    # The slots are known anew: values of all three masters are found and kept.
    wait_open(a), wait_open(b)

    def all_found():
        for number in range(60):
            a.search(f"word{number}", mode="keyword", limit=7)
        time.sleep(.1)
        return sum(cached(b, f"word{number}", mode="keyword", limit=7) in ("l3", "l1") for number in range(60)) == 60
    wait_until(all_found, timeout=30, what=lambda: f"all found; {layer(b)}")
    assert all(int(node.cli("DBSIZE")) > 5 for node in masters(cluster))
    wait_shared(a, b)


def test_a_moved_slot_is_followed(servers, cluster, tmp_path):
    server, = knaps(servers, tmp_path, [cluster[0].address], layers=("redis_cluster",))
    wait_open(server)
    for number in range(30):
        server.search(f"kerosene {number}", mode="keyword")
    wait_until(lambda: sum(int(node.cli("DBSIZE")) for node in masters(cluster)) == 30, what="kept")
    # Slots change hands without a word to the client.
    first, second = masters(cluster)[:2]
    done = subprocess.run(["redis-cli", "--cluster", "reshard", first.address, "--cluster-from", first.cli("CLUSTER", "MYID"), "--cluster-to",
                           second.cli("CLUSTER", "MYID"), "--cluster-slots", "3000", "--cluster-yes"], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout[-500:]
    wait_open(server)
    assert sum(cached(server, f"kerosene {number}", mode="keyword") == "l3" for number in range(30)) >= 28
    assert layer(server)["redirects"] > 0


# ---- sentinels

def test_sentinels_name_the_new_master(servers, redises, tmp_path):
    master = redises().wait()
    replica = redises(f"replicaof 127.0.0.1 {master.port}").wait()
    sentinels = [redises(f"sentinel monitor notes 127.0.0.1 {master.port} 2", "sentinel down-after-milliseconds notes 1000",
                         "sentinel failover-timeout notes 3000", sentinel=True).wait() for _ in range(3)]
    wait_until(lambda: all("slaves=1,sentinels=3" in each.cli("INFO", "sentinel") for each in sentinels), what="sentinels")
    server, = knaps(servers, tmp_path, [each.address for each in sentinels], layers=("redis_sentinel",), master_name="notes")
    wait_open(server)
    server.search("kerosene")
    wait_until(lambda: master.cli("DBSIZE") == "1" and replica.cli("DBSIZE") == "1", what="kept")
    master.kill()
    for number in range(5):
        assert server.search(f"kerosene {number}", mode="keyword")["results"]
    wait_until(lambda: "role:master" in replica.cli("INFO", "replication"), timeout=40, what="the failover")

    def used():
        server.search(f"helium {time.monotonic_ns()}", mode="keyword")
        return int(replica.cli("DBSIZE")) > 1
    wait_until(used, timeout=30, what=lambda: f"the new master is used; {layer(server)}\n{server.tail()}")
