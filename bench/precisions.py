#!/usr/bin/env python3
"""What 8-bit and 16-bit computing cost an embedding model: ranking by vectors alone, on judged documents.

    precisions.py                      MiniLM on SciFact in f32, bf16, int8 and int8-bf16
    precisions.py --only f32 int8      some of them

Each precision is a runner of its own with two threads, which embeds all documents and questions. Printed are nDCG@10, the mean
cosine to the f32 vectors, tokens a second of the documents (with the client's own time in it; `embed_bench` measures the
engine alone), and how many times that is what one thread does: runners with one and with two take turns on the first documents. Needs the evaluation data in ../shared (or KNAP_SHARED); skips without. The last line is one JSON object.
"""
import argparse
import array
import base64
import json
import operator
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests"))
from knap_server import UnixConnection, clean_environment, program, shared_folder, wait_until  # noqa: E402
from latency import machine  # noqa: E402

MODEL, BATCH = "all-minilm-l6-v2", 64
PRECISIONS = ["f32", "bf16", "int8", "int8-bf16"]


class Runner:
    def __init__(self, model_dir, precision, folder, threads=2):
        self.socket = str(pathlib.Path(folder) / f"{precision}-{threads}.sock")
        self.process = subprocess.Popen([program(), "runner", "--role", "embed", "--model-dir", model_dir, "--socket", self.socket,
                                         "--precision", precision, "--threads", str(threads)], env=clean_environment(folder))
        wait_until(self.ready, 60, f"the runner in {precision}")

    def ready(self):
        if self.process.poll() is not None:
            raise SystemExit(f"the runner ended with code {self.process.returncode}")
        try:
            return self.call("GET", "/health")[0] == 200
        except OSError:
            return False

    def call(self, method, path, body=None):
        connection = UnixConnection(self.socket)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def embed(self, texts):
        """Vectors, and tokens a second."""
        out, tokens, begin = [], 0, time.perf_counter()
        for at in range(0, len(texts), BATCH):
            status, body = self.call("POST", "/v1/embeddings", json.dumps({"input": texts[at:at + BATCH], "encoding_format": "base64", "priority": "background"}))
            if status != 200:
                raise SystemExit(f"the runner refused: {body[:300]}")
            answer = json.loads(body)
            tokens += answer["usage"]["prompt_tokens"]
            out += [array.array("f", base64.b64decode(item["embedding"])) for item in answer["data"]]
        return out, tokens / (time.perf_counter() - begin)

    def end(self):
        self.process.terminate()
        self.process.wait(10)


def dot(a, b):
    return sum(map(operator.mul, a, b))


def two_threads(model_dir, precision, folder, texts):
    """How many times the tokens a second of one thread: the median of turns."""
    runners = [Runner(model_dir, precision, folder, threads) for threads in (1, 2)]
    try:
        for runner in runners:
            runner.embed(texts[:BATCH])
        turns = [[runner.embed(texts)[1] for runner in runners] for _ in range(5)]
    finally:
        for runner in runners:
            runner.end()
    return statistics.median(two / one for one, two in turns)


def mean_ndcg(common, data, names, documents, questions):
    scores = []
    for (query, _), vector in zip(data.queries.items(), questions):
        best = sorted(((dot(vector, document), name) for name, document in zip(names, documents)), reverse=True)[:10]
        scores.append(common.ndcg([name for _, name in best], data.qrels[query]))
    return statistics.mean(scores)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=PRECISIONS, default=PRECISIONS)
    arguments = parser.parse_args()
    shared = shared_folder()
    if shared is None:
        print("skipped: the evaluation data is not there (../shared or KNAP_SHARED)")
        return
    sys.path.insert(0, str(shared / "eval"))
    import common
    data = common.load_set("scifact")
    names = list(data.docs)
    texts = ["\n".join(part for part in data.docs[name] if part) for name in names]
    settings = json.loads(subprocess.run([program(), "config", "--json"], stdout=subprocess.PIPE, check=True).stdout)
    folder = pathlib.Path(settings["models.dir"]["value"]) / MODEL
    report, original = {}, None
    with tempfile.TemporaryDirectory() as work:
        for precision in ["f32", *(p for p in arguments.only if p != "f32")]:
            runner = Runner(folder, precision, work)
            try:
                documents, speed = runner.embed(texts)
                questions, _ = runner.embed(list(data.queries.values()))
            finally:
                runner.end()
            original = original or documents
            report[precision] = {"ndcg_10": round(mean_ndcg(common, data, names, documents, questions), 4),
                                 "cosine": round(statistics.mean(map(dot, documents, original)), 5), "tokens_per_second": round(speed),
                                 "two_threads": round(two_threads(folder, precision, work, texts[:8 * BATCH]), 2)}
            print(f"{precision:10} nDCG@10 {report[precision]['ndcg_10']:.4f}   cosine {report[precision]['cosine']:.5f}   "
                  f"{speed:,.0f} tokens a second, {report[precision]['two_threads']:.2f} times one thread", flush=True)
    print(json.dumps({"machine": machine(), "model": MODEL, "documents": len(names), "precisions": report}))


if __name__ == "__main__":
    main()
