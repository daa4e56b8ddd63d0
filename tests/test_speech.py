"""Recordings to text: stock clients, all formats, hostile files, long recordings over a crash."""
import base64
import json
import math
import random
import struct

import openai
import pytest

import speech_clips
from knap_server import events, run, wait_until
from speech_clips import SENTENCE, pack, speak, word_errors

SETTINGS = {"models": {"embed": "", "answer": "", "speech": "whisper-base"}, "speech": {"language": "en"}}


@pytest.fixture(scope="module")
def server(module_servers, installed_models):
    speech_clips.need_tools("espeak-ng", "ffmpeg")
    if "whisper-base" not in installed_models:
        pytest.skip("not installed: whisper-base (knap models pull --default)")
    return module_servers({"A.md": "# A\n"}, settings=SETTINGS)


@pytest.fixture(scope="module")
def clips(tmp_path_factory, server):
    folder = tmp_path_factory.mktemp("clips")
    speak(folder / "clip.wav")
    return folder


@pytest.fixture(scope="module")
def client(server):
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0, timeout=120)


def send(server, path, expect=200, **fields):
    with open(path, "rb") as file:
        return server.call("POST", "/api/voice_transcribe", expect=expect, files={"file": (path.name, file)}, data=fields,
                           timeout=120)


@pytest.fixture(scope="module")
def heard(server, clips):
    return send(server, clips / "clip.wav").json()


def test_a_short_clip_is_answered_at_once(heard):
    assert heard["state"] == "done" and heard["language"] == "en" and heard["error"] is None
    assert word_errors(SENTENCE, heard["text"]) <= 1, heard["text"]
    assert 2 < heard["heard_s"] < 6
    assert all(0 <= s["start"] <= s["end"] <= heard["heard_s"] for s in heard["segments"])


def test_nothing_of_it_is_kept(server, heard):
    server.call("GET", f"/api/voice_transcribe/{heard['id']}", expect=404)
    assert list((server.data_dir / "recordings").iterdir()) == []


def test_the_same_clip_gives_the_same_text(server, clips, heard):
    assert send(server, clips / "clip.wav").json()["text"] == heard["text"]
    speak(clips / "other.wav", "Seven green apples.")
    send(server, clips / "other.wav")
    assert send(server, clips / "clip.wav").json()["text"] == heard["text"]


def test_base64(server, clips, heard):
    audio = base64.b64encode((clips / "clip.wav").read_bytes()).decode()
    answer = server.post("/api/voice_transcribe", {"audio": audio, "language": "en", "words": True})
    assert answer["text"] == heard["text"]
    spoken = [word for segment in answer["segments"] for word in segment["words"]]
    assert " ".join(word["word"] for word in spoken) == heard["text"]
    assert all(a["start"] <= b["start"] for a, b in zip(spoken, spoken[1:]))
    server.post("/api/voice_transcribe", {"audio": "*", "language": "en"}, expect=422)
    server.post("/api/voice_transcribe", {"audio": audio, "langauge": "en"}, expect=422)
    server.post("/api/voice_transcribe", {"audio": audio, "language": "xx"}, expect=422)


FORMATS = [
    ("8k.wav", ["-ar", "8000"]), ("44k-stereo.wav", ["-ar", "44100", "-ac", "2"]), ("48k.wav", ["-ar", "48000"]),
    ("8bit.wav", ["-c:a", "pcm_u8"]), ("16bit.wav", ["-c:a", "pcm_s16le"]), ("24bit.wav", ["-c:a", "pcm_s24le"]),
    ("32bit.wav", ["-c:a", "pcm_s32le"]), ("float.wav", ["-c:a", "pcm_f32le"]), ("clip.mp3", ["-b:a", "64k"]), ("clip.m4a", []),
    ("clip.flac", []), ("vorbis.ogg", ["-c:a", "libvorbis"]), ("opus.ogg", ["-c:a", "libopus"]), ("clip.webm", ["-c:a", "libopus"])]


@pytest.mark.parametrize("name, options", FORMATS)
def test_formats(server, clips, heard, name, options):
    text = send(server, pack(clips / "clip.wav", clips / name, *options)).json()["text"]
    # A robot's voice over the telephone, or with noise from packing, is another voice: people's are in the next test.
    loses = name in ("8k.wav", "8bit.wav", "clip.mp3", "clip.m4a", "vorbis.ogg", "opus.ogg", "clip.webm")
    if not loses:
        assert text == heard["text"]
    else:
        assert text and word_errors(heard["text"], text) < len(speech_clips.words(heard["text"])), text


