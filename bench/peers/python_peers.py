"""Search libraries of Python's package index, each driven as its own documentation says.

    python_peers.py NAME DOCUMENTS QUESTIONS K

DOCUMENTS: JSON lines {"id", "title", "text", "vectors": [[...], ...]}; QUESTIONS: {"id", "text", "vector"}; vectors only for
those that take them. Prints one JSON object: seconds to index, milliseconds of each question, the documents found, memory.
"""
import gc
import json
import logging
import os
import pathlib
import re
import sqlite3
import sys
import tempfile
import time

WORD = re.compile(r"\w+", re.UNICODE)


def tantivy(documents, _folder):
    import tantivy as library
    builder = library.SchemaBuilder()
    builder.add_text_field("title", stored=False, tokenizer_name="en_stem")
    builder.add_text_field("text", stored=False, tokenizer_name="en_stem")
    builder.add_unsigned_field("number", stored=True)
    index = library.Index(builder.build())
    writer = index.writer(heap_size=256 << 20, num_threads=1)
    for number, document in enumerate(documents):
        writer.add_document(library.Document(title=document["title"], text=document["text"], number=number))
    writer.commit()
    writer.wait_merging_threads()
    index.reload()
    searcher = index.searcher()

    def search(question, k):
        query = index.parse_query(" ".join(WORD.findall(question["text"].lower())), ["title", "text"])
        return [documents[searcher.doc(address)["number"][0]]["id"] for _, address in searcher.search(query, k).hits]
    return search


def bm25s(documents, _folder):
    import bm25s as library
    import Stemmer
    stemmer = Stemmer.Stemmer("english")
    tokens = library.tokenize([d["title"] + "\n" + d["text"] for d in documents], stopwords="en", stemmer=stemmer, show_progress=False)
    index = library.BM25()
    index.index(tokens, show_progress=False)

    def search(question, k):
        asked = library.tokenize(question["text"], stopwords="en", stemmer=stemmer, show_progress=False, return_ids=False)
        found, scores = index.retrieve(asked, k=min(k, len(documents)), show_progress=False)
        return [documents[i]["id"] for i, score in zip(found[0], scores[0]) if score > 0]
    return search


def fts5(documents, folder):
    database = sqlite3.connect(folder / "fts.db")
    database.execute("CREATE VIRTUAL TABLE notes USING fts5(title, text, tokenize='porter unicode61 remove_diacritics 2')")
    with database:
        database.executemany("INSERT INTO notes(rowid, title, text) VALUES (?, ?, ?)",
                             ((i, d["title"], d["text"]) for i, d in enumerate(documents)))
        database.execute("INSERT INTO notes(notes) VALUES ('optimize')")

    def search(question, k):
        words = " OR ".join(f'"{word}"' for word in WORD.findall(question["text"]))
        rows = database.execute("SELECT rowid FROM notes WHERE notes MATCH ? ORDER BY bm25(notes) LIMIT ?", (words, k))
        return [documents[row[0]]["id"] for row in rows]
    return search


def markdown_vault_mcp(documents, folder, asked=lambda text: text):
    """A whole program, which reads the notes itself: PEERS_NOTES. Notes whose properties are no YAML it leaves out."""
    from markdown_vault_mcp.config_sections.vault_settings import VaultSettings
    from markdown_vault_mcp.vault import Vault
    logging.disable(logging.CRITICAL)
    vault = Vault(source_dir=pathlib.Path(os.environ["PEERS_NOTES"]), settings=VaultSettings(index_path=folder / "index.db"))
    vault.index.build_index()
    ids = {d["id"] if d["id"].endswith(".md") else d["id"] + ".md": d["id"] for d in documents}

    def search(question, k):
        return [ids[group.path] for group in vault.reader.search(asked(question["text"]), limit=k, mode="keyword")]
    return search


def markdown_vault_mcp_any(documents, folder):
    """The same with its operator OR between the words, as SQLite FTS5 gets them above: it wants all words otherwise."""
    return markdown_vault_mcp(documents, folder, lambda text: " OR ".join(f'"{word}"' for word in WORD.findall(text)))


def best_documents(owners, found, k):
    """The first k documents of the passages found, each once."""
    ranked = []
    for passage in found:
        if passage >= 0 and owners[passage] not in ranked:
            ranked.append(owners[passage])
    return ranked[:k]


