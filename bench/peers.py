#!/usr/bin/env python3
"""Knap's search beside the libraries that others build on: the same documents and questions, one process each, in one run.

    peers.py                       SciFact (quality and speed) and obsidian-hub (speed): two tables
    peers.py --only tantivy fts5   some peers
    peers.py --markdown docs/Peers.md --plot docs/peers.svg    what the manual shows

Peers come as packages at the versions of bench/peers/*.txt and package.json, into ~/.cache/knap/peers. Time is that of one
question inside the library, asked once, on one thread; Knap's is the sum of its stages (from the words to the ranking), and
beside it through HTTP. Vector peers get Knap's own vectors. qmd and markdown-vault-mcp are whole programs that read the
notes from files; they are driven through their own libraries, by keyword, because their models come from hubs: once with the
question as it is, of which they want all words, and once with its words apart. "Found" is the share of questions with any
result. Memory is what the process grew by, texts of the documents not counted (Knap's: its whole process). Needs the evaluation data in ../shared (or KNAP_SHARED); skips without.
"""
import argparse
import http.client
import json
import math
import os
import pathlib
import re
import sqlite3
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests"))
from knap_server import NO_MODELS, ROOT, Server, clean_environment, program, shared_folder  # noqa: E402
from latency import machine, make_queries  # noqa: E402
from plots.bars import OTHER, OWN, bars_svg  # noqa: E402
from ranking import REPLAY, evaluation, load, model_of, prepare  # noqa: E402

HERE = ROOT / "bench" / "peers"
CACHE = pathlib.Path(os.environ.get("KNAP_CACHE_DIR") or pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "knap")
WORDS = ["tantivy", "bm25s", "fts5", "minisearch", "orama", "qmd", "qmd_each", "markdown_vault_mcp", "markdown_vault_mcp_any"]
QUICK, TURNS = ["tantivy", "bm25s"], 3  # within some tenths of a millisecond of Knap: taking turns, the middle of three runs counts
VECTORS = ["faiss_flat", "faiss_hnsw", "hnswlib", "usearch", "lancedb", "chroma"]
NODE, BUN = {"minisearch", "orama"}, {"qmd", "qmd_each"}
TITLES = {"fts5": "SQLite FTS5", "minisearch": "MiniSearch", "orama": "Orama", "faiss_flat": "faiss flat", "faiss_hnsw": "faiss HNSW",
          "lancedb": "LanceDB", "chroma": "Chroma", "qmd": "qmd, all words", "qmd_each": "qmd, word by word",
          "markdown_vault_mcp": "markdown-vault-mcp, all words", "markdown_vault_mcp_any": "markdown-vault-mcp, any word"}


def install(folder):
    """The peers' packages, once a version list."""
    stamp, wanted = folder / "stamp", (HERE / "requirements.txt").read_text() + (HERE / "package.json").read_text()
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    print("installing the peers' packages", file=sys.stderr)
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder / "python"], check=True)
    subprocess.run([folder / "python" / "bin" / "pip", "install", "-q", "-r", HERE / "requirements.txt"], check=True)
    (folder / "package.json").write_text((HERE / "package.json").read_text())
    subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund"], cwd=folder, check=True)
    stamp.write_text(wanted)


def run_peer(name, folder, documents, questions, k, notes):
    command = (["node", HERE / "node_peers.mjs"] if name in NODE else
               [folder / "node_modules" / ".bin" / "bun", HERE / "node_peers.mjs"] if name in BUN else
               [folder / "python" / "bin" / "python", HERE / "python_peers.py"])
    done = subprocess.run([*command, name, documents, questions, str(k)], capture_output=True, text=True, check=False,
                          env={**os.environ, "PEERS_MODULES": str(folder), "PEERS_NOTES": str(notes), "OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"})
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or ["ended without a word"])[-1][:200]}
    result = json.loads(done.stdout.strip().splitlines()[-1])
    return {**result, "asked": len(result["times_ms"])}


