#!/usr/bin/env python3
"""Readable text of web pages: token F1 against what is expected, and titles, for Knap and its peers.

    bench/readable.py [--pages DIR] [--peers PYTHON] [--node DIR]

DIR holds one folder a page: source.html, expected.html, expected-metadata.json (the layout of Mozilla Readability's own
tests). PYTHON is an interpreter that has readability-lxml and trafilatura; NODE a folder whose node_modules hold
@mozilla/readability and jsdom. Peers that are not given are left out.

Every second page, in the order of their names, is held out: rules were tuned on the others alone.
"""
import argparse
import collections
import html.parser
import json
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
HIDDEN = {"script", "style", "noscript", "template"}
ADDRESS = "http://fakehost/test/page.html"

PYTHON_PEER = """
import json, sys, time
name, paths = sys.argv[1], sys.argv[2:]
if name == 'trafilatura':
    import trafilatura
    def read(bytes):
        page = trafilatura.bare_extraction(bytes, with_metadata=True, include_comments=False)
        page = page.as_dict() if page is not None else {}
        return page.get('title') or '', page.get('text') or ''
else:
    import lxml.html, readability
    def read(bytes):
        page = readability.Document(bytes.decode('utf-8', 'replace'))
        return page.short_title(), ' '.join(lxml.html.fromstring(page.summary()).itertext())
for path in paths:
    data = open(path, 'rb').read()
    begin = time.perf_counter()
    try:
        title, text = read(data)
    except Exception:
        title, text = '', ''
    print(json.dumps({'title': title, 'text': text, 'seconds': time.perf_counter() - begin}))
"""

NODE_PEER = """
const {Readability} = require('@mozilla/readability'), {JSDOM} = require('jsdom'), fs = require('fs');
for (const path of process.argv.slice(1)) {
  const data = fs.readFileSync(path, 'utf8'), begin = process.hrtime.bigint();
  let page = null;
  try { page = new Readability(new JSDOM(data, {url: '%s'}).window.document).parse(); } catch (error) {}
  console.log(JSON.stringify({title: page && page.title || '', text: page && page.textContent || '',
                              seconds: Number(process.hrtime.bigint() - begin) / 1e9}));
}
""" % ADDRESS


class Text(html.parser.HTMLParser):
    """The text of a piece of HTML: that of scripts and styles is none."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.parts, self.hidden = [], 0

    def handle_starttag(self, tag, attributes):
        self.hidden += tag in HIDDEN
        self.parts.append(" " if tag not in ("a", "b", "i", "em", "strong", "span", "font", "code", "sup", "sub") else "")

    def handle_endtag(self, tag):
        self.hidden = max(0, self.hidden - (tag in HIDDEN))
        self.handle_starttag(tag, []) if tag not in HIDDEN else None

    def handle_data(self, data):
        if not self.hidden:
            self.parts.append(data)


def text_of_html(data):
    parser = Text()
    parser.feed(data)
    return "".join(parser.parts)


def tokens(text):
    """Words; each character of a script without spaces."""
    return collections.Counter(re.findall(r"[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af]|[^\W\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af]+",
                                          text.lower()))


def f1(got, expected):
    got, expected = tokens(got), tokens(expected)
    common = sum((got & expected).values())
    if not got or not expected:
        return 1.0 if not got and not expected else 0.0
    precision, recall = common / sum(got.values()), common / sum(expected.values())
    return 2 * precision * recall / (precision + recall) if common else 0.0


def same_title(got, expected):
    def plain(text):
        return " ".join(text.split()).casefold()
    return plain(got) == plain(expected)


def run_lines(command, **options):
    begin = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, **options)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return lines, time.perf_counter() - begin


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = pathlib.Path(os.environ.get("KNAP_SHARED", ROOT.parent / "shared"))
    parser.add_argument("--pages", type=pathlib.Path, default=shared / "data/formats/html")
    parser.add_argument("--peers", help="Python with readability-lxml and trafilatura")
    parser.add_argument("--node", type=pathlib.Path, help="folder with node_modules of @mozilla/readability and jsdom")
    parser.add_argument("--program", default=str(ROOT / "build/release/src/extract/knap_html_print"))
    parser.add_argument("--each", action="store_true", help="print every page")
    options = parser.parse_args()
    folders = sorted(path.parent for path in options.pages.glob("*/source.html"))
    if not folders:
        sys.exit(f"no pages in {options.pages}")
    sources = [str(folder / "source.html") for folder in folders]
    expected = [text_of_html((folder / "expected.html").read_text()) for folder in folders]
    titles = [json.loads((folder / "expected-metadata.json").read_text())["title"] or "" for folder in folders]

    programs = {"knap": [options.program, *sources]}
    if options.peers:
        for name in ("readability-lxml", "trafilatura"):
            programs[name] = [options.peers, "-W", "ignore", "-c", PYTHON_PEER, name, *sources]
    if options.node:
        programs["@mozilla/readability"] = ["node", "-e", NODE_PEER, *sources]
    print(f"{len(folders)} pages\n\n{'program':22} {'F1 tuned':>9} {'F1 held out':>12} {'F1 all':>8} "
          f"{'below .8':>9} {'titles':>7} {'s, all pages':>13}")
    for name, command in programs.items():
        extra = {"cwd": options.node, "stderr": subprocess.DEVNULL} if name.startswith("@") else {"stderr": subprocess.DEVNULL}
        pages, seconds = run_lines(command, **extra)
        if len(pages) != len(folders):
            print(f"{name:22} failed: {len(pages)} answers")
            continue
        scores = [f1(page.get("text", ""), want) for page, want in zip(pages, expected)]
        right = [same_title(page.get("title", ""), want) for page, want in zip(pages, titles)]
        mean = lambda values: sum(values) / len(values)
        print(f"{name:22} {mean(scores[0::2]):9.3f} {mean(scores[1::2]):12.3f} {mean(scores):8.3f} "
              f"{sum(score < .8 for score in scores):9} {sum(right):7} {seconds:13.2f}")
        if options.each:
            for folder, score, title, page in zip(folders, scores, right, pages):
                print(f"  {folder.name:34} {score:.3f} {'' if title else 'title: ' + repr(page.get('title'))}")


if __name__ == "__main__":
    main()
