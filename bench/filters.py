#!/usr/bin/env python3
"""Times filters of every kind, single and joined, over one vault: what a client waits for.

    filters.py                     obsidian-hub, from the evaluation data
    filters.py --folder ~/Notes    a copy of your own notes

Terms are made of the vault's own tags, folders, names, headings, properties and links; joined ones hold two to four terms with
OR, minus and parentheses. Each is asked once, with other words of the notes each time, by keyword, never cached; as many questions
are asked without a filter. Prints a table in milliseconds, the slowest filters, and as the last line one JSON object. --strict:
exit code 1 when any took 5 ms or more.
"""
import argparse
import json
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import time

import requests

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests"))
from knap_server import NO_MODELS, Server, program, shared_folder  # noqa: E402
from latency import machine, make_queries, make_vault, percentiles  # noqa: E402

GOAL_MS = 5


class Terms:
    """Random terms by kind, from what stands in the notes."""

    def __init__(self, vault, rng):
        self.rng, paths = rng, sorted(vault.rglob("*.md"))
        texts = [path.read_text("utf-8", "replace") for path in paths]
        everything = "\n".join(texts)
        self.names = [path.stem for path in paths if not re.search(r'["\[\]|#^]', path.stem)]
        self.folders = sorted({str(path.parent.relative_to(vault)) + "/" for path in paths if path.parent != vault})
        self.tags = sorted(set(re.findall(r"(?<=\s)#([A-Za-z][\w/-]+)", everything))) or ["none"]
        self.headings = sorted(set(re.findall(r"^#+ +([A-Za-z]{4,})", everything, re.M))) or ["none"]
        front = "\n".join(match[1] for text in texts if (match := re.match(r"---\n(.*?)\n---", text, re.S)))
        self.properties = sorted(set(re.findall(r"^([A-Za-z][\w-]*): *([\w -]+)$", front, re.M))) or [("none", "none")]

    def of(self, kind):
        pick = self.rng.choice
        name, value = pick(self.properties)
        return {
            "tag": lambda: f"tag:#{pick(self.tags)}",
            "path": lambda: f'path:"{pick(self.folders)}"',
            "file": lambda: f'file:"{pick(self.names)[:self.rng.randrange(2, 12)]}"',
            "title": lambda: f'title:"{pick(self.names)[:self.rng.randrange(2, 12)]}"',
            "heading": lambda: f"heading:{pick(self.headings)}",
            "property": lambda: f'prop.{name}:"{value}"',
            "compared": lambda: f"prop.{name}{pick(['>', '<', '>=', '<='])}{self.rng.randrange(2030)}",
            "has": lambda: f"has:prop.{name}",
            "type": lambda: f"type:{pick(['md', 'canvas', 'md|image', 'pdf'])}",
            "lang": lambda: f"lang:{pick(['en', 'de', 'fr', 'zh'])}",
            "link": lambda: f"link:[[{pick(self.names)}]]",
            "linked-from": lambda: f"linked-from:[[{pick(self.names)}]]",
            "near": lambda: f"near:[[{pick(self.names)}]]~{self.rng.randrange(1, 6)}",
            "task": lambda: f"task:{pick(['todo', 'done'])}",
            "dates": lambda: f"{pick(['modified', 'created'])}:{pick(['', '>'])}{self.rng.randrange(2015, 2027)}",
            "age": lambda: f"modified:{self.rng.randrange(1, 900)}{pick('hdw')}",
        }[kind]()

    KINDS = ["tag", "path", "file", "title", "heading", "property", "compared", "has", "type", "lang", "link", "linked-from", "near",
             "task", "dates", "age"]

    def joined(self):
        terms = [("-" if self.rng.random() < .3 else "") + self.of(self.rng.choice(self.KINDS)) for _ in range(self.rng.randrange(2, 5))]
        text = terms[0]
        for term in terms[1:]:
            text = f"({text} OR {term})" if self.rng.random() < .5 else f"{text} {term}"
        return text


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=pathlib.Path, help="notes of your own; they are copied")
    parser.add_argument("--each", type=int, default=40, help="filters of each kind; ten times as many joined")
    parser.add_argument("--strict", action="store_true")
    options = parser.parse_args()
    if options.folder is None and shared_folder() is None:
        print("skipped: the evaluation data is not here; give --folder", file=sys.stderr)
        return 0
    report, slowest = {"machine": machine(), "ms": {}}, []
    with tempfile.TemporaryDirectory(prefix="knap-filters-") as folder:
        home = pathlib.Path(folder)
        vault = home / "vault"
        make_vault("hub", vault, options.folder)
        server = Server(home / "server", {"notes": vault}, NO_MODELS)
        # To the end, pictures and documents too: nothing is left to be read beside the searches.
        subprocess.run([program(), "index", "--config", server.config], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        server.start()
        try:
            server.wait_settled(600)
            time.sleep(2)
            rng, session = random.Random(5), requests.Session()
            terms = Terms(vault, rng)
            words = make_queries(vault, (len(Terms.KINDS) + 2 + 10) * options.each, rng)
            rng.shuffle(words)

            def ask(query, text):
                body = {"query": query, "mode": "keyword", **({"filter": text} if text else {})}
                begin = time.perf_counter()
                answer = session.post(f"{server.url}/api/search", json=body, timeout=30)
                took = (time.perf_counter() - begin) * 1000
                if answer.status_code != 200:
                    raise SystemExit(f"{text!r}: {answer.status_code} {answer.text[:300]}")
                return took

            report["ms"]["none"] = percentiles([ask(words.pop(), "") for _ in range(2 * options.each)][options.each:])
            for kind in [*Terms.KINDS, "joined"]:
                count = options.each * (10 if kind == "joined" else 1)
                filters = sorted({terms.joined() if kind == "joined" else terms.of(kind) for _ in range(count)})
                times = [(ask(words.pop(), text), text) for text in filters]
                slowest = sorted(slowest + times)[-5:]
                report["ms"][kind] = percentiles([took for took, _ in times])
        finally:
            server.kill()
    for kind, figures in report["ms"].items():
        print(f"{kind:12} {figures}")
    for took, text in reversed(slowest):
        print(f"{took:8.2f} ms  {text}")
    report["slowest_ms"] = round(slowest[-1][0], 2)
    print(json.dumps(report))
    return 1 if options.strict and slowest[-1][0] >= GOAL_MS else 0


if __name__ == "__main__":
    sys.exit(main())