def vectors_of(store):
    """Vectors of the passages by path of their note: (path -> list), as Knap keeps them, scaled to unit length."""
    found = {}
    with sqlite3.connect(f"file:{store / 'knap.db'}?mode=ro", uri=True) as database:
        bits = (1 << ORDINAL_BITS)
        paths = dict(database.execute("SELECT id, path FROM files"))
        rows = database.execute("SELECT p.id, e.vector FROM passages p JOIN embeddings e ON e.hash = p.hash ORDER BY p.id")
        for row, vector in rows:
            values = [v - 256 if v > 127 else v for v in vector]
            norm = sum(v * v for v in values) ** .5 or 1
            found.setdefault(paths[row // bits].decode(), []).append([round(v / norm, 5) for v in values])
    return found


ORDINAL_BITS = 20


def percentiles(milliseconds):
    """To the microsecond, and cut as search_replay cuts: some libraries are that near to each other."""
    values = sorted(milliseconds)
    return {f"p{q}": values[q * (len(values) - 1) // 100] for q in (50, 95, 99)}


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def knap_inside(store, vault, questions, mode, k):
    done = subprocess.run([REPLAY, "--data", store, "--vault", vault, "--questions", questions, "--mode", mode, "--limit", str(k),
                           *(["--model", model_of(store)] if mode != "keyword" or store.name.startswith("scifact") else [])], capture_output=True, text=True, check=True)
    ranks = {}
    for line in done.stdout.splitlines():
        question, _, path, _ = line.split("\t")
        ranks.setdefault(question, []).append(pathlib.PurePosixPath(path).stem)
    times = json.loads(done.stderr.splitlines()[-1])["library"]
    return {"first_ms": times["first_us"] / 1000, "p50": times["p50_us"] / 1000, "p95": times["p95_us"] / 1000, "p99": times["p99_us"] / 1000, "ranks": ranks,
            "asked": sum(1 for line in pathlib.Path(questions).open(encoding="utf-8") if line.strip())}


def knap_outside(work, vault, questions, k):
    """`knap index` on an empty store, then keyword searches through HTTP."""
    home = work / f"http-{vault.name}-{time.time_ns()}"
    server = Server(home, {vault.name: vault}, NO_MODELS)
    begin = time.perf_counter()
    subprocess.run([program(), "index", "--config", server.config], check=True, capture_output=True, env=clean_environment(home))
    indexed = time.perf_counter() - begin
    server.start()
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    times = []
    for question in questions:
        start = time.perf_counter()
        connection.request("POST", "/api/search", json.dumps({"query": question["text"], "mode": "keyword", "limit": k}),
                           {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read()
        assert response.status == 200
        times.append((time.perf_counter() - start) * 1000)
    memory = int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{server.process.pid}/status").read_text())[1]) / 1024
    server.stop()
    return {"index_s": indexed, "first_ms": times[0], "times_ms": times, "memory_mb": memory}


def found_share(result):
    """The share of the questions that got any result; a time is worth little where nothing was found."""
    return sum(1 for ids in result["ranks"].values() if ids) / result["asked"] if "ranks" in result else None


def row_of(title, result, quality):
    if "failed" in result:
        return {"name": title, "failed": result["failed"]}
    at = percentiles(result["times_ms"]) if "times_ms" in result else result
    memory = result.get("memory_mb")  # of a peer that gave back more than it took: not known
    return {"name": title, "index_s": result.get("index_s"), "first": result.get("first_ms"), "p50": at["p50"], "p95": at["p95"], "p99": at["p99"],
            "memory_mb": memory if memory is not None and memory > 0 else None, "ndcg": quality(result["ranks"]) if "ranks" in result and quality else None,
            "found": found_share(result)}


def table(rows, quality):
    number = lambda value, digits: "" if value is None else f"{value:.{digits}f}"
    lines = ["| | index s | first ms | p50 ms | p95 ms | p99 ms | memory MB | found % |" + (" nDCG@10 |" if quality else ""),
             "|---|---|---|---|---|---|---|---|" + ("---|" if quality else "")]
    for row in rows:
        if "failed" in row:
            lines.append(f"| {row['name']} | did not run: {row['failed']} |")
            continue
        lines.append(f"| {row['name']} | {number(row['index_s'], 2)} | {number(row['first'], 1)} | {number(row['p50'], 3)} | {number(row['p95'], 3)} | {number(row['p99'], 3)} | "
                     f"{number(row['memory_mb'], 0)} | {number(row['found'] and 100 * row['found'], 0)} |" + (f" {number(row['ndcg'], 4)} |" if quality else ""))
    return "\n".join(lines)


def middle(results):
    """Of several runs the one with the middle median: machines are slower for a while."""
    whole = [r for r in results if "failed" not in r]
    at = [(percentiles(r["times_ms"]) if "times_ms" in r else r)["p50"] for r in whole]
    return whole[sorted(range(len(whole)), key=at.__getitem__)[len(whole) // 2]] if whole else results[0]


def compare(set_name, documents, questions, k, args, work, folder, by_words, knap_rows, quality, vectors, notes):
    """by_words: Knap's search by words, run in turns with the peers whose times are as short."""
    document_file, question_file = work / f"{set_name}.documents", work / f"{set_name}.peers"
    write_lines(document_file, documents)
    write_lines(question_file, questions)
    wanted = [name for name in WORDS + (VECTORS if vectors else []) if not args.only or name in args.only]
    turns = {name: [] for name in ["knap", *(name for name in QUICK if name in wanted)]}
    for _ in range(TURNS):
        for name, results in turns.items():
            results.append(by_words() if name == "knap" else run_peer(name, folder, document_file, question_file, k, notes))
    rows = [row_of("**Knap**, words", middle(turns.pop("knap")), quality), *knap_rows]
    for name in wanted:
        result = middle(turns[name]) if name in turns else run_peer(name, folder, document_file, question_file, k, notes)
        rows.append(row_of(TITLES.get(name, name), result, quality))
        print(table(rows[-1:], quality is not None).splitlines()[-1], file=sys.stderr, flush=True)
    return rows


def scifact(common, args, work, folder):
    data = load(common, work, "scifact")
    vault, store, asked = prepare(common, work, "scifact", data)
    vectors = vectors_of(store)
    documents = [{"id": key, "title": title, "text": text, "vectors": vectors.get(f"{key}.md", [])} for key, (title, text) in data.docs.items()]
    questions = [{"id": q["id"], "text": q["text"], "vector": q["embedding"]} for q in map(json.loads, asked.read_text().splitlines())]

    def quality(ranks):
        return sum(common.ndcg(ranks.get(q, []), data.qrels[q]) for q in data.queries) / len(data.queries)
    outside = knap_outside(work, vault, questions, 10)
    rows = [row_of(title, knap_inside(store, vault, asked, mode, 10), quality)
            for mode, title in (("semantic", "**Knap**, vectors"), ("hybrid", "**Knap**, both"))]
    rows.append(row_of("**Knap**, words, through HTTP", outside, None))

    def by_words():
        return {**knap_inside(store, vault, asked, "keyword", 10), "index_s": outside["index_s"], "memory_mb": outside["memory_mb"]}
    return compare("scifact", documents, questions, 10, args, work, folder, by_words, rows, quality, True, vault)


def hub(args, work, folder, shared):
    import random
    vault = work / "hub-visible"
    if not vault.is_dir():
        vault.mkdir()
        subprocess.run(["tar", "-xf", shared / "data" / "vaults" / "obsidian-hub.tar.zst", "-C", vault], check=True)
        # Knap would read the pictures too, the peers the notes in hidden folders.
        for path in vault.rglob("*"):
            hidden = any(part.startswith(".") for part in path.relative_to(vault).parts)
            if path.is_file() and (hidden or path.suffix != ".md"):
                path.unlink()
    documents = []
    for path in sorted(vault.rglob("*.md")):
        text = re.sub(r"\A---\n.*?\n---\n", "", path.read_text("utf-8", "replace"), flags=re.S)
        documents.append({"id": path.relative_to(vault).as_posix(), "title": path.stem, "text": text, "vectors": []})
    questions = [{"id": str(i), "text": text} for i, text in enumerate(make_queries(vault, 500, random.Random(1)))]
    asked, store = work / "hub.questions", work / "hub-visible.data"
    write_lines(asked, questions)
    if not store.is_dir():
        subprocess.run([program(), "index", "--data-dir", store, "--vault", vault], check=True, capture_output=True, env=clean_environment(work))
    outside = knap_outside(work, vault, questions, 10)

    def by_words():
        return {**knap_inside(store, vault, asked, "keyword", 10), "index_s": outside["index_s"], "memory_mb": outside["memory_mb"]}
    rows = [row_of("**Knap**, words, through HTTP", outside, None)]
    return compare("hub", documents, questions, 10, args, work, folder, by_words, rows, None, False, vault)


def plot(sets):
    """Median time of a question by peer, on a logarithmic scale: one bar each."""
    left = 250
    length = lambda ms: (math.log10(max(ms, .01)) + 2) / 4.5 * (760 - left - 90)
    return bars_svg([(f"{title}: median of one question, ms (logarithmic)",
                      [(row["name"].replace("**", ""), length(row["p50"]), f'{row["p50"]:.2f}', OWN if row["name"].startswith("**") else OTHER)
                       for row in rows if "failed" not in row]) for title, rows in sets], left)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--work", type=pathlib.Path, default=CACHE / "bench")
    parser.add_argument("--markdown", type=pathlib.Path, help="replace the tables in this file, between its markers")
    parser.add_argument("--plot", type=pathlib.Path)
    args = parser.parse_args()
    common = evaluation()
    if common is None:
        return
    args.work.mkdir(parents=True, exist_ok=True)
    (args.work / "empty").mkdir(exist_ok=True)
    folder = CACHE / "peers"
    install(folder)
    about = machine()
    sets = [("SciFact", scifact(common, args, args.work, folder)), ("obsidian-hub", hub(args, args.work, folder, shared_folder()))]
    text = "\n\n".join(f"### {title}\n\n{table(rows, title == 'SciFact')}" for title, rows in sets)
    text = f"Measured {about['time'][:10]} on {about['cpu']}, {about['cores']} cores, load {about['load_at_start']:.1f}, {about['program']}.\n\n{text}"
    print(text)
    if args.markdown:
        page = args.markdown.read_text()
        begin, end = page.index("%% tables %%"), page.index("%% end of tables %%")
        args.markdown.write_text(page[:begin] + "%% tables %%\n\n" + text + "\n\n" + page[end:])
    if args.plot:
        args.plot.write_text(plot(sets))


if __name__ == "__main__":
    main()
