"""Search over HTTP: what is found, where it stands, how filters narrow it."""
import pytest

from conftest import write_notes
from knap_server import wait_until

ROCKET = """---
title: Rocket plan
aliases: [Launcher, Trägerrakete]
tags: [project/space, plan]
rating: 4
---
# Rocket plan

The booster burns kerosene and liquid oxygen.

## Stages

First stage: nine engines of the type Merlin.

Second stage: one engine with a vacuum nozzle.

## Budget

| Item | Cost |
|---|---|
| Turbopump | 1200 |
| Gimbal | 300 |
"""
NOTES = {
    "Projects/Rocket.md": ROCKET,
    "Projects/Balloon.md": "# Balloon\n\nHelium lifts the balloon. #project/air\n\nRelease date is in May; the valve decided it.\n",
    "Archive/Old rocket.md": "---\ntags: project\n---\nAn older rocket burned kerosene too, long ago.\n",
    "Küche/Brot.md": "---\nlang: de\n---\n# Brot\n\nDie Häuser der Bäckerinnen dufteten. Der Sauerteig ruhte zwölf Stunden im warmen Zimmer.\n",
    "日本/富士山.md": "# 富士山\n\n富士山は日本で一番高い山です。登山は夏に行われます。\n",
    "Emoji.md": "Intro 🚀🚀 then the gyroscope 🎉 stabilises and the gyroscope spins.\n",
    "Board.canvas": '{"nodes":[{"id":"a","type":"text","text":"Canvas card about parachutes","x":0,"y":0,"width":1,"height":1}],"edges":[]}',
    "Code.md": "# Code\n\n```python\n# zwischenraum in code\ndef ignition_sequence(): pass\n```\n",
    "attachments/diagram.png": b"\x89PNG\r\n\x1a\n\0\0",
}


@pytest.fixture(scope="module")
def server(module_servers, tmp_path_factory):
    second = write_notes(tmp_path_factory.mktemp("second"), {"Rocket copy.md": "A rocket in another vault burns kerosene.\n"})
    home = tmp_path_factory.mktemp("first")
    return module_servers(vaults={"first": write_notes(home, NOTES), "second": second})


@pytest.mark.parametrize("query, path", [
    ("turbopump", "Projects/Rocket.md"),            # table
    ("Rocket plan", "Projects/Rocket.md"),          # title
    ("launcher", "Projects/Rocket.md"),             # alias
    ("tragerrakete", "Projects/Rocket.md"),         # alias without its accent
    ("stages", "Projects/Rocket.md"),               # heading
    ("helium balloon", "Projects/Balloon.md"),
    ("burning helium lifting", "Projects/Balloon.md"),  # stems
    ("Haus Bäckerin", "Küche/Brot.md"),             # stems of another language
    ("sauerteig", "Küche/Brot.md"),
    ("登山", "日本/富士山.md"),                       # no spaces between words
    ("parachutes", "Board.canvas"),
    ("ignition_sequence", "Code.md"),
    ("gyrosc", "Emoji.md"),                         # prefix of the last word
    ("diagram", "attachments/diagram.png"),         # attachments by name
])
def test_found(server, query, path):
    assert path in server.paths(query, vault="first", mode="keyword")


def test_unknown_word_finds_nothing(server):
    answer = server.search("xylophonequark", mode="keyword")
    assert answer["results"] == []
    assert answer["index"]["notes"] > 0


def test_misspelt_word_is_found_and_told(server):
    answer = server.search("turbopmup", mode="keyword")
    assert answer["results"][0]["path"] == "Projects/Rocket.md"
    assert answer["corrections"] == [{"from": "turbopmup", "to": ["turbopump"]}]
    assert server.search("turbopump")["corrections"] == []


