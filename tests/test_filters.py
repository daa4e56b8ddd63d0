"""Filters against a plain evaluator written apart: 1,000 random filters over a made-up vault must keep the same notes."""
import datetime
import os
import random
import time

import pytest
import yaml

DAY = 86400
FOLDERS = ["", "Work/", "Work/Deep/", "Home/", "Größe/"]
TAGS = ["work", "work/client", "work/client/x", "home", "home/garden", "Wichtig"]
STATUS = ["open", "Done", "in progress", "2026-02-10"]


class Note:
    """What the evaluator knows of a note: the same facts that its text is written from."""

    def __init__(self, number, rng, now):
        self.name = f"{rng.choice(['Plan', 'Log', 'Idee', 'Straße'])} {number}"
        self.path = rng.choice(FOLDERS) + self.name + ".md"
        self.tags = rng.sample(TAGS, rng.randrange(3))
        self.heading = rng.choice(["Budget", "First steps", "Übersicht", None])
        self.props = {}
        if rng.random() < .6:
            self.props["status"] = rng.choice(STATUS)
        if rng.random() < .6:
            self.props["rating"] = rng.choice([0, 1, 2.5, 4, 5])
        if rng.random() < .4:
            self.props["due"] = datetime.date(2026, rng.randrange(1, 4), rng.randrange(1, 28))
        if rng.random() < .3:
            self.props["people"] = rng.sample(["Ann", "Bob", "Eve"], 2)
        if rng.random() < .3:
            self.props["pinned"] = rng.random() < .5
        self.language = rng.choice(["en", "de"])
        self.open_task, self.done_task = rng.random() < .3, rng.random() < .3
        # Half a day away from any border of a filter's ages.
        self.modified = now - int((rng.randrange(0, 40) + .5) * DAY)
        self.links = []
        self.often = rng.randrange(1, 9)

    def text(self):
        front = dict(self.props)
        if self.tags:
            front["tags"] = self.tags
        front["lang"] = self.language
        body = [f"---\n{yaml.safe_dump(front, allow_unicode=True, sort_keys=False)}---", "everynote " * self.often]
        if self.heading:
            body.append(f"## {self.heading}\n\nwords below it")
        if self.open_task:
            body.append("- [ ] to be done")
        if self.done_task:
            body.append("- [x] was done")
        body += [f"See [[{target}]]." for target in self.links]
        return "\n\n".join(body) + "\n"


def fold(text):
    return text.casefold()


