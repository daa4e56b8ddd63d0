"""Recordings in a vault: heard in the background, found and cited with their time, once."""
import csv
import io
import subprocess
import wave

import openai
import pytest

import speech_clips
from knap_server import run, wait_until

OFF = {"models": {"embed": "", "answer": "", "speech": "whisper-base"}, "speech": {"language": "en"}}
ON = {**OFF, "index": {"audio": True}}


def clip_rows(shared):
    folder = shared / "data" / "speech"
    if not folder.is_dir():
        pytest.skip("no evaluation data: name its folder with KNAP_SHARED")
    with open(folder / "manifest.tsv", encoding="utf-8") as file:
        return {row["file"]: (folder / row["file"]).read_bytes() for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)}


def joined(folder, first, second, silence_s):
    """Two WAV files with silence between, as one of 16 kHz; where the second begins too."""
    frames = []
    for name, data in (("a", first), ("b", second)):
        (folder / name).write_bytes(data)
        frames.append(subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-i", folder / name, "-ac", "1", "-ar", "16000", "-f", "s16le", "-"],
                                     check=True, capture_output=True).stdout)
    path = folder / "joined.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(frames[0] + bytes(32000 * silence_s) + frames[1])
    return path, len(frames[0]) / 32000 + silence_s


def heard(server):
    """How many recordings were heard since the start."""
    return server.metrics().get('knap_documents_read_total{kind="audio"}', 0)


def silence():
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(bytes(64000))
    return out.getvalue()


@pytest.fixture(scope="module")
def talk(tmp_path_factory, shared, installed_models):
    speech_clips.need_tools("ffmpeg")
    if "whisper-base" not in installed_models:
        pytest.skip("not installed: whisper-base (knap models pull --default)")
    rows = clip_rows(shared)
    folder = tmp_path_factory.mktemp("talk")
    path, begin = joined(folder, rows["ljspeech/LJ001-0001.wav"], rows["ljspeech/LJ001-0007.wav"], 12)
    packed = speech_clips.pack(path, folder / "talk.m4a", "-b:a", "96k")
    notes = {"Meeting.md": "# Meeting\n\nWhat was said: ![[talk.m4a]]\n", "rec/talk.m4a": packed.read_bytes(),
             "rec/short.wav": rows["ljspeech/LJ001-0008.wav"], "rec/copy.wav": rows["ljspeech/LJ001-0008.wav"],
             "rec/silence.wav": silence(), "rec/list.mp3": b"#EXTM3U\nhttp://127.0.0.1/x\n", "rec/cut.flac": b"fLaC" + bytes(40)}
    return notes, begin


@pytest.fixture(scope="module")
def server(module_servers, talk):
    return module_servers(talk[0], settings=ON, start=False).start(60).wait_settled(120)


def state(server, path):
    row = next(row for row in server.files() if row["path"] == path)
    return row["state"], row["reason"]


def test_what_is_said_is_found_and_cited_with_its_time(server, talk):
    hit = server.search("movable types", filter="type:audio", mode="keyword")["results"][0]
    assert hit["path"] == "rec/talk.m4a"
    assert abs(hit["time_s"] - talk[1]) <= 2
    assert hit["uri"].endswith(f"%23t%3D{hit['time_s']}")
    first = server.search("only sense with which we are concerned", filter="type:audio", mode="keyword")["results"][0]
    assert first["path"] == "rec/talk.m4a" and first.get("time_s", 0) <= 1
    citation = server.ask("What is the earliest book printed with movable types?", mode="extractive")["citations"][0]
    assert citation["path"] == "rec/talk.m4a" and citation["time_s"] == hit["time_s"] and "movable" in citation["quote"]


def test_the_command_line_names_the_second(server, tmp_path):
    told = run("search", "--url", server.url, "movable types", home=tmp_path).stdout
    assert f"rec/talk.m4a#t={server.search('movable types', filter='type:audio')['results'][0]['time_s']}" in told


