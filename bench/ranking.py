#!/usr/bin/env python3
"""Judges the ranking inside the library on the judged sets of the evaluation data: one table, all sets, one set of settings.

    ranking.py                                      the table of docs/Ranking.md
    ranking.py --split train                        what settings may be tuned on: never the test questions
    ranking.py --set search.dense_weight=0.6        another setting, beside the default
    ranking.py --sets scifact cranfield --work DIR  some sets; vaults, stores and embeddings are kept in DIR

The split "train" has SciFact's 809 training questions and, for other languages, known-item questions made from Obsidian's own
help vault: a section's heading in one language, asked for its note in another (`help-de`: German; `help-de-en`: German notes,
English headings; `help-zh`, `help-en` alike). Needs the evaluation data in ../shared (or KNAP_SHARED); skips without.
"""
import argparse
import json
import pathlib
import re
import sqlite3
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests"))
from knap_server import ROOT, Server, clean_environment, program, shared_folder, wait_until  # noqa: E402

TEST = ["scifact", "cranfield", "xquad-en", "xquad-de", "xquad-zh", "xquad-de-en"]
TRAIN = ["scifact-train", "help-en", "help-de", "help-zh", "help-de-en"]
MODEL = "all-minilm-l6-v2"
REPLAY = ROOT / "build" / "bench" / "src" / "index" / "search_replay"


def help_note_title(path):
    return re.sub(r"\s+", " ", path.stem)


def load_help(common, work, name):
    """Notes in one language, asked by headings of the same (or the English) note; notes pair by their `permalink`."""
    folder = work / "obsidian-help"
    if not folder.is_dir():
        folder.mkdir(parents=True)
        subprocess.run(["tar", "-xf", common.DATA / "vaults" / "obsidian-help.tar.zst", "-C", folder], check=True)
    notes_in, asked_in = (name.split("-")[1:] + name.split("-")[-1:])[:2]

    def read(language):
        found = {}
        for path in sorted(next(folder.rglob(language)).rglob("*.md")):
            text = path.read_text("utf-8", "replace")
            link = re.search(r"^permalink: *(\S+)", text, re.M)
            found[link[1] if link else f"{language}/{path.stem}"] = (path.stem, re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.S))
        return found
    notes, asked = read(notes_in), read(asked_in)
    docs, queries, qrels = {}, {}, {}
    for link, (title, text) in notes.items():
        docs[link.replace("/", "_")] = ("", text)
        if link not in asked:
            continue
        # The title is not in the notes' text, which makes the question fair; headings are taken from the asking side.
        title, text = asked[link]
        for number, heading in enumerate([title] + re.findall(r"^#{2,4} +(.+)$", text, re.M)[:4]):
            heading = re.sub(r"[\[\]*`]", "", heading)
            if len(heading) >= 12 or (asked_in == "zh" and len(heading) >= 5):
                queries[f"{link}:{number}"] = heading
                qrels[f"{link}:{number}"] = {link.replace("/", "_"): 1}
    # The headings themselves would make it too easy in one language: they are taken out of the notes.
    if notes_in == asked_in:
        docs = {key: ("", re.sub(r"^#{1,6} .*$", "", text, flags=re.M)) for key, (_, text) in docs.items()}
    return common.RetrievalSet(docs, queries, qrels)


def load(common, work, name):
    if name == "scifact-train":
        data = common.load_beir(common.DATA / "ir" / "scifact")
        folder = common.DATA / "ir" / "scifact"
        queries = {q["_id"]: q["text"] for q in common.read_jsonl((folder / "queries.jsonl").read_text())}
        qrels = {}
        for line in (folder / "qrels" / "train.tsv").read_text().splitlines()[1:]:
            q, d, grade = line.split("\t")[:3]
            qrels.setdefault(q, {})[d] = int(grade)
        return common.RetrievalSet(data.docs, queries, qrels)
    if name.startswith("help-"):
        return load_help(common, work, name)
    return common.load_set(name)


