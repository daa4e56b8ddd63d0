"""Clips for the speech tests, spoken by espeak-ng and packed by ffmpeg."""
import re
import shutil
import subprocess
import wave

import pytest

SENTENCE = "The quick brown fox jumps over the lazy dog."
# Sentences that a small model hears rightly from a robot's voice, and that differ from each other.
STORY = ["The ship leaves the harbour at nine o'clock.", "My sister bought seven green apples.",
         "The old library closes early on Friday.", "Please water the flowers in the garden.",
         "We drove to the mountains in a red car.", "The teacher wrote a letter to the president.",
         "Fresh bread smells wonderful in the morning.", "The dog chased a ball across the street."]


def need_tools(*tools):
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (./script/bootstrap --tests)")


def words(text):
    return re.sub(r"[^a-z0-9 ]", " ", text.lower()).split()


def edits(wanted, got):
    """Substitutions, insertions and deletions between two lists of words."""
    row = list(range(len(got) + 1))
    for i, want in enumerate(wanted, 1):
        before, row[0] = row[0], i
        for j, have in enumerate(got, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (want != have))
    return row[-1]


def word_errors(wanted, got):
    return edits(words(wanted), words(got))


def speak(path, text=SENTENCE):
    """A WAV file of 22,050 Hz."""
    subprocess.run(["espeak-ng", "-s", "150", "-w", str(path), text], check=True, stdin=subprocess.DEVNULL)
    return path


def pack(source, target, *options):
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", "-i", str(source), *options, str(target)], check=True)
    return target


def story(folder, seconds):
    """A recording of at least so long, of sentences with silences between; its text too."""
    parts, text, length, number = [], [], 0.0, 0
    while length < seconds:
        sentence = STORY[number % len(STORY)]
        path = folder / f"part{number % len(STORY)}.wav"
        if not path.exists():
            speak(path, sentence)
        with wave.open(str(path)) as file:
            rate, frames = file.getframerate(), file.readframes(file.getnframes())
        parts.append(frames + b"\0\0" * int(rate * 0.8))
        text.append(sentence)
        length += len(parts[-1]) / 2 / rate
        number += 1
    whole = folder / "story.wav"
    with wave.open(str(whole), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(b"".join(parts))
    return whole, " ".join(text)
