#!/usr/bin/env python3
"""What it would get wrong to use one answer for all wordings of a question (cache.reworded).

    reworded.py      the questions of the evaluation data; needs ./script/build bench

Two figures. Real questions: pairs of different ones that are taken for one, each printed, for a reader to judge. Changed ones:
from each question others are made that ask something else (another number, another name, names exchanged, a negation put in, an
opposite, another question word); how many are taken for the original is the rate of false hits. Beside it, how many harmless
changes (case, courtesy, articles, the last question mark) are recognised.
"""
import collections
import json
import pathlib
import random
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests"))
from knap_server import ROOT, shared_folder  # noqa: E402
from latency import machine  # noqa: E402

PROGRAM = ROOT / "build/bench/src/answer/reworded_bench"
OPPOSITES = {"before": "after", "more": "less", "largest": "smallest", "first": "last", "highest": "lowest", "most": "least", "from": "to",
             "above": "below", "with": "without", "north": "south", "east": "west", "increase": "decrease", "over": "under", "start": "end"}
ASKING = {"when": "where", "where": "when", "who": "when", "why": "how", "how": "why"}
SHOWN_MAX = 20


def prints(questions):
    text = "".join(re.sub(r"\s+", " ", question) + "\n" for question in questions)
    return subprocess.run([PROGRAM], input=text, capture_output=True, text=True, check=True).stdout.split("\n")[:len(questions)]


def changed(question, rng):
    """(kind, question that asks something else)"""
    for number in re.finditer(r"\b\d+\b", question):
        yield "number", question[:number.start()] + str(int(number[0]) + rng.randrange(1, 9)) + question[number.end():]
    names = [m for m in re.finditer(r"(?<=[a-z,] )[A-Z][a-z]{2,}", question)]
    for name in names[:2]:
        yield "name", question[:name.start()] + rng.choice(["Marlow", "Quentin", "Ostrava"]) + question[name.end():]
    if len(names) >= 2 and names[0][0] != names[-1][0]:
        a, b = names[0], names[-1]
        yield "names exchanged", question[:a.start()] + b[0] + question[a.end():b.start()] + a[0] + question[b.end():]
    auxiliary = re.search(r"\b(is|are|was|were|did|does|do|can|has|had)\b", question)
    if auxiliary:
        yield "negation", question[:auxiliary.end()] + " not" + question[auxiliary.end():]
    for kind, pairs in (("opposite", OPPOSITES), ("question word", ASKING)):
        for word, other in pairs.items():
            found = re.search(rf"\b{word}\b", question, re.IGNORECASE)
            if found:
                yield kind, question[:found.start()] + other + question[found.end():]


def harmless(question):
    yield "courtesy", "Please tell me: " + question[0].lower() + question[1:]
    yield "no question mark", question.rstrip("?. ")
    yield "articles", re.sub(r"\b(the|an|a) (?=[a-z])", "", question)


def main():
    data = shared_folder()
    if data is None:
        sys.exit("the evaluation data is absent: name its folder with KNAP_SHARED")
    if not PROGRAM.exists():
        sys.exit("build it first: ./script/build bench --target reworded_bench")
    sys.path.insert(0, str(data / "eval"))
    from common import load_set
    questions = sorted({text for name in ("xquad-en", "scifact", "cranfield") for text in load_set(name).queries.values()})
    rng, known = random.Random(5), {}
    groups = collections.defaultdict(list)
    for question, key in zip(questions, prints(questions)):
        known[question] = key
        if key != "-":
            groups[key].append(question)
    alike = [group for group in groups.values() if len(group) > 1]
    pairs = sum(len(group) * (len(group) - 1) // 2 for group in alike)
    print(f"{len(questions)} real questions, {pairs} pairs taken for one")
    for group in alike[:SHOWN_MAX]:
        print("  " + " / ".join(group))
    tables = {}
    for title, make in (("changed", lambda q: list(changed(q, rng))), ("harmless", lambda q: list(harmless(q)))):
        made = [(question, kind, other) for question in questions if known[question] != "-" for kind, other in make(question) if other != question]
        counts = collections.defaultdict(lambda: [0, 0])
        for (question, kind, other), key in zip(made, prints([other for *_, other in made])):
            counts[kind][0] += 1
            counts[kind][1] += key == known[question]
            if title == "changed" and key == known[question] and sum(c[1] for c in counts.values()) <= SHOWN_MAX:
                print(f"  FALSE HIT ({kind}): {question} / {other}")
        print(f"\n{title:18} made  taken for the original")
        for kind, (total, taken) in counts.items():
            print(f"{kind:18} {total:5}  {taken:5}  {taken / total:.4f}")
        tables[title] = {kind: {"made": total, "taken": taken} for kind, (total, taken) in counts.items()}
    print(json.dumps({"machine": machine(), "questions": len(questions), "pairs_alike": pairs, **tables}))


if __name__ == "__main__":
    main()