@pytest.mark.parametrize("clip", ["ljspeech/LJ001-0002.wav", "ljspeech/LJ001-0004.wav", "ljspeech/LJ001-0010.wav"])
def test_people_are_heard_the_same_in_all_formats(server, clips, shared, clip):
    source = shared / "data" / "speech" / clip
    if not source.is_file():
        pytest.skip("no evaluation data: name its folder with KNAP_SHARED")
    wanted = speech_clips.words(send(server, source).json()["text"])
    got = {name: speech_clips.words(send(server, pack(source, clips / name, *options)).json()["text"]) for name, options in FORMATS}
    assert got == {name: wanted for name, _ in FORMATS}


def test_the_language_is_heard_and_how_surely(servers, installed_models, shared):
    source = shared / "data" / "speech" / "ljspeech" / "LJ001-0004.wav"
    if "whisper-base" not in installed_models or not source.is_file():
        pytest.skip("not installed: whisper-base, or no evaluation data (KNAP_SHARED)")
    server = servers({"A.md": "# A\n"}, settings={**SETTINGS, "speech": {"language": ""}})
    answer = send(server, source).json()
    assert answer["language"] == "en" and 0.9 < answer["language_probability"] < 1
    assert send(server, source, language="en").json()["language_probability"] == 1


def test_the_name_of_a_file_does_not_matter(server, clips, heard):
    path = clips / "voice.txt"
    path.write_bytes((clips / "clip.wav").read_bytes())
    assert send(server, path).json()["text"] == heard["text"]


def wav_head(data_bytes):
    """Of 16 kHz, mono, 16 bits."""
    form = struct.pack("<IHHIIHH", 16, 1, 1, 16000, 32000, 2, 16)
    return b"RIFF" + struct.pack("<I", data_bytes + 36) + b"WAVEfmt " + form + b"data" + struct.pack("<I", data_bytes)


def hostile(clips):
    wav = (clips / "clip.wav").read_bytes()
    secret = clips / "clip.wav"
    yield "playlist.m3u8", f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{secret}\n#EXT-X-ENDLIST\n".encode()
    yield "list.ffconcat", f"ffconcat version 1.0\nfile '{secret}'\n".encode()
    yield "empty.wav", b""
    yield "head.wav", wav[:12]
    yield "cut.m4a", pack(clips / "clip.wav", clips / "whole.m4a").read_bytes()[:300]
    yield "boast.wav", wav_head(0x7FFFFFC0)
    yield "program.mp3", b"\x7fELF" + bytes(5000)
    yield "page.webm", b"\x1aE\xdf\xa3" + b"<html>" * 100
    yield "noise.mp3", b"\xff\xfb\x90\x64" + bytes(range(256)) * 8


def test_hostile_files_are_refused_clearly(server, clips, heard):
    for name, content in hostile(clips):
        path = clips / name
        path.write_bytes(content)
        answer = send(server, path, expect=None)
        if name in ("boast.wav", "noise.mp3") and answer.status_code == 200:
            assert answer.json()["text"] == "", name  # silence, not lies
            continue
        problem = answer.json()
        assert answer.status_code == 422 and problem["field"] == "file", (name, answer.status_code, problem)
        assert "recording" in problem["detail"] and str(clips) not in problem["detail"], (name, problem)
    assert list((server.data_dir / "recordings").iterdir()) == []
    assert send(server, clips / "clip.wav").json()["text"] == heard["text"]


def test_silence_has_no_text(server, clips):
    path = clips / "silence.wav"
    path.write_bytes(wav_head(128000) + bytes(128000))
    answer = send(server, path).json()
    assert answer["text"] == "" and answer["segments"] == [] and answer["language"] is None and answer["heard_s"] == 4


RATE = 16000


