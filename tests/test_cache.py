"""The caches from outside: what is found again, what never is, what a restart and a kill leave."""
import json
import threading
import time

import pytest

from knap_server import merged, wait_until

NOTES = {
    "Rocket.md": "---\ntags: [space]\n---\n# Rocket\n\nThe booster burns kerosene and liquid oxygen.\n",
    "Balloon.md": "# Balloon\n\nHelium lifts the balloon. See [[Rocket]].\n",
    "Bread.md": "# Bread\n\nThe sourdough rests for twelve hours.\n",
}


@pytest.fixture
def servers(servers):
    """Nothing is worked out behind the tests' back, but where they ask for it."""
    def make(notes=None, settings=None, **options):
        return servers(notes, settings=merged({"cache": {"warm_questions": 0}}, settings), **options)
    return make


def cached(server, query, **fields):
    """Where the result comes from, of a search by words: without a model others are degraded, which is as lasting."""
    return server.search(query, **fields)["cached"]


def search_puts(server):
    return next(kind["puts"] for kind in layers(server)["l1"]["kinds"] if kind["kind"] == "search")


def warm(server, query, **fields):
    """A result is kept once its response is sent: whoever asks in that moment waits for it, which counts neither way."""
    before = search_puts(server)
    if server.search(query, **fields)["cached"] is None:
        wait_until(lambda: search_puts(server) > before, what="the result kept")
    assert cached(server, query, **fields) == "l1"


def layers(server):
    return {layer["layer"]: layer for layer in server.get("/api/performance/cache/stats")["layers"]}


def settle_disk(server, count):
    wait_until(lambda: layers(server)["l2"]["entries"] >= count, what=f"{count} values on disk")


def comparable(answer):
    return {name: value for name, value in answer.items() if name not in ("cached", "took_ms")}


def test_the_second_time_comes_from_memory_and_is_the_same(servers):
    server = servers(NOTES)
    first = server.search("kerosene")
    second = server.search("kerosene")
    assert (first["cached"], second["cached"]) == (None, "l1")
    assert comparable(first) == comparable(second)
    assert second["results"][0]["path"] == "Rocket.md"


def test_get_and_post_share_and_white_space_does_not_count(servers):
    server = servers(NOTES)
    server.search("liquid oxygen")
    assert server.get("/api/search?q=%20liquid%20%20oxygen")["cached"] == "l1"
    assert cached(server, "liquid\noxygen") == "l1"


@pytest.mark.parametrize("other", [
    {"query": "kerosene balloon"}, {"limit": 3}, {"mode": "keyword"}, {"group": "passage"}, {"filter": "tag:space"}, {"vault": "second"},
])
def test_whatever_changes_the_result_is_asked_for_anew(servers, tmp_path, other):
    from conftest import write_notes
    server = servers(vaults={"first": write_notes(tmp_path / "a", NOTES), "second": write_notes(tmp_path / "b", {"Other.md": "kerosene"})})
    warm(server, "kerosene")
    request = {"query": "kerosene", **other}
    assert server.post("/api/search", request)["cached"] is None
    assert server.post("/api/search", request)["cached"] == "l1"


def test_equal_filters_share(servers):
    server = servers(NOTES)
    warm(server, "kerosene", filter="tag:space  type:md")
    assert cached(server, "kerosene", filter="type:md (tag:#Space)") == "l1"
    warm(server, "kerosene", filter="modified:7d")


def test_explain_is_worked_out_each_time(servers):
    server = servers(NOTES)
    warm(server, "kerosene")
    for _ in range(2):
        answer = server.search("kerosene", explain=True)
        assert answer["cached"] is None and answer["explain"]["stages"]


def test_a_scope_never_sees_another_ones_results(servers, tmp_path):
    from conftest import write_notes
    server = servers(vaults={"open": write_notes(tmp_path / "a", {"A.md": "kerosene in the open"}),
                             "closed": write_notes(tmp_path / "b", {"B.md": "kerosene, confidential"})})
    for _ in range(2):
        assert {result["vault"] for result in server.search("kerosene")["results"]} == {"open", "closed"}
        assert server.paths("kerosene", vault="open") == ["A.md"]
        assert server.paths("kerosene", vault="closed") == ["B.md"]