def test_stock_clients_are_told_the_time(server):
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0, timeout=60)
    answer = client.chat.completions.create(model="knap", messages=[{"role": "user", "content": "What is the earliest book printed with movable types?"}])
    assert ", at 0:2" in answer.choices[0].message.content


def test_the_ledger_says_what_became_of_each(server):
    assert state(server, "rec/talk.m4a")[0] == "indexed" == state(server, "rec/short.wav")[0]
    assert state(server, "rec/silence.wav") == ("skipped", "nobody speaks in it")
    assert state(server, "rec/list.mp3")[0] == "skipped" and "must be WAV" in state(server, "rec/list.mp3")[1]
    assert state(server, "rec/cut.flac")[0] == "failed"
    files = server.status()["files"]
    assert files["total"] == 7 == files["indexed"] + files["skipped"] + files["failed"]


def test_a_copy_is_heard_once_and_a_second_start_hears_nothing(server):
    assert server.paths("surpassed", filter="type:audio", mode="keyword") and state(server, "rec/copy.wav")[0] == "indexed"
    assert heard(server) == 2
    server.stop()
    server.start(60).wait_settled(60)
    assert heard(server) == 0
    assert server.paths("movable", filter="type:audio", mode="keyword") == ["rec/talk.m4a"]


def test_nothing_is_written_into_the_vault(server, talk):
    vault = next(iter(server.vaults.values()))
    kept = {str(p.relative_to(vault)): p.read_bytes() for p in vault.rglob("*") if p.is_file()}
    assert kept == {path: data.encode() if isinstance(data, str) else data for path, data in talk[0].items()}


def test_the_note_that_embeds_it_is_linked(server):
    assert [b["path"] for b in server.get("/api/notes/rec/talk.m4a/links")["backlinks"]] == ["Meeting.md"]


def test_off_names_the_setting_and_on_hears_them(servers, shared, installed_models):
    if "whisper-base" not in installed_models:
        pytest.skip("not installed: whisper-base (knap models pull --default)")
    clip = clip_rows(shared)["ljspeech/LJ001-0008.wav"]
    server = servers({"A.md": "# A\n", "memo.wav": clip}, settings=OFF).wait_settled(30)
    assert state(server, "memo.wav") == ("skipped", "not heard: set index.audio to true")
    assert server.paths("memo") == ["memo.wav"]
    server.stop()
    server.config.write_text(server.config.read_text().replace("models:", "index: {audio: true}\nmodels:"))
    server.start(60).wait_settled(60)
    wait_until(lambda: state(server, "memo.wav")[0] == "indexed", 60, "heard")
    assert server.paths("surpassed", mode="keyword") == ["memo.wav"]


def test_killed_while_hearing_it_goes_on(servers, shared, installed_models, tmp_path):
    speech_clips.need_tools("ffmpeg")
    if "whisper-base" not in installed_models:
        pytest.skip("not installed: whisper-base (knap models pull --default)")
    rows = clip_rows(shared)
    names = [name for name in rows if name.startswith("ljspeech")]
    parts = []
    for name in names:
        (tmp_path / "part").write_bytes(rows[name])
        parts.append(subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-i", tmp_path / "part", "-ac", "1", "-ar", "16000", "-f", "s16le", "-"],
                                    check=True, capture_output=True).stdout + bytes(32000))
    path = tmp_path / "long.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(b"".join(parts))
    server = servers({"A.md": "# A\n", "long.wav": path.read_bytes()}, settings=ON, start=False).start(60)
    recordings = server.data_dir / "recordings"
    wait_until(lambda: list(recordings.glob("*.json")), 60, "the first piece")
    assert server.metric("knap_speech_heard_ms_total") > 0
    server.kill()
    server.start(60).wait_settled(120)
    assert state(server, "long.wav")[0] == "indexed"
    # What was heard before is not heard again.
    assert server.metric("knap_speech_heard_ms_total") < len(b"".join(parts)) / 32 - 5_000
    for words in ("only sense with which we are at present", "calligraphy to perfection"):
        assert server.paths(words, filter="type:audio", mode="keyword") == ["long.wav"]
    assert list(recordings.iterdir()) == []
