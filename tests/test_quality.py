"""Ranking and answers do not get worse: floors on public judged data. Measurements of speed belong to bench/."""
import json
import subprocess
import sys

import pytest


def evaluate(shared, script, *arguments):
    done = subprocess.run([sys.executable, shared / "eval" / script, *map(str, arguments)], capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def judged(shared, servers, tmp_path, name, models):
    evaluate(shared, "search_quality.py", "vault", name, tmp_path / name)
    server = servers(vaults={name: tmp_path / name}, models=models)
    return server.wait_covered() if models else server


@pytest.mark.parametrize("name, floor, queries", [("scifact", 0.675, 300), ("xquad-de", 0.94, 400), ("xquad-zh", 0.85, 400)])
def test_keyword_ranking(shared, servers, tmp_path, name, floor, queries):
    server = judged(shared, servers, tmp_path, name, models=False)
    report = json.loads(evaluate(shared, "search_quality.py", "measure", name, "--url", server.url, "--mode", "keyword",
                                 "--queries", queries))
    assert report["ndcg@10"] >= floor, report


def test_hybrid_ranking(shared, servers, tmp_path, default_models):
    server = judged(shared, servers, tmp_path, "xquad-en", models=True)
    report = json.loads(evaluate(shared, "search_quality.py", "measure", "xquad-en", "--url", server.url, "--mode", "hybrid",
                                 "--queries", 600))
    assert report["ndcg@10"] >= 0.975, report


def test_answers(shared, servers, tmp_path, default_models):
    evaluate(shared, "answer_quality.py", "vault", tmp_path / "articles")
    server = servers(vaults={"articles": tmp_path / "articles"}, models=True).wait_covered()
    report = json.loads(evaluate(shared, "answer_quality.py", "measure", tmp_path / "articles", "--url", server.url,
                                 "--questions", 30, "--mode", "extractive"))
    assert report["answerable"]["verbatim"] == 1 and report["unanswerable"]["verbatim"] == 1
    assert report["answerable"]["unmarked"] == 0
    assert report["answerable"]["found"] >= 0.65 and report["answerable"]["cited"] >= 0.8
    assert report["unanswerable"]["refused"] >= 0.7