def sounds():
    """Ten seconds each of what is no speech."""
    chance = random.Random(3)
    count = 10 * RATE
    tone = [math.sin(2 * math.pi * k / RATE) for k in range(RATE)]  # one turn a second; k * f is its f-th harmonic
    yield "white noise", [chance.uniform(-.4, .4) for _ in range(count)]
    level, brown = 0.0, []
    for _ in range(count):
        level = .995 * level + chance.uniform(-.05, .05)
        brown.append(level)
    yield "brown noise", brown
    yield "hum", [.3 * tone[i * 50 % RATE] + .1 * tone[i * 150 % RATE] for i in range(count)]
    yield "clicks", [.9 if i % 8000 < 20 else 0.0 for i in range(count)]
    notes = [(262, 330, 392), (349, 440, 523), (392, 494, 587), (262, 330, 392)]

    def music(i):
        beat = i % (RATE // 2) / (RATE / 2)
        return .25 * math.exp(-3 * beat) * sum(tone[i * f % RATE] + .4 * tone[2 * i * f % RATE] for f in notes[i // RATE % 4])
    yield "music", [music(i) for i in range(count)]


def test_what_is_no_speech_has_no_text(server, clips):
    for name, samples in sounds():
        path = clips / f"{name}.wav"
        body = struct.pack(f"<{len(samples)}h", *(int(max(-1, min(1, value)) * 32000) for value in samples))
        path.write_bytes(wav_head(len(body)) + body)
        answer = send(server, path).json()
        assert answer["text"] == "" and answer["segments"] == [], (name, answer["text"])


def test_short_clips_do_not_loop(server, shared):
    folder = shared / "data" / "speech"
    short = [*folder.glob("cards/*.wav"), folder / "ljspeech" / "LJ001-0002.wav", folder / "ljspeech" / "LJ001-0008.wav"]
    if not short[-1].is_file():
        pytest.skip("no evaluation data: name its folder with KNAP_SHARED")
    for path in short:
        answer = send(server, path).json()
        said = speech_clips.words(answer["text"])
        assert 1 <= len(said) <= 4 * answer["heard_s"] and answer["segments"][-1]["end"] <= answer["heard_s"], (path.name, said)


def test_wrong_forms(server, clips):
    send(server, clips / "clip.wav", expect=422, langauge="en")
    send(server, clips / "clip.wav", expect=422, format="pdf")
    send(server, clips / "clip.wav", expect=404, model="whisper-huge")
    server.call("POST", "/api/voice_transcribe", expect=422, files={"other": ("a", b"x")})
    server.call("POST", "/api/voice_transcribe", expect=415, data=b"x", headers={"Content-Type": "audio/wav"})


def test_openai_client(client, clips, heard):
    def ask(**options):
        with open(clips / "clip.wav", "rb") as file:
            return client.audio.transcriptions.create(model="whisper-1", file=file, **options)

    assert ask().text == heard["text"]
    assert ask(response_format="text") == heard["text"] + "\n"
    srt = ask(response_format="srt")
    assert srt.startswith("1\n00:00:0") and " --> " in srt and heard["segments"][0]["text"] in srt
    assert ask(response_format="vtt").startswith("WEBVTT\n\n00:00:0")
    verbose = ask(response_format="verbose_json", timestamp_granularities=["word", "segment"], language="en")
    assert verbose.language == "en" and verbose.duration == heard["heard_s"] and verbose.text == heard["text"]
    assert [s.text for s in verbose.segments] == [s["text"] for s in heard["segments"]]
    assert [w.word for w in verbose.words] == heard["text"].split()
    assert ask(response_format="verbose_json").words is None
    with pytest.raises(openai.NotFoundError):
        with open(clips / "clip.wav", "rb") as file:
            client.audio.transcriptions.create(model="nosuchmodel", file=file)
    with pytest.raises(openai.BadRequestError) as refused:
        client.audio.transcriptions.create(model="whisper-1", file=("a.wav", b"#EXTM3U\n"))
    assert "recording" in str(refused.value)
    assert "whisper-base" in {model.id for model in client.models.list()}


def test_command_line(server, clips, heard, tmp_path):
    def transcribe(*options):
        return run("transcribe", "--url", server.url, str(clips / "clip.wav"), *options, home=tmp_path)

    assert transcribe().stdout == heard["text"] + "\n"
    assert transcribe("--format", "srt").stdout.startswith("1\n00:00:0")
    assert json.loads(transcribe("--json").stdout)["text"] == heard["text"]
    note = clips / "clip.md"
    assert transcribe("--note").stdout == f"{note}\n"
    text = note.read_text()
    assert 'recording: "[[clip.wav]]"' in text and "[[clip.wav#t=0|0:00:00]] " + heard["text"] in text
    again = transcribe("--note")
    assert again.returncode == 1 and "stays as it is" in again.stderr and note.read_text() == text
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n")
    refused = run("transcribe", "--url", server.url, str(tmp_path / "list.m3u8"), home=tmp_path)
    assert refused.returncode != 0 and "must be WAV, MP3" in refused.stderr
    assert run("transcribe", "/nonexistent.wav", home=tmp_path).returncode == 2


def test_a_long_recording_is_a_job_that_survives_a_kill(servers, installed_models, tmp_path):
    speech_clips.need_tools("espeak-ng", "ffmpeg")
    if "whisper-base" not in installed_models:
        pytest.skip("not installed: whisper-base (knap models pull --default)")
    recording, text = speech_clips.story(tmp_path, 100)
    packed = pack(recording, tmp_path / "story.mp3", "-b:a", "64k")
    server = servers({"A.md": "# A\n"}, settings=SETTINGS)
    answer = send(server, packed, expect=202)
    started = answer.json()
    assert started["state"] == "running" and answer.headers["Location"] == f"/api/voice_transcribe/{started['id']}"
    assert server.get(f"/api/jobs/{started['job']}")["kind"].startswith("transcribe-")

    def so_far():
        return server.get(f"/api/voice_transcribe/{started['id']}")

    progress = wait_until(lambda: (lambda now: now if now["done"] > 0 else None)(server.get(f"/api/jobs/{started['job']}")["progress"]),
                          60, "the first piece")
    assert progress["done"] < progress["total"] and 100 <= progress["total"] <= 110
    server.kill()
    server.start()
    done = wait_until(lambda: (lambda now: now if now["state"] == "done" else None)(so_far()), 120, lambda: f"heard; {so_far()}")
    assert 100 <= done["heard_s"] <= 110
    # Nothing is lost and nothing is heard twice.
    errors = word_errors(text, done["text"])
    assert errors <= len(speech_clips.words(text)) * 0.2, (errors, done["text"])
    starts = [segment["start"] for segment in done["segments"]]
    assert starts == sorted(starts)
    assert [file.suffix for file in (server.data_dir / "recordings").iterdir()] == [".json"]
    # The same recording again: what is known is answered at once.
    assert send(server, packed).json()["text"] == done["text"]
    server.call("DELETE", f"/api/voice_transcribe/{started['id']}", expect=204)
    server.call("GET", f"/api/voice_transcribe/{started['id']}", expect=404)


NOTES = {"Harbour.md": "# Harbour\n\nThe ship leaves the harbour at nine o'clock in the morning.\n",
         "Garden.md": "# Garden\n\nThe tomatoes are watered every evening.\n"}


@pytest.fixture(scope="module")
def asked(module_servers, installed_models, tmp_path_factory):
    """A server with notes, and a spoken question to them."""
    speech_clips.need_tools("espeak-ng")
    if "whisper-base" not in installed_models:
        pytest.skip("not installed: whisper-base (knap models pull --default)")
    path = speak(tmp_path_factory.mktemp("question") / "question.wav", "When does the ship leave the harbour?")
    return module_servers(NOTES, settings=SETTINGS), path


def test_a_spoken_question_is_answered_with_citations(asked):
    server, path = asked
    with open(path, "rb") as file:
        answer = server.call("POST", "/api/voice_ask", files={"file": file}, timeout=120).json()
    assert "ship" in answer["transcript"]["text"] and answer["transcript"]["language"] == "en"
    assert "nine" in answer["answer"] and answer["citations"][0]["path"] == "Harbour.md"


def test_a_spoken_question_streams(asked):
    server, path = asked
    with open(path, "rb") as file:
        told = list(events(server.call("POST", "/api/voice_ask", files={"file": file}, data={"stream": "true"}, stream=True, timeout=120)))
    names = [name for name, _ in told]
    assert names[:2] == ["transcript", "sources"] and names[-1] == "done"
    assert "harbo" in told[0][1]["text"] and "nine" in told[-1][1]["answer"]


def test_a_spoken_question_has_the_checks_of_a_typed_one(asked):
    server, path = asked
    for fields, blamed in (({"filter": "tag:("}, "filter"), ({"mode": "loud"}, "mode")):
        with open(path, "rb") as file:
            problem = server.call("POST", "/api/voice_ask", expect=None, files={"file": file}, data=fields, timeout=120).json()
        assert problem["status"] == 422 and problem["field"] == blamed, problem
    silence = wav_head(64000) + bytes(64000)
    problem = server.call("POST", "/api/voice_ask", expect=422, files={"file": ("a.wav", silence)}, timeout=120).json()
    assert "nobody speaks" in problem["detail"]
    long = wav_head(40 * 32000) + bytes(40 * 32000)
    assert "30 seconds" in server.call("POST", "/api/voice_ask", expect=422, files={"file": ("a.wav", long)}).json()["detail"]


def test_asking_by_voice_from_the_command_line(asked, tmp_path):
    server, path = asked
    ran = run("ask", "--url", server.url, "--voice", str(path), "--language", "en", home=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "harbo" in ran.stdout.splitlines()[0].lower() and "Harbour.md" in ran.stdout
    assert run("ask", "--voice", str(path), "and a question too", home=tmp_path).returncode == 2
    assert run("ask", home=tmp_path).returncode == 2


def test_without_a_model_it_says_what_to_do(servers, tmp_path):
    server = servers({"A.md": "# A\n"})
    answer = server.call("POST", "/api/voice_transcribe", expect=409, files={"file": ("a.wav", b"RIFF")})
    assert "models.speech" in answer.json()["detail"]
