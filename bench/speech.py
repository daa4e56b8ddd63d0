#!/usr/bin/env python3
"""Speech beside whisper-cli of the same source: word error rate and time of each clip, taking turns in one run.

    speech.py                                  whisper-base and whisper-tiny.en, 26 clips
    speech.py --model whisper-base             one of them
    speech.py --ggml FILE                      what whisper-cli reads; default: the very file that Knap reads
    speech.py --only hour                      some of: clips, hour

`clips`: every clip of the evaluation data is heard by Knap over HTTP, decoding and all, and by whisper-cli with its defaults
(beam search, as many threads, no voice detection), whose time is its own total without the loading of the model. Each clip is
heard twice, the second time after another clip: the text must be the same. Clips of 4.5 to 6 s, heard six times, give the
percentiles. The goal for errors is one for whisper-base.
`hour`: the clips joined with silences to an hour, as MP3: real-time factor, memory of server and runner while it is heard,
words lost.

whisper-cli is built into ~/.cache/knap/peers from the package that script/bootstrap fetched. Prints a table, and as the last
line one JSON object. --strict: exit code 1 when a goal is missed. Figures count only on an idle machine.
"""
import argparse
import csv
import json
import pathlib
import random
import re
import subprocess
import sys
import tarfile
import tempfile
import time
import wave

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests"))
from knap_server import Server, program, shared_folder  # noqa: E402
from latency import machine, percentiles  # noqa: E402
from speech_clips import edits  # noqa: E402
from peers import CACHE  # noqa: E402

MODELS = ["whisper-base", "whisper-tiny.en"]
P95_GOALS_MS = {"whisper-base": 600, "whisper-tiny.en": 300}
NUMBERS = {"15th": "fifteenth", "42": "forty two", "1455": "fourteen fifty five", "10": "ten", "4": "four", "7": "seven", "5": "five", "8": "eight"}


def whisper_cli():
    """The program, built when it is not there yet: minutes, once."""
    target = CACHE / "peers" / "whisper-cli-1.8.5"
    if not target.exists():
        print("building whisper-cli (minutes)", file=sys.stderr)
        package = next((CACHE / "downloads").glob("pywhispercpp-*.tar.gz"))
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            with tarfile.open(package) as archive:
                archive.extractall(folder, filter="data")
            source = next(pathlib.Path(folder).glob("pywhispercpp-*")) / "whisper.cpp"
            build = pathlib.Path(folder) / "build"
            subprocess.run(["cmake", "-S", source, "-B", build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", "-DBUILD_SHARED_LIBS=OFF",
                            "-DGGML_OPENMP=OFF", "-DWHISPER_BUILD_TESTS=OFF", "-DWHISPER_BUILD_SERVER=OFF"], check=True, stdout=subprocess.DEVNULL)
            subprocess.run(["cmake", "--build", build, "--target", "whisper-cli"], check=True, stdout=subprocess.DEVNULL)
            target.parent.mkdir(parents=True, exist_ok=True)
            (build / "bin" / "whisper-cli").rename(target)
    return target


def words(text):
    """As Whisper's own evaluation does: no case, no punctuation, numbers and titles in words."""
    text = re.sub(r"[^a-z0-9' ]", " ", text.lower().replace("mr.", "mister").replace("-", " ")).replace("'", "")
    return " ".join(NUMBERS.get(word, word) for word in text.split()).split()


def clips(data):
    with open(data / "manifest.tsv", encoding="utf-8") as file:
        return [{"path": data / row["file"], "seconds": float(row["seconds"]), "text": row["transcript"]}
                for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]


def hear(server, path):
    started = time.perf_counter()
    with open(path, "rb") as file:
        answer = server.call("POST", "/api/voice_transcribe", files={"file": (path.name, file)}, data={"language": "en"})
    return answer.json()["text"], (time.perf_counter() - started) * 1000


def hear_by_cli(cli, model, path):
    ran = subprocess.run([cli, "-m", model, "-l", "en", "-f", path], capture_output=True, text=True, check=True)
    times = {name: float(ms) for name, ms in re.findall(r"(load|total) time =\s+([\d.]+) ms", ran.stderr)}
    return re.sub(r"\[[\d:.]+ --> [\d:.]+\]", " ", ran.stdout), times["total"] - times["load"]


def start(folder, model):
    notes = pathlib.Path(folder) / "notes"
    notes.mkdir(exist_ok=True)
    server = Server(pathlib.Path(folder) / f"server-{model}", {"notes": notes},
                    {"models": {"embed": "", "answer": "", "speech": model}, "speech": {"language": "en"}})
    return server.start()


def bench_clips(server, model, ggml, data):
    cli, all_clips, order = whisper_cli(), clips(data), random.Random(1)
    hear(server, all_clips[0]["path"])  # loads the model
    ours, theirs, times, their_times, wanted, same = 0, 0, {}, {}, 0, True
    texts = {}
    for clip in order.sample(all_clips, len(all_clips)):
        text, ms = hear(server, clip["path"])
        their_text, their_ms = hear_by_cli(cli, ggml, clip["path"])
        texts[clip["path"]] = text
        want = words(clip["text"])
        wanted += len(want)
        ours += edits(want, words(text))
        theirs += edits(want, words(their_text))
        times[clip["path"]], their_times[clip["path"]] = [ms], [their_ms]
    for clip in order.sample(all_clips, len(all_clips)):  # in another order
        text, ms = hear(server, clip["path"])
        same = same and text == texts[clip["path"]]
        times[clip["path"]].append(ms)
    five = [clip["path"] for clip in all_clips if 4.5 <= clip["seconds"] <= 6]
    for path in [path for _ in range(4) for path in order.sample(five, len(five))]:
        text, ms = hear(server, path)
        same = same and text == texts[path]
        times[path].append(ms)
    our_five = percentiles([ms for path in five for ms in times[path]])
    their_five = percentiles([ms for path in five for ms in their_times[path]])
    return {"model": model, "clips": len(all_clips), "words": wanted, "wer": 100 * ours / wanted, "wer_cli": 100 * theirs / wanted,
            "five_s_clips": len(five), "ms": our_five, "ms_cli": their_five, "same_again": same,
            "faster": their_five["p50"] / our_five["p50"]}