def test_shape_of_a_result(server):
    answer = server.search("merlin engines", vault="first")
    result = answer["results"][0]
    assert result["vault"] == "first" and result["path"] == "Projects/Rocket.md"
    assert result["title"] == "Rocket plan"
    assert "Stages" in result["headings"]
    assert set(result["tags"]) == {"project/space", "plan"}
    assert 0 < result["score"] <= 1
    assert result["uri"].startswith("obsidian://open?") and "Rocket" in result["uri"]
    assert result["modified"]
    assert answer["cached"] is None and answer["took_ms"] >= 0
    assert answer["index"]["coverage"]["keyword"] == 1
    assert answer["mode"] == "keyword"


@pytest.mark.parametrize("word", ["kerosene", "Merlin", "vacuum", "Turbopump", "Gimbal"])
def test_lines_are_where_the_word_stands(server, word):
    result = next(r for r in server.search(word, vault="first")["results"] if r["path"] == "Projects/Rocket.md")
    first, last = result["lines"]
    lines = ROCKET.splitlines()
    assert 1 <= first <= last <= len(lines)
    assert any(word in line for line in lines[first - 1:last])
    assert not any(line.startswith("title:") for line in lines[first - 1:last]), "front matter is no text"


def test_front_matter_is_not_text(server):
    assert "Projects/Rocket.md" not in server.paths("rating", vault="first", mode="keyword")


def test_highlights_count_code_points(server):
    result = server.search("gyroscope", vault="first")["results"][0]
    assert result["highlights"]
    for begin, end in result["highlights"]:
        assert result["snippet"][begin:end].lower() == "gyroscope"


def test_phrase_must_stand_in_order(server):
    assert server.paths('"liquid oxygen"', vault="first", mode="keyword") == ["Projects/Rocket.md"]
    assert server.paths('"oxygen liquid"', vault="first", mode="keyword") == []


@pytest.mark.parametrize("filter, expected", [
    ("tag:#project", {"Projects/Rocket.md", "Archive/Old rocket.md"}),
    ("tag:project/space", {"Projects/Rocket.md"}),
    ("tag:#PROJECT/SPACE", {"Projects/Rocket.md"}),
    ("path:Archive/", {"Archive/Old rocket.md"}),
    ("file:old", {"Archive/Old rocket.md"}),
    ("type:md", {"Projects/Rocket.md", "Archive/Old rocket.md"}),
    ("type:canvas", set()),
    ("-path:Archive/", {"Projects/Rocket.md"}),
    ("tag:#project -tag:#plan", {"Archive/Old rocket.md"}),
    ("prop.rating>=4", {"Projects/Rocket.md"}),
    ("prop.rating>4", set()),
    ("has:prop.rating", {"Projects/Rocket.md"}),
    ("heading:stages", {"Projects/Rocket.md"}),
    ("title:rocket", {"Projects/Rocket.md", "Archive/Old rocket.md"}),
    ("modified:7d", {"Projects/Rocket.md", "Archive/Old rocket.md"}),
    ("modified:<2001-01-01", set()),
    ("path:Archive/ OR tag:#plan", {"Projects/Rocket.md", "Archive/Old rocket.md"}),
    ("(path:Archive/ OR tag:#plan) -file:old", {"Projects/Rocket.md"}),
    ('file:"old rocket"', {"Archive/Old rocket.md"}),
])
def test_filters(server, filter, expected):
    assert set(server.paths("kerosene", vault="first", filter=filter, mode="keyword")) == expected


@pytest.mark.parametrize("filter, character", [("type:md tag:", 13), ("(path:a", 1), ("type:md nosuchfield:x", 9), ("path:a )", 8),
                                                ("file:\"open", 6), ("prop.rating~4", 14)])
def test_wrong_filter_points_at_the_character(server, filter, character):
    problem = server.search("kerosene", filter=filter, expect=422)
    assert problem["field"] == "filter"
    assert f"character {character}" in problem["detail"], problem