def prepare(common, work, name, data):
    """A store with all vectors, and the questions with their embeddings."""
    same = {"scifact-train": "scifact", "xquad-de-en": "xquad-de"}.get(name, name)
    vault, store, questions = work / same, work / f"{same}.data", work / f"{name}.questions"
    if not vault.is_dir():
        common.write_vault(data.docs, vault)
    if not store.is_dir():
        subprocess.run([program(), "index", "--wait", "semantic", "--data-dir", store, "--vault", vault], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=clean_environment(work))
    if not questions.is_file():
        server = Server(work / "embedder", vaults={"empty": work / "empty"}).start()
        lines, items = [], sorted(data.queries.items())
        wait_until(lambda: server.call("POST", "/v1/embeddings", None, json={"model": MODEL, "input": "warm"}).ok, what="the embedding model")
        for begin in range(0, len(items), 64):
            batch = items[begin:begin + 64]
            answer = server.post("/v1/embeddings", {"model": MODEL, "input": [text for _, text in batch]})
            for (key, text), row in zip(batch, answer["data"]):
                lines.append(json.dumps({"id": key, "text": text, "embedding": row["embedding"]}))
        server.stop()
        questions.write_text("\n".join(lines) + "\n")
    return vault, store, questions


def model_of(store):
    """The embedding model as the store names it: with its version and precision."""
    with sqlite3.connect(f"file:{store / 'knap.db'}?mode=ro", uri=True) as database:
        return database.execute("SELECT name FROM models ORDER BY id LIMIT 1").fetchone()[0]


def judge(common, data, ranking):
    ranked = {}
    for line in ranking.splitlines():
        question, _, path, _ = line.split("\t")
        ranked.setdefault(question, []).append(pathlib.PurePosixPath(path).stem)
    scores = [(common.ndcg(ranked.get(q, []), data.qrels[q]), common.recall(ranked.get(q, []), data.qrels[q], 10)) for q in data.queries]
    return round(sum(s[0] for s in scores) / len(scores), 4), round(sum(s[1] for s in scores) / len(scores), 4)


def evaluation():
    """The evaluation data's module `common`, or nothing where the data is absent; says so."""
    shared = shared_folder()
    if shared is None:
        print("skipped: the evaluation data is not here (KNAP_SHARED names its folder)")
        return None
    sys.path.insert(0, str(shared / "eval"))
    import common
    return common


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", choices=["test", "train"], default="test")
    parser.add_argument("--sets", nargs="*")
    parser.add_argument("--mode", nargs="*", default=["keyword", "hybrid"])
    parser.add_argument("--set", dest="settings", action="append", default=[])
    parser.add_argument("--work", type=pathlib.Path)
    args = parser.parse_args()
    common = evaluation()
    if common is None:
        return
    with tempfile.TemporaryDirectory() as scratch:
        work = args.work or pathlib.Path(scratch)
        (work / "empty").mkdir(parents=True, exist_ok=True)
        print(f"{'set':14}" + "".join(f"{mode:>10}{'recall10':>10}{'p50 ms':>8}{'p95 ms':>8}" for mode in args.mode))
        report = {}
        for name in args.sets or (TEST if args.split == "test" else TRAIN):
            data = load(common, work, name)
            vault, store, questions = prepare(common, work, name, data)
            row = f"{name:14}"
            for mode in args.mode:
                settings = [word for setting in args.settings for word in ("--set", setting)]
                done = subprocess.run([REPLAY, "--data", store, "--model", model_of(store), "--vault", vault, "--questions", questions, "--mode", mode, "--limit", "20",
                                       *settings], capture_output=True, text=True, check=False)
                if done.returncode != 0:
                    sys.exit(f"{name}: {done.stderr}")
                ndcg, recall = judge(common, data, done.stdout)
                times = json.loads(done.stderr.splitlines()[-1])["library"]
                row += f"{ndcg:10.4f}{recall:10.4f}{times['p50_us'] / 1000:8.2f}{times['p95_us'] / 1000:8.2f}"
                report[f"{name}.{mode}"] = ndcg
            print(row, flush=True)
        print(json.dumps({"settings": args.settings, "ndcg@10": report}))


if __name__ == "__main__":
    main()