def memory_mb(server):
    """Of the server and all its children."""
    total = 0
    for pid in [server.process.pid, *server.children()]:
        try:
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
            total += int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024
        except (OSError, TypeError):
            pass
    return total


def make_hour(data, folder, seconds):
    joined, text, length, number = [], [], 0.0, 0
    all_clips = clips(data)
    while length < seconds:
        clip = all_clips[number % len(all_clips)]
        raw = subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-i", clip["path"], "-ac", "1", "-ar", "16000", "-f", "s16le", "-"],
                             check=True, capture_output=True).stdout
        joined.append(raw + bytes(32000 * (1 + number % 3)))
        length += len(joined[-1]) / 32000
        text += words(clip["text"])
        number += 1
    wav = pathlib.Path(folder) / "hour.wav"
    with wave.open(str(wav), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(b"".join(joined))
    target = wav.with_suffix(".mp3")
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", "-i", wav, "-b:a", "48k", target], check=True)
    wav.unlink()
    return target, text, length


def bench_hour(server, model, data, folder, seconds, kill):
    path, text, length = make_hour(data, folder, seconds)
    started = time.perf_counter()
    with open(path, "rb") as file:
        begun = server.call("POST", "/api/voice_transcribe", expect=202, files={"file": (path.name, file)}, data={"language": "en"}).json()
    memory, killed = [], not kill
    while True:
        now = server.get(f"/api/voice_transcribe/{begun['id']}")
        memory.append((now["heard_s"], memory_mb(server)))
        if now["state"] == "done":
            break
        if now["state"] == "failed":
            raise SystemExit(f"the hour failed: {now['error']}")
        if not killed and now["heard_s"] > length / 2:
            server.kill()
            server.start()
            killed = True
        time.sleep(0.5)
    took = time.perf_counter() - started
    first = max(mb for heard, mb in memory if heard < length * 0.2)
    last = max(mb for heard, mb in memory if heard > length * 0.8)
    heard = words(now["text"])
    return {"model": model, "seconds": length, "took_s": took, "real_time_factor": took / length, "memory_first_fifth_mb": first,
            "memory_last_fifth_mb": last, "words": len(text), "words_heard": len(heard), "killed_half_way": kill}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append")
    parser.add_argument("--ggml", type=pathlib.Path)
    parser.add_argument("--only", nargs="*", default=["clips", "hour"])
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--no-kill", action="store_true", help="let the hour be heard without a break")
    parser.add_argument("--strict", action="store_true")
    arguments = parser.parse_args()
    shared = shared_folder()
    if shared is None or not (shared / "data" / "speech").is_dir():
        print("the evaluation data is absent: name its folder with KNAP_SHARED")
        return 0
    data = shared / "data" / "speech"
    settings = subprocess.run([str(program()), "config", "--json"], capture_output=True, text=True, check=True).stdout
    models_dir = pathlib.Path(json.loads(settings)["models.dir"]["value"])
    report, missed = {"machine": machine(), "clips": [], "hour": []}, []
    with tempfile.TemporaryDirectory() as folder:
        for model in arguments.model or MODELS:
            server = start(folder, model)
            try:
                if "clips" in arguments.only:
                    got = bench_clips(server, model, arguments.ggml or models_dir / model / "model.bin", data)
                    report["clips"].append(got)
                    print(f"{model}: WER {got['wer']:.2f} % (whisper-cli {got['wer_cli']:.2f} %), 5 s clips p50 {got['ms']['p50']:.0f} "
                          f"p95 {got['ms']['p95']:.0f} ms (whisper-cli {got['ms_cli']['p50']:.0f}), {got['faster']:.1f} times as fast, "
                          f"same text again: {got['same_again']}")
                    wrong = model == "whisper-base" and (got["wer"] > 5 or got["wer"] > got["wer_cli"] + 0.5)
                    if wrong or not got["same_again"]:
                        missed.append(f"{model}: quality")
                    if got["ms"]["p95"] > P95_GOALS_MS.get(model, 1e9) or got["faster"] < 2.5:
                        missed.append(f"{model}: speed")
                if "hour" in arguments.only:
                    got = bench_hour(server, model, data, folder, arguments.seconds, not arguments.no_kill)
                    report["hour"].append(got)
                    print(f"{model}: {got['seconds']:.0f} s of speech in {got['took_s']:.0f} s, real-time factor {got['real_time_factor']:.3f}, "
                          f"memory {got['memory_first_fifth_mb']:.0f} MB in the first fifth, {got['memory_last_fifth_mb']:.0f} in the last, "
                          f"{got['words_heard']} words of {got['words']}")
                    if got["real_time_factor"] > 0.3 or got["memory_last_fifth_mb"] > got["memory_first_fifth_mb"] * 1.1 + 20:
                        missed.append(f"{model}: the hour")
            finally:
                server.kill()
    for goal in missed:
        print(f"missed: {goal}")
    print(json.dumps(report))
    return 1 if missed and arguments.strict else 0


if __name__ == "__main__":
    sys.exit(main())