def test_vaults_are_searched_together_or_alone(server):
    assert {r["vault"] for r in server.search("kerosene")["results"]} == {"first", "second"}
    assert {r["vault"] for r in server.search("kerosene", vault="second")["results"]} == {"second"}
    assert server.search("kerosene", vault="third", expect=404)["status"] == 404


def test_a_note_stands_once_unless_passages_are_asked_for(server):
    by_note = server.paths("stage engine kerosene", vault="first", limit=100)
    assert len(by_note) == len(set(by_note))
    by_passage = server.search("rocket", vault="first", group="passage", limit=100)["results"]
    places = [(r["path"], *r["lines"]) for r in by_passage]
    assert len(places) == len(set(places))


def test_limit(server):
    assert len(server.paths("rocket", limit=1)) == 1
    for limit in (0, 101, -1, "ten", 1.5):
        assert server.search("rocket", limit=limit, expect=422)["field"] == "limit"


@pytest.mark.parametrize("query", ["", "x" * 4097])
def test_length_of_the_query(server, query):
    assert server.search(query, expect=422)["field"] == "query"


@pytest.mark.parametrize("query", ["x" * 4096, "???", "\"", "-", "()", "a" + "\u0301" * 500, "🚀", "\u0000x", "OR OR", "tag:"])
def test_odd_queries_are_answered(server, query):
    server.search(query)


def test_get_equals_post(server):
    by_get = server.get("/api/search?q=liquid+oxygen&limit=3&vault=first")
    by_post = server.search("liquid oxygen", limit=3, vault="first")
    assert [r["path"] for r in by_get["results"]] == [r["path"] for r in by_post["results"]]


def test_same_query_same_list(server):
    lists = {tuple(server.paths("rocket balloon kerosene", limit=50)) for _ in range(5)}
    assert len(lists) == 1


def test_explain(server):
    plain, explained = server.search("kerosene"), server.search("kerosene", explain=True)
    assert "explain" not in plain or plain["explain"] is None
    assert explained["explain"]["stages"]


def test_meaning_without_a_model_is_degraded_not_failed(server):
    answer = server.search("kerosene", mode="hybrid")
    assert answer["results"] and answer["mode"] == "keyword" and answer["degraded"]


def test_note(server):
    note = server.get("/api/notes/Projects/Rocket.md?vault=first")
    assert note["title"] == "Rocket plan" and "liquid oxygen" in str(note)
    server.call("GET", "/api/notes/Nowhere.md", expect=404)
    server.call("GET", "/api/notes/..%2F..%2Fetc%2Fpasswd", expect=404)


def test_filters_by_links_and_tasks(servers):
    server = servers({"Hub.md": "Common word. See [[Spoke]].\n", "Spoke.md": "Common word. See [[Far]].\n",
                      "Far.md": "Common word.\n\n- [x] finished\n", "Alone.md": "Common word.\n\n- [ ] open task\n"})
    def found(filter):
        return set(server.paths("common", filter=filter, mode="keyword"))
    assert found("link:[[Spoke]]") == {"Hub.md"}
    assert found("linked-from:[[Hub]]") == {"Spoke.md"}
    assert found("near:[[Hub]]~2") >= {"Spoke.md", "Far.md"} and "Alone.md" not in found("near:[[Hub]]~2")
    assert found("task:todo") == {"Alone.md"} and found("task:done") == {"Far.md"}


def test_unlinked_mentions_and_suggested_links(servers):
    server = servers({"Sourdough starter.md": "---\naliases: [Levain]\n---\n# Sourdough starter\n\nFeed it with Rye flour each day.\n",
                      "Rye flour.md": "Ground rye.\n",
                      "Log.md": "Monday.\n\nThe levain doubled; the sourdough  starter smells of apples.\n",
                      "Linked.md": "Our [[Sourdough starter]] is a sourdough starter.\n",
                      "Other.md": "Levainless day.\n"})
    mentions = server.get("/api/notes/Sourdough starter.md/mentions")
    assert [(m["path"], m["line"]) for m in mentions["unlinked"]] == [("Log.md", 3)]
    assert "levain doubled" in mentions["unlinked"][0]["context"]
    assert [(m["path"], m["line"]) for m in mentions["suggestions"]] == [("Rye flour.md", 6)]
    server.call("GET", "/api/notes/Nowhere.md/mentions", expect=404)


