#!/usr/bin/env python3
"""The manual's tables of what models do on this machine and what fewer bits cost, made by the commands that a user has.

    levels.py                                                      print the tables
    levels.py --markdown "docs/Measuring models.md" --plot docs/levels.svg    what the manual shows
    levels.py --only speech encoder                                some of: bench, language, encoder, speech

`bench`: `knap models bench` on every installed model, speech models on the evaluation data's clips. `language`: `knap models
quantize` on SmolLM2 135M, re-quantised, judged on the manual's Decisions. `encoder`: MiniLM from its 32-bit weights, judged on
the manual's Models and on SciFact's test questions (--documents of its abstracts, the judged ones first). `speech`: Whisper base
from its 16-bit weights, judged on the clips. Figures count only on an idle machine: the load at the start is printed.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests"))
from knap_server import ROOT, clean_environment, program, shared_folder  # noqa: E402
from latency import machine  # noqa: E402
from plots.bars import OWN, bars_svg  # noqa: E402

LANGUAGE, ENCODER, SPEECH = "smollm2-135m-instruct", "all-minilm-l6-v2", "whisper-base"
LOSSES = {"language": ("perplexity", "perplexity", "{:.2f}"), "encoder": ("ndcg_10", "nDCG@10", "{:.3f}"),
          "speech": ("word_error_rate", "word error rate", "{:.2%}")}


def knap(*arguments):
    """A command's answer in JSON."""
    print("knap", *arguments, file=sys.stderr)
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run([program(), *map(str, arguments), "--json"], capture_output=True, text=True, env=clean_environment(home), cwd=home)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)


def judged(shared, work):
    """SciFact in BEIR's form: the test questions alone."""
    source, folder = shared / "data" / "ir" / "scifact", work / "scifact"
    (folder / "qrels").mkdir(parents=True)
    subprocess.run(["zstd", "-q", "-d", source / "corpus.jsonl.zst", "-o", folder / "corpus.jsonl"], check=True)
    for name in ("queries.jsonl", "qrels/test.tsv"):
        (folder / name).write_bytes((source / name).read_bytes())
    return folder


def cell(value, form):
    return form.format(value) if value else "-"


def rows(heads, lines):
    return "\n".join("| " + " | ".join(line) + " |" for line in [heads, ["---"] * len(heads), *lines])


def bench_table(models):
    heads = ["Model", "Role", "MB", "Load ms", "Read tokens/s", "Write tokens/s", "Query ms", "Times real time", "Word error rate", "Memory MB", "Reckoned MB"]
    return rows(heads, [[m["name"], m["role"], f'{m["bytes"] / 1e6:.0f}', f'{m["load_ms"]:.0f}', cell(m["read_tokens_per_second"], "{:.0f}"),
                         cell(m["write_tokens_per_second"], "{:.1f}"), cell(m["query_ms"], "{:.1f}"), cell(m["times_real_time"], "{:.1f}"),
                         f'{m["word_error_rate"]:.2%}' if m["role"] == "speech" else "-", f'{m["resident_bytes"] / 1e6:.0f}',
                         f'{m["expected_bytes"] / 1e6:.0f}'] for m in models])


def level_table(kind, report):
    columns = {"language": [("Read tokens/s", "read_tokens_per_second", "{:.0f}"), ("Write tokens/s", "write_tokens_per_second", "{:.1f}"),
                            ("Perplexity", "perplexity", "{:.2f}"), ("Agreement", "agreement", "{:.1%}")],
               "encoder": [("Tokens/s", "read_tokens_per_second", "{:.0f}"), ("Cosine", "cosine", "{:.4f}"), ("nDCG@10", "ndcg_10", "{:.3f}")],
               "speech": [("Times real time", "times_real_time", "{:.1f}"), ("Word error rate", "word_error_rate", "{:.2%}")]}[kind]
    heads = ["Level", "MB", "Load ms", "Memory MB", *(name for name, _, _ in columns)]
    return rows(heads, [[row["level"], f'{row["bytes"] / 1e6:.0f}', f'{row["load_ms"]:.0f}', f'{row["resident_bytes"] / 1e6:.0f}',
                         *(form.format(row[key]) for _, key, form in columns)] for row in report["levels"]])


def plot(reports):
    """Bytes of each level as bars, what is lost beside them."""
    groups = []
    for kind, (report, name) in reports.items():
        key, loss, form = LOSSES[kind]
        largest = max(row["bytes"] for row in report["levels"])
        groups.append((f"{name}: size of each level, and its {loss}",
                       [(row["level"], row["bytes"] / largest * 330, f'{row["bytes"] / 1e6:.0f} MB, {form.format(row[key])}', OWN)
                        for row in report["levels"]]))
    return bars_svg(groups, 130)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=["bench", *LOSSES], default=["bench", *LOSSES])
    parser.add_argument("--documents", type=int, default=600)
    parser.add_argument("--markdown", type=pathlib.Path, help="replace the tables in this file, between their markers")
    parser.add_argument("--plot", type=pathlib.Path)
    args = parser.parse_args()
    shared = shared_folder()
    if shared is None:
        print("skipped: the evaluation data is absent. Name its folder with KNAP_SHARED.")
        return
    clips = shared / "data" / "speech"
    about = machine()
    where = f'Measured {about["time"][:10]} on {about["cpu"]}, {about["cores"]} cores, load {about["load_at_start"]:.1f}, {about["program"]}.'
    tables, reports = {}, {}
    with tempfile.TemporaryDirectory() as work:
        if "bench" in args.only:
            tables["bench"] = bench_table(knap("models", "bench", "--words", 250, "--clips", clips, "--language", "en")["models"])
        if "language" in args.only:
            reports["language"] = knap("models", "quantize", LANGUAGE, "--text", ROOT / "docs" / "Decisions.md"), "SmolLM2 135M, re-quantised from Q4_1"
        if "encoder" in args.only:
            folder = judged(shared, pathlib.Path(work))
            reports["encoder"] = knap("models", "quantize", ENCODER, "--text", ROOT / "docs" / "Models.md", "--judged", folder, "--documents",
                                      args.documents), "MiniLM"
        if "speech" in args.only:
            reports["speech"] = knap("models", "quantize", SPEECH, "--clips", clips, "--language", "en"), "Whisper base"
    for kind, (report, _) in reports.items():
        tables[kind] = level_table(kind, report)
    facts = {"bench": "", "language": "{scored_tokens} scored tokens.", "encoder": "{paragraphs} paragraphs; {queries} questions over {documents} abstracts.",
             "speech": "{clips} clips, {sound_seconds:.0f} s, {words} words."}
    texts = {kind: f"{where} {facts[kind].format(**reports[kind][0]) if kind in reports else ''}".strip() + f"\n\n{table}" for kind, table in tables.items()}
    for kind, text in texts.items():
        print(f"\n{kind}\n\n{text}")
    if args.markdown:
        page = args.markdown.read_text()
        for kind, text in texts.items():
            begin, end = page.index(f"%% {kind} table %%"), page.index(f"%% end of {kind} table %%")
            page = page[:begin] + f"%% {kind} table %%\n\n{text}\n\n" + page[end:]
        args.markdown.write_text(page)
    if args.plot and reports:
        args.plot.write_text(plot(reports))
    print(json.dumps({"machine": about, **{kind: report for kind, (report, _) in reports.items()}}))


if __name__ == "__main__":
    main()
