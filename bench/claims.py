#!/usr/bin/env python3
"""How far the verdicts of claims are to be trusted, on SciFact: claims with abstracts whose sentences support them,
contradict them, or say nothing of them (evidence labels by people).

Each claim is held against all sentences of its abstract, as an answer's statement is against its quotes. Thresholds are set on
the training claims, where the lower end of the 95 % interval is highest; the test claims only confirm. Ends with 1 when the
precision of 'supported' is below .80 on either.
"""
import collections
import csv
import json
import math
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = pathlib.Path(os.environ.get("KNAP_CLAIMS_BENCH") or ROOT / "build/bench/src/answer/claims_bench")
LABELS, VERDICTS = ("SUPPORT", "CONTRADICT", "NEI"), ("supported", "weak", "unsupported")
GOAL = 0.80


def read(folder):
    """Yields (split, label, claim, sentences of the abstract)."""
    packed = subprocess.run(["zstd", "-dc", folder / "corpus.jsonl.zst"], stdout=subprocess.PIPE, check=True).stdout.decode()
    documents = {str(each["_id"]): each["text"] for each in map(json.loads, packed.splitlines())}
    claims = {str(each["_id"]): each["text"] for each in map(json.loads, (folder / "queries.jsonl").read_text().splitlines())}
    with open(folder / "evidence_labels.tsv") as file:
        labels = {(row["query-id"], row["corpus-id"]): row["label"] for row in csv.DictReader(file, delimiter="\t")}
    for split in ("train", "test"):
        with open(folder / "qrels" / f"{split}.tsv") as file:
            for row in csv.reader(file, delimiter="\t"):
                if row[0] in claims and row[1] in documents:
                    sentences = re.split(r"(?<=[.!?])\s+(?=[A-Z(0-9])", documents[row[1]])
                    yield split, labels.get((row[0], row[1]), "NEI"), claims[row[0]], [s for s in sentences if len(s) > 20]


def judge(pairs):
    clean = lambda text: " ".join(text.split())
    lines = "\n".join("\t".join(map(clean, [claim, *sentences])) for _, _, claim, sentences in pairs)
    printed = subprocess.run([PROGRAM, "--lines"], input=lines + "\n", stdout=subprocess.PIPE, text=True, check=True).stdout
    verdicts = [line.split("\t")[0] for line in printed.splitlines()]
    assert len(verdicts) == len(pairs), "one verdict for each claim"
    return verdicts


def interval(right, all_, z=1.96):
    """Wilson's 95 % interval of a share."""
    if all_ == 0:
        return 0.0, 1.0
    share, spread = right / all_, z * z / all_
    middle = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / all_ + spread / (4 * all_)) / (1 + spread)
    return round(max(0.0, middle - half), 3), round(min(1.0, middle + half), 3)


def main():
    shared = pathlib.Path(os.environ.get("KNAP_SHARED") or ROOT.parent / "shared")
    folder = shared / "data" / "ir" / "scifact"
    if not folder.is_dir():
        return print(f"skipped: the evaluation data is absent ({folder}); name its folder with KNAP_SHARED")
    if not PROGRAM.exists():
        sys.exit(f"{PROGRAM.name} is missing: run ./script/build bench")
    pairs = list(read(folder))
    counts = collections.Counter((split, label, verdict) for (split, label, _, _), verdict in zip(pairs, judge(pairs)))
    result, splits = {}, ("train", "test", "both")
    for label in LABELS:
        for verdict in VERDICTS:
            counts["both", label, verdict] = counts["train", label, verdict] + counts["test", label, verdict]
    for split in splits:
        print(f"{split:6}" + "".join(f"{label:>12}" for label in LABELS) + f"{'right':>10}")
        for verdict in VERDICTS:
            row = [counts[split, label, verdict] for label in LABELS]
            print(f"  {verdict:12}" + "".join(f"{n:>10}" for n in row) + f"{row[0] / max(1, sum(row)):>12.3f}")
        supported = [counts[split, label, "supported"] for label in LABELS]
        supporting = sum(counts[split, "SUPPORT", verdict] for verdict in VERDICTS)
        result[split] = {"interval": interval(supported[0], sum(supported)), "wrong": sum(supported) - supported[0],
                         "precision": round(supported[0] / max(1, sum(supported)), 3), "recall": round(supported[0] / max(1, supporting), 3),
                         "judged_supported": sum(supported), "claims": sum(counts[split, l, v] for l in LABELS for v in VERDICTS)}
    print(json.dumps(result))
    return sys.exit(1 if min(result[split]["precision"] for split in splits) < GOAL else 0)


if __name__ == "__main__":
    main()