def test_mentions_beside_other_letters(servers):
    server = servers({"东京塔.md": "一座塔。\n", "游记.md": "昨天我们看到东京塔很高。\n", "Levain.md": "A starter.\n",
                      "Quoted.md": "He calls it “Levain”—always.\n", "Inside.md": "Éxlevainß is another word.\n"})
    def unlinked(path):
        return [m["path"] for m in server.get(f"/api/notes/{path}/mentions")["unlinked"]]
    assert unlinked("东京塔.md") == ["游记.md"]
    assert unlinked("Levain.md") == ["Quoted.md"]


def test_copies_and_near_copies_are_found(servers):
    text = " ".join(f"word{i} stands here" for i in range(60))
    server = servers({"A.md": f"---\nid: 1\n---\n{text}\n", "Copies/A.md": f"---\nid: 1\n---\n{text}\n",
                      "Near.md": f"---\nid: 2\n---\n{text} and one line more at its very end\n",
                      "Other.md": "Quite another text, about bread, and how long it rests before the oven is hot enough.\n",
                      "Short one.md": "Same.\n", "Short two.md": "Same.\n", "Empty.md": "", "Empty too.md": ""})
    found = server.get("/api/index/duplicates")
    assert found["notes"] == 6 and found["groups_found"] == 2
    groups = [{n["path"]: (n["exact"], round(n["similarity"], 1)) for n in g["notes"]} for g in found["groups"]]
    assert {"Short one.md": (True, 1), "Short two.md": (True, 1)} in groups
    assert {"A.md": (True, 1), "Copies/A.md": (True, 1), "Near.md": (False, 1)} in groups or \
        {"A.md": (True, 1), "Copies/A.md": (True, 1), "Near.md": (False, .9)} in groups
    assert len(server.get("/api/index/duplicates?threshold=1")["groups"][0]["notes"]) == 2
    assert len(server.get("/api/index/duplicates?limit=1")["groups"]) == 1
    assert server.call("GET", "/api/index/duplicates?threshold=0.1", expect=422).json()["field"] == "threshold"
    server.call("GET", "/api/index/duplicates?vault=nowhere", expect=404)


def test_links_and_backlinks(servers):
    server = servers({"A.md": "See [[B]] and [[Nowhere]].\n", "deep/B.md": "# B\n\nBack to [[A|the first]].\n", "C.md": "Also [[deep/B#B]].\n"})
    links = server.get("/api/notes/deep/B.md/links")
    assert {link["path"] for link in links["links"]} == {"A.md"}
    assert {link["path"] for link in links["backlinks"]} == {"A.md", "C.md"}


def test_meaning(servers, default_models):
    server = servers({
        "Garage.md": "# Garage\n\nThe automobile needs new tyres before winter.\n",
        "Bread.md": "# Bread\n\nSourdough rests for twelve hours before baking.\n",
        "Sea.md": "# Sea\n\nThe tide turns twice a day along this coast.\n",
    }, models=True)
    server.wait_covered()
    answer = server.search("car maintenance", mode="semantic")
    assert answer["mode"] == "semantic" and answer["results"][0]["path"] == "Garage.md"
    wait_until(lambda: server.search("loaf recipe")["mode"] == "hybrid", what="hybrid search")
    answer = server.search("loaf recipe")
    assert answer["results"][0]["path"] == "Bread.md" and answer["degraded"] == []
    related = server.get("/api/notes/Bread.md/related")
    assert "Bread.md" not in str(related)