def end_of_month(month):
    year, number = map(int, month.split("-"))
    return datetime.date(year + number // 12, number % 12 + 1, 1)


class Terms:
    """Makes random terms: each a text and what it means, as a function of a note."""

    def __init__(self, rng, notes, now):
        self.rng, self.now = rng, now
        self.by_name = {note.name: note for note in notes}
        self.backlinks = {note.name: {other.name for other in notes if note.name in other.links} for note in notes}

    def tag(self):
        wanted = self.rng.choice([*TAGS, "work/cli", "nothing", "WORK"])
        inside = fold(wanted)
        return f"tag:{self.rng.choice(['#', ''])}{wanted}", lambda n: any(fold(t) == inside or fold(t).startswith(inside + "/") for t in n.tags)

    def path(self):
        wanted = self.rng.choice(["Work/", "work/deep/", "Home/", "Größe/", "Work"])
        return f'path:"{wanted}"', lambda n: fold(n.path).startswith(fold(wanted))

    def file(self):
        wanted = self.rng.choice(["Plan", "log", "STRASSE", "1", "Idee 7"])
        return f'file:"{wanted}"', lambda n: fold(wanted) in fold(n.name)

    def heading(self):
        wanted = self.rng.choice(["budget", "steps", "ÜBERSICHT", "none"])
        return f"heading:{wanted}", lambda n: n.heading is not None and fold(wanted) in fold(n.heading)

    def status(self):
        wanted = self.rng.choice(["open", "DONE", "in progress", "don"])
        return f'prop.status:"{wanted}"', lambda n: fold(str(n.props.get("status", "\0"))) == fold(wanted)

    def rating(self):
        sign, value = self.rng.choice([">", ">=", "<", "<=", ":"]), self.rng.choice([0, 1, 2.5, 3, 5])
        compare = {">": lambda a: a > value, ">=": lambda a: a >= value, "<": lambda a: a < value, "<=": lambda a: a <= value,
                   ":": lambda a: a == value}[sign]
        return f"prop.rating{sign}{value}", lambda n: "rating" in n.props and compare(n.props["rating"])

    def due(self):
        month = self.rng.choice(["2026-01", "2026-02", "2026-03"])
        first, after = datetime.date.fromisoformat(month + "-01"), end_of_month(month)
        sign = self.rng.choice([":", "<", ">="])
        compare = {":": lambda d: first <= d < after, "<": lambda d: d < first, ">=": lambda d: d >= first}[sign]
        return f"prop.due{sign}{month}", lambda n: "due" in n.props and compare(n.props["due"])

    def people(self):
        wanted = self.rng.choice(["ann", "Bob", "EVE"])
        return f"prop.people:{wanted}", lambda n: any(fold(p) == fold(wanted) for p in n.props.get("people", []))

    def has(self):
        name = self.rng.choice(["status", "rating", "due", "people", "pinned", "nothing"])
        return f"has:prop.{name}", lambda n: name in n.props

    def pinned(self):
        wanted = self.rng.choice([True, False])
        return f"prop.pinned:{str(wanted).lower()}", lambda n: n.props.get("pinned") is wanted

    def language(self):
        wanted = self.rng.choice(["de", "EN", "fr"])
        return f"lang:{wanted}", lambda n: n.language == fold(wanted)

    def task(self):
        wanted = self.rng.choice(["todo", "done"])
        return f"task:{wanted}", lambda n: n.open_task if wanted == "todo" else n.done_task

    def modified(self):
        days = self.rng.randrange(1, 40)
        return f"modified:{days}d", lambda n: n.modified >= self.now - days * DAY

    def kind(self):
        wanted = self.rng.choice(["md", "canvas", "md|pdf"])
        return f"type:{wanted}", lambda n: "md" in wanted.split("|")

    def link(self):
        name = self.rng.choice(list(self.by_name))
        return f"link:[[{name}]]", lambda n: name in n.links

    def linked_from(self):
        name = self.rng.choice(list(self.by_name))
        return f"linked-from:[[{name}]]", lambda n: n.name in self.by_name[name].links

    def near(self):
        name, distance = self.rng.choice(list(self.by_name)), self.rng.randrange(1, 4)
        seen, edge = {name}, {name}
        for _ in range(distance):
            edge = {other for one in edge for other in {*self.by_name[one].links, *self.backlinks[one]}} - seen
            seen |= edge
        return f"near:[[{name}]]~{distance}", lambda n: n.name in seen

    def any(self, depth=0):
        roll = self.rng.random()
        if depth < 3 and roll < .45:
            parts = [self.any(depth + 1) for _ in range(self.rng.randrange(2, 4))]
            if self.rng.random() < .5:
                return "(" + " ".join(text for text, _ in parts) + ")", lambda n: all(keep(n) for _, keep in parts)
            return "(" + " OR ".join(text for text, _ in parts) + ")", lambda n: any(keep(n) for _, keep in parts)
        if roll < .6:
            text, keep = self.any(depth + 1)
            return "-" + text, lambda n: not keep(n)
        return self.rng.choice([self.tag, self.path, self.file, self.heading, self.status, self.rating, self.due, self.people, self.has,
                                self.pinned, self.language, self.task, self.modified, self.kind, self.link, self.linked_from, self.near])()


@pytest.fixture(scope="module")
def vault(module_servers):
    rng, now = random.Random(4), int(time.time())
    notes = [Note(number, rng, now) for number in range(95)]
    for note in notes:
        note.links = [other.name for other in rng.sample(notes, rng.randrange(3)) if other is not note]
    server = module_servers({note.path: note.text() for note in notes}, start=False)
    for note in notes:
        os.utime(next(iter(server.vaults.values())) / note.path, (note.modified, note.modified))
    server.start().wait_settled()
    return server, notes, now


def test_random_filters_keep_what_they_say(vault):
    server, notes, now = vault
    terms = Terms(random.Random(7), notes, now)
    ranking = server.paths("everynote", mode="keyword", limit=100)
    assert set(ranking) == {note.path for note in notes}
    by_path = {note.path: note for note in notes}
    kept = 0
    for _ in range(1000):
        text, keep = terms.any()
        found = server.paths("everynote", mode="keyword", limit=100, filter=text)
        # Also the order: a filtered search is the full ranking without the notes that the filter leaves out.
        assert found == [path for path in ranking if keep(by_path[path])], text
        kept += len(found)
    assert kept > 1000