def passages(documents):
    import numpy
    owners = [d["id"] for d in documents for _ in d["vectors"]]
    return owners, numpy.array([v for d in documents for v in d["vectors"]], dtype="float32")


def vector_search(owners, find):
    import numpy

    def search(question, k):
        return best_documents(owners, find(numpy.array([question["vector"]], dtype="float32"), 3 * k), k)
    return search


def faiss_flat(documents, _folder):
    import faiss
    faiss.omp_set_num_threads(1)
    owners, vectors = passages(documents)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    return vector_search(owners, lambda query, k: index.search(query, k)[1][0].tolist())


def faiss_hnsw(documents, _folder):
    import faiss
    faiss.omp_set_num_threads(1)
    owners, vectors = passages(documents)
    index = faiss.IndexHNSWFlat(vectors.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction, index.hnsw.efSearch = 200, 128
    index.add(vectors)
    return vector_search(owners, lambda query, k: index.search(query, k)[1][0].tolist())


def hnswlib(documents, _folder):
    import hnswlib as library
    owners, vectors = passages(documents)
    index = library.Index(space="ip", dim=vectors.shape[1])
    index.init_index(max_elements=len(vectors), ef_construction=200, M=32)
    index.set_num_threads(1)
    index.add_items(vectors)
    index.set_ef(128)
    return vector_search(owners, lambda query, k: index.knn_query(query, k)[0][0].tolist())


def usearch(documents, _folder):
    from usearch.index import Index
    owners, vectors = passages(documents)
    index = Index(ndim=vectors.shape[1], metric="ip", dtype="i8", connectivity=32, expansion_add=200, expansion_search=128)
    import numpy
    index.add(numpy.arange(len(vectors)), vectors, threads=1)
    return vector_search(owners, lambda query, k: index.search(query[0], k, threads=1).keys.tolist())


def lancedb(documents, folder):
    import lancedb as library
    rows = [{"note": d["id"], "text": d["title"] + "\n" + d["text"], "vector": vector} for d in documents for vector in d["vectors"]]
    table = library.connect(folder / "lance").create_table("passages", rows)

    def search(question, k):
        found = table.search(question["vector"]).metric("cosine").limit(3 * k).select(["note"]).to_list()
        return list(dict.fromkeys(row["note"] for row in found))[:k]
    return search


def chroma(documents, folder):
    import chromadb
    collection = chromadb.PersistentClient(str(folder / "chroma")).create_collection("passages", metadata={"hnsw:space": "cosine"})
    owners, vectors = passages(documents)
    for begin in range(0, len(owners), 2000):
        collection.add(ids=[str(i) for i in range(begin, min(begin + 2000, len(owners)))], embeddings=vectors[begin:begin + 2000])

    def search(question, k):
        found = collection.query(query_embeddings=[question["vector"]], n_results=min(3 * k, len(owners)), include=[])
        return best_documents(owners, [int(i) for i in found["ids"][0]], k)
    return search


PEERS = {f.__name__: f for f in (tantivy, bm25s, fts5, faiss_flat, faiss_hnsw, hnswlib, usearch, lancedb, chroma, markdown_vault_mcp,
                                markdown_vault_mcp_any)}


def resident_mb():
    gc.collect()
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path("/proc/self/status").read_text())[1]) / 1024


def main():
    name, documents, questions, k = sys.argv[1:5]
    documents = [json.loads(line) for line in open(documents, encoding="utf-8")]
    questions = [json.loads(line) for line in open(questions, encoding="utf-8")]
    before = resident_mb()
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        search = PEERS[name](documents, pathlib.Path(folder))
        indexed = time.perf_counter()
        search(questions[0], int(k))
        first = time.perf_counter()
        ranks, times = {}, []
        for question in questions:
            start = time.perf_counter()
            ranks[question["id"]] = search(question, int(k))
            times.append((time.perf_counter() - start) * 1000)
        print(json.dumps({"index_s": indexed - begin, "first_ms": (first - indexed) * 1000, "times_ms": times, "ranks": ranks,
                          "memory_mb": resident_mb() - before}))


if __name__ == "__main__":
    main()