@pytest.mark.parametrize("change", ["edit", "new", "delete", "rename", "touch", "link"])
def test_every_change_of_the_vault_makes_a_miss(servers, change):
    server = servers(NOTES)
    root = server.vaults["notes"]
    warm(server, "kerosene")
    before = server.search("kerosene")
    if change == "edit":
        (root / "Bread.md").write_text("# Bread\n\nKerosene spoils the dough.\n")
    elif change == "new":
        (root / "New.md").write_text("Kerosene lamps.\n")
    elif change == "delete":
        (root / "Rocket.md").unlink()
    elif change == "rename":
        (root / "Rocket.md").rename(root / "Launcher.md")
    elif change == "touch":
        later = time.time() + 3600
        import os
        os.utime(root / "Rocket.md", (later, later))
    elif change == "link":
        (root / "Rocket.md").write_text(NOTES["Rocket.md"] + "\n[[Bread]]\n")
    server.wait_job(server.post("/api/scan_vault", expect=202)["id"])
    after = server.search("kerosene")
    assert after["cached"] is None
    if change == "touch":
        assert after["results"][0]["modified"] != before["results"][0]["modified"]
    elif change != "link":
        assert after["results"] != before["results"]
    assert cached(server, "kerosene") == "l1"


def test_an_undone_edit_finds_what_was_kept(servers):
    import os
    server = servers(NOTES)
    note = server.vaults["notes"] / "Bread.md"
    stamp = note.stat()
    warm(server, "kerosene")
    note.write_text("# Bread\n\nSomething else.\n")
    server.wait_found("something", "Bread.md")
    note.write_text(NOTES["Bread.md"])
    os.utime(note, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    server.wait_found("sourdough", "Bread.md")
    assert cached(server, "kerosene") == "l1"


def test_no_search_shows_what_an_edit_removed(servers):
    """Edits and searches interleaved; the removed word must be gone as soon as the new one is found."""
    server = servers(NOTES)
    note = server.vaults["notes"] / "Diary.md"
    stop = threading.Event()

    def hammer():
        import requests
        with requests.Session() as http:
            while not stop.is_set():
                http.post(f"{server.url}/api/search", json={"query": "zebra"}, timeout=10)
    threads = [threading.Thread(target=hammer) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for turn in range(40):
            note.write_text(f"zebra number{turn}\n")
            wait_until(lambda: server.paths(f"number{turn}", mode="keyword") == ["Diary.md"], what=f"edit {turn}")
            for _ in range(3):
                snippet = server.search("zebra")["results"][0]["snippet"]
                assert snippet == f"zebra number{turn}", f"edit {turn}"
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_restart_finds_it_on_disk(servers):
    server = servers(NOTES)
    first = server.search("kerosene")
    settle_disk(server, 1)
    assert server.stop() == 0
    server.start().wait_settled()
    second = server.search("kerosene")
    assert second["cached"] == "l2"
    assert {**comparable(first), "index": None} == {**comparable(second), "index": None}
    assert cached(server, "kerosene") == "l1"


def test_a_kill_leaves_it_warm_and_an_edit_meanwhile_is_seen(servers):
    server = servers(NOTES)
    words = ["kerosene", "helium", "sourdough", "oxygen"]
    for word in words:
        server.search(word)
    settle_disk(server, len(words))
    server.kill()
    server.start().wait_settled()
    assert [cached(server, word) for word in words] == ["l2"] * len(words)
    server.kill()
    (server.vaults["notes"] / "Rocket.md").write_text("# Rocket\n\nMethane now.\n")
    server.start().wait_settled()
    server.wait_found("methane", "Rocket.md")
    answer = server.search("kerosene")
    assert answer["cached"] is None and answer["results"] == []


def test_other_settings_find_nothing_of_before(servers):
    server = servers(NOTES)
    server.search("kerosene")
    settle_disk(server, 1)
    server.stop()
    server.config.write_text(server.config.read_text() + "\nsearch: {weight_title: 3}\n")
    server.start().wait_settled()
    assert cached(server, "kerosene") is None


def test_memory_forgets_after_its_time_and_disk_after_its_own(servers):
    server = servers(NOTES, settings={"cache": {"memory_seconds": 1, "disk_seconds": 3}})
    server.search("kerosene")
    settle_disk(server, 1)
    seen = []
    wait_until(lambda: seen.append(cached(server, "kerosene")) or None in seen, what="gone from the disk")
    assert "l2" in seen and set(seen) <= {"l1", "l2", None}


def test_switched_off_nothing_is_kept(servers):
    server = servers(NOTES, settings={"cache": {"layers": []}})
    assert [cached(server, "kerosene") for _ in range(2)] == [None, None]
    assert server.get("/api/performance/cache/stats") == {"enabled": False, "layers": [], "advice": None}
    problem = server.post("/api/performance/cache/clear", expect=409)
    assert "cache.layers" in problem["detail"]
    assert not (server.data_dir / "cache").exists()


def test_one_layer_alone(servers):
    server = servers(NOTES, settings={"cache": {"layers": ["disk"]}})
    server.search("kerosene")
    settle_disk(server, 1)
    assert [cached(server, "kerosene") for _ in range(2)] == ["l2", "l2"]


def test_a_folder_in_use_leaves_the_server_running(servers):
    server = servers(NOTES, start=False)
    server.data_dir.mkdir()
    (server.data_dir / "cache").write_text("in the way")
    server.start().wait_settled()
    warm(server, "kerosene")
    assert layers(server)["l2"]["open"] is False
    assert "cache" in server.tail()


def test_statistics_and_metrics_count(servers):
    server = servers(NOTES)
    warm(server, "kerosene")
    cached(server, "kerosene")
    memory = layers(server)["l1"]
    search = next(kind for kind in memory["kinds"] if kind["kind"] == "search")
    assert (search["hits"], search["misses"], search["entries"]) == (2, 1, 1)
    assert memory["hit_rate"] == pytest.approx(2 / 3)
    assert 0 < memory["bytes"] < memory["capacity_bytes"] == 256 << 20
    metrics = server.metrics()
    assert metrics['knap_cache_hits_total{layer="l1",kind="search"}'] == 2
    assert metrics['cache_hits_total{layer="l1",kind="search"}'] == 2
    wait_until(lambda: server.metrics().get('cache_requests_total{layer="l1"}') == 3, what="sampled")
    assert server.metrics()["cache_hit_rate"] == pytest.approx(2 / 3, abs=1e-6)


def test_clearing_and_invalidating(servers):
    server = servers(NOTES)
    for query in ("kerosene", "helium", "sourdough"):
        warm(server, query)
    settle_disk(server, 3)
    assert server.post("/api/performance/cache/invalidate", {"note": "Bread.md"})["invalidated"] == 2
    assert [cached(server, query) for query in ("kerosene", "helium", "sourdough")] == ["l1", "l1", None]
    assert server.post("/api/performance/cache/invalidate", {"tag": "#space"})["invalidated"] == 2
    assert [cached(server, query) for query in ("kerosene", "helium")] == [None, "l1"]
    assert server.post("/api/performance/cache/invalidate", {"pattern": "HEL*"})["invalidated"] == 2
    assert cached(server, "helium") is None
    settle_disk(server, 3)
    assert server.post("/api/performance/cache/clear", {"layer": "l1"}) == {"cleared": True}
    assert cached(server, "helium") == "l2"
    server.post("/api/performance/cache/clear")
    assert [cached(server, query) for query in ("kerosene", "helium", "sourdough")] == [None] * 3


@pytest.mark.parametrize("path, body, field", [
    ("invalidate", {}, "pattern"), ("invalidate", {"note": "a", "tag": "b"}, "note"), ("invalidate", {"kind": "serach"}, "kind"),
    ("clear", {"layer": "l9"}, "layer"), ("clear", {"layr": "l1"}, "layr"),
])
def test_mistakes_are_told(servers, path, body, field):
    server = servers(NOTES)
    problem = server.post(f"/api/performance/cache/{path}", body, expect=422)
    assert problem["field"] == field


def test_many_at_once_make_one_search(servers):
    server = servers({f"{i}.md": f"word{i} common text about rockets and balloons\n" for i in range(300)})
    answers = []

    def ask():
        import requests
        answers.append(requests.post(f"{server.url}/api/search", json={"query": "common rockets"}, timeout=10).json())
    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({str(answer["results"]) for answer in answers}) == 1
    wait_until(lambda: search_puts(server) > 0, what="the result kept")
    assert search_puts(server) == 1


# ---- answers

def ask(server, question, **fields):
    return server.post("/api/ask", {"question": question, "mode": "extractive", **fields})


def streamed(server, question, **fields):
    from knap_server import events
    answer = server.call("POST", "/api/ask", json={"question": question, "mode": "extractive", "stream": True, **fields}, stream=True)
    return list(events(answer))


def test_a_repeated_question_is_answered_from_memory(servers):
    server = servers(NOTES)
    first, second = ask(server, "How long does the sourdough rest?"), ask(server, "How long does the sourdough  rest?")
    assert (first["cached"], second["cached"]) == (None, "l1")
    assert not first["refused"]
    for field in ("answer", "citations", "claims", "mode", "model", "usage", "degraded"):
        assert first[field] == second[field]
    assert first["confidence"] == pytest.approx(second["confidence"])


def test_a_stream_of_a_kept_answer_tells_the_same_events(servers):
    server = servers(NOTES)
    question = "How long does the sourdough rest?"
    made, kept = streamed(server, question), streamed(server, question)
    assert [name for name, _ in made] == [name for name, _ in kept] == ["sources", "token", "claims", "done"]
    assert [data for _, data in made[:3]] == [data for _, data in kept[:3]]
    assert (made[3][1]["cached"], kept[3][1]["cached"]) == (None, "l1")
    assert ask(server, question)["cached"] == "l1"


def test_openai_clients_share_the_cache(servers):
    server = servers(NOTES)
    body = {"model": "knap", "messages": [{"role": "user", "content": "How long does the sourdough rest?"}]}
    first, second = server.post("/v1/chat/completions", body), server.post("/v1/chat/completions", body)
    assert first["choices"] == second["choices"]
    assert (first["knap"]["cached"], second["knap"]["cached"]) == (None, "l1")


def test_an_edit_of_its_note_makes_the_answer_anew_and_one_elsewhere_keeps_it(servers):
    server = servers({**NOTES, **{f"Filler {i}.md": f"Nothing about it, number {i}.\n" for i in range(20)}})
    question = "How long does the sourdough rest?"
    ask(server, question)
    (server.vaults["notes"] / "Filler 3.md").write_text("An edit that has nothing to do with it: marmalade.\n")
    server.wait_found("marmalade", "Filler 3.md")
    assert ask(server, question)["cached"] == "l1"
    (server.vaults["notes"] / "Bread.md").write_text("# Bread\n\nThe sourdough rests for thirty hours.\n")
    server.wait_found("thirty", "Bread.md")
    answer = ask(server, question)
    assert answer["cached"] is None
    assert "thirty" in answer["answer"] and "twelve" not in answer["answer"]


def test_answers_differ_by_what_was_asked(servers):
    server = servers(NOTES)
    question = "How long does the sourdough rest?"
    for fields in ({}, {"filter": "path:Bread.md"}, {"max_tokens": 20}, {"history": [{"role": "user", "content": "Tell me of bread."}]}):
        assert [ask(server, question, **fields)["cached"] for _ in range(2)] == [None, "l1"]


def test_a_refusal_is_kept_shortly_and_right_after_the_answer_is_written(servers):
    server = servers(NOTES)
    question = "Who discovered penicillin?"
    assert [ask(server, question)["refused"] for _ in range(2)] == [True, True]
    (server.vaults["notes"] / "Medicine.md").write_text("# Medicine\n\nPenicillin was discovered by Alexander Fleming in 1928.\n")
    server.wait_found("penicillin", "Medicine.md")
    answer = ask(server, question)
    assert not answer["refused"] and "Fleming" in answer["answer"]


def test_answers_survive_a_restart(servers):
    server = servers(NOTES)
    question = "How long does the sourdough rest?"
    ask(server, question)
    settle_disk(server, 2)
    server.kill()
    server.start().wait_settled()
    assert ask(server, question)["cached"] == "l2"


# ---- the command line

def knap(server, *arguments):
    from knap_server import run
    return run("cache", *arguments, "--url", server.url, home=server.home)


def test_commands_show_and_forget(servers):
    server = servers(NOTES)
    warm(server, "kerosene")
    shown = knap(server, "stats")
    assert shown.returncode == 0 and "l1 memory" in shown.stdout and "50.0 % hit: 1 of 2" in shown.stdout, shown
    assert json.loads(knap(server, "stats", "--json").stdout)["layers"][0]["hits"] == 1
    settle_disk(server, 1)
    assert knap(server, "invalidate", "--note", "Rocket.md").stdout == "2 values forgotten.\n"
    assert cached(server, "kerosene") is None
    assert knap(server, "clear").stdout == "Forgotten.\n"
    assert cached(server, "kerosene") is None


def test_commands_tell_mistakes(servers):
    server = servers(NOTES)
    for wrong in (("invalidate",), ("clear", "--layer", "l9"), ("invalidate", "--kind", "serach")):
        told = knap(server, *wrong)
        assert told.returncode == 2 and told.stderr.startswith("knap: "), told
    assert knap(server, "nothing").returncode == 2


def test_advice_needs_requests_and_then_names_a_size(servers):
    server = servers(NOTES)
    assert "Too few requests" in knap(server, "advise").stdout
    for _ in range(2):
        for number in range(1200):
            server.search(f"kerosene {number}", mode="keyword", limit=1)
    told = knap(server, "advise").stdout
    assert "50.0 % hit   as it is" in told and "Half the size would hit as much: cache.memory_bytes: 134217728" in told, told


# ---- kept warm

def warmed(server):
    return server.metric("knap_cache_warmed_total")


def test_what_was_asked_before_is_warm_after_an_edit(servers):
    server = servers(NOTES, settings={"cache": {"warm_questions": 5}})
    for query in ("kerosene", "helium"):
        warm(server, query)
    ask(server, "How long does the sourdough rest?")
    ask(server, "How long does the sourdough rest?")
    (server.vaults["notes"] / "Rocket.md").write_text("# Rocket\n\nThe booster burns kerosene and methane.\n")
    server.wait_found("methane", "Rocket.md")
    wait_until(lambda: warmed(server) >= 3, what="worked out again")
    assert [cached(server, query) for query in ("kerosene", "helium")] == ["l1", "l1"]
    assert "methane" in server.search("kerosene")["results"][0]["snippet"]
    assert ask(server, "How long does the sourdough rest?")["cached"] == "l1"


def test_questions_are_remembered_over_a_restart(servers):
    server = servers(NOTES, settings={"cache": {"warm_questions": 5, "layers": ["memory"]}})
    warm(server, "kerosene", filter="tag:space")
    server.stop()
    server.start().wait_settled()
    wait_until(lambda: warmed(server) == 1, what="worked out again")
    assert cached(server, "kerosene", filter="tag:space") == "l1"


def test_warming_by_hand(servers):
    server = servers(NOTES, settings={"cache": {"warm_questions": 5}})
    for query in ("kerosene", "helium"):
        warm(server, query)
    assert server.post("/api/performance/cache/warm") == {"questions": 2, "made": 0}
    server.post("/api/performance/cache/clear")
    assert server.post("/api/performance/cache/warm") == {"questions": 2, "made": 2}
    assert cached(server, "kerosene") == "l1"


def test_a_result_is_made_anew_before_it_expires(servers):
    server = servers(NOTES, settings={"cache": {"warm_questions": 5, "search_seconds": 5, "layers": ["memory"]}})
    server.search("kerosene")
    seen = []
    until = time.monotonic() + 9
    while time.monotonic() < until:
        seen.append(cached(server, "kerosene"))
        time.sleep(.05)
    assert set(seen) == {"l1"} and warmed(server) >= 1


# ---- other wordings

def test_another_wording_gets_the_same_answer_where_the_owner_wants_it(servers):
    server = servers(NOTES, settings={"cache": {"warm_questions": 0, "reworded": True}})
    first = ask(server, "How long does the sourdough rest?")
    assert first["cached"] is None and first["reworded_from"] is None
    again = ask(server, "Please tell me how long the sourdough rests")
    assert again["cached"] == "l1" and again["reworded_from"] == "How long does the sourdough rest?"
    assert again["answer"] == first["answer"] and again["citations"] == first["citations"]
    assert ask(server, "How long does the sourdough rest?")["reworded_from"] is None
    for other in ("How long does the sourdough not rest?", "How long does the sourdough rest in 2019?", "Where does the sourdough rest?"):
        assert ask(server, other)["cached"] is None, other
    (server.vaults["notes"] / "Rocket.md").write_text("# Rocket\n\nThe booster burns kerosene and methane.\n")
    server.wait_found("methane", "Rocket.md")
    assert ask(server, "Tell me how long the sourdough rests, please")["cached"] is None, "an edit makes a miss"


def test_another_wording_is_another_question_by_default(servers):
    server = servers(NOTES, settings={"cache": {"warm_questions": 0}})
    ask(server, "How long does the sourdough rest?")
    assert ask(server, "Please tell me how long the sourdough rests")["cached"] is None
