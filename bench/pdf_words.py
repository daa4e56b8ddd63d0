#!/usr/bin/env python3
"""How much of the words of real PDFs comes out, and in which words: against reference texts.

    bench/pdf_words.py [--files FOLDER] [--print PROGRAM]

FOLDER (default: formats/pdf of the evaluation data) holds PDFs, poppler_text.tar.xz with a text for each that has any,
and one ground truth. A word is a run of letters and digits, case-folded in NFKC. For each file: the share of the
reference's words that came out (recall), the share of what came out that the reference has (precision), and their
harmonic mean. Marks (accents, vowels) are left out. The reference holds page numbers, running heads and words divided at line ends, all of which are left out
or put together on purpose; divided words are put together in the reference too before it is compared. Outliers:
GeoTopo's running heads are left out, and the indices of its formulas are joined with other neighbours.
Ends with 1 when the mean of the recall is below .97, or when a file without reference has text.
"""
import argparse
import collections
import pathlib
import re
import subprocess
import sys
import tarfile
import unicodedata

ROOT = pathlib.Path(__file__).resolve().parent.parent
RECALL_MIN = .97
NO_OUTLIER = .97


def shared_folder():
    import os
    return pathlib.Path(os.environ.get("KNAP_SHARED", ROOT.parent / "shared"))


def words(text):
    text = unicodedata.normalize("NFKC", text).replace("\u00ad\n", "").replace("\u00ad", "")
    text = "".join(c for c in text if unicodedata.category(c) != "Mn")
    text = re.sub(r"(\w)[-\u2010]\n\s*([a-zäöü])", r"\1\2", text)
    return collections.Counter(as_read(word) for word in re.findall(r"[^\W_]+", text.casefold()))


def as_read(word):
    """The reference writes words of right-to-left scripts from the left, as they stand on the page."""
    return min(word, word[::-1]) if unicodedata.bidirectional(word[0]) in ("R", "AL") else word


def references(folder):
    """Reference texts by the PDF's name without extension."""
    texts = {}
    with tarfile.open(folder / "poppler_text.tar.xz") as archive:
        for member in archive:
            if member.isfile():
                texts[pathlib.Path(member.name).stem] = archive.extractfile(member).read().decode("utf-8", "replace")
    return texts


def extracted(program, file):
    """(text, error) of one file."""
    printed = subprocess.run([program, file], capture_output=True, text=True, check=True).stdout
    blocks = [line.split("\t", 2) for line in printed.splitlines()]
    errors = [block[2] for block in blocks if block[0] == "error"]
    return "\n".join(block[2] for block in blocks if block[0].isdigit()), errors[0] if errors else None


def compare(reference, text):
    wanted, got = words(reference), words(text)
    common = sum((wanted & got).values())
    recall = common / max(1, sum(wanted.values()))
    precision = common / max(1, sum(got.values()))
    return recall, precision, 2 * recall * precision / max(1e-9, recall + precision)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=pathlib.Path, default=shared_folder() / "data" / "formats" / "pdf")
    parser.add_argument("--print", dest="program", default=ROOT / "build/release/src/extract/knap_extract_print")
    options = parser.parse_args()
    texts = references(options.files)
    rows, wrong = [], []
    for file in sorted(options.files.glob("*.pdf")):
        text, error = extracted(options.program, file)
        if file.stem not in texts:
            print(f"{file.stem:38} no reference: {error or f'{len(text)} characters'}")
            if error is None:
                wrong.append(file.stem)
            continue
        rows.append((file.stem, *compare(texts[file.stem], text)))
    for name, recall, precision, both in rows:
        print(f"{name:38} recall {recall:.3f} precision {precision:.3f} F1 {both:.3f}"
              f"{'' if recall >= NO_OUTLIER else '  <- outlier'}")
    truth = options.files / "GeoTopo.groundtruth.txt"
    if truth.exists():
        text, _ = extracted(options.program, options.files / "GeoTopo-komprimiert.pdf")
        print("GeoTopo against its ground truth       recall {:.3f} precision {:.3f} F1 {:.3f}".format(
            *compare(truth.read_text(encoding="utf-8"), text)))
    mean = [sum(row[i] for row in rows) / len(rows) for i in (1, 2, 3)]
    print(f"mean of {len(rows)} files: recall {mean[0]:.4f} precision {mean[1]:.4f} F1 {mean[2]:.4f}")
    return 1 if wrong or mean[0] < RECALL_MIN else 0


if __name__ == "__main__":
    sys.exit(main())
