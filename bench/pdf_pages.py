#!/usr/bin/env python3
"""A 100-page PDF dropped into a watched vault: how soon it is searchable, and whether its pages are cited rightly.

    pdf_pages.py [--pages 100] [--strict]

The PDF is made: every page tells of a station of its own with a year, a keeper and a height among text of the same words.
Twenty questions are searched for and asked (extractive answers, no models); right is the page that holds the fact. Then the
same for the 117-page GeoTopo.pdf of the evaluation data, where present: only how soon it is searchable. Beside it notes
are saved and searched for while the PDFs are read. The last line is one JSON object. Exit code 1 when a page is wrong; with --strict also
when the PDF needs 2 s.
"""
import argparse
import json
import pathlib
import shutil
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests"))
from knap_server import NO_MODELS, Server, shared_folder  # noqa: E402
from latency import machine  # noqa: E402
from pdf_writer import pdf  # noqa: E402

GOAL_S = 2.0
QUESTIONS = 20
PLACES = ["Aldern", "Birken", "Cosel", "Dornau", "Eschen", "Fahren", "Golm", "Hirsch", "Illmen", "Jarow"]
ENDS = ["brook", "field", "gate", "haven", "ridge", "stone", "wold", "mere", "cliff", "ford"]


def station(page):
    return PLACES[page % 10] + ENDS[page // 10 % 10] + ("" if page < 100 else str(page // 100))


def facts(page):
    return {"year": 1801 + page, "keeper": f"Keeper{page:03d}son", "height": 1000 + 7 * page}


def make(pages):
    filler = "The station stands beside the line and is visited by the inspector in spring and in autumn of each year."
    out = []
    for n in range(1, pages + 1):
        f = facts(n)
        out.append([(16, f"Station {station(n)}"), "", *[filler] * 12,
                    f"The station {station(n)} was opened in the year {f['year']}.", "", *[filler] * 8,
                    f"The keeper of the station {station(n)} is {f['keeper']}.", "", *[filler] * 8,
                    f"The mast of the station {station(n)} is {f['height']} centimetres high."])
    return pdf(out, title="Stations of the line")


def searchable(server, word, path, limit=60):
    begin = time.perf_counter()
    while time.perf_counter() - begin < limit:
        if path in server.paths(word, mode="keyword"):
            return time.perf_counter() - begin
        time.sleep(.005)
    raise SystemExit(f"{path} was not searchable within {limit} s")


def drop(server, name, data, word):
    part = server.vaults["notes"].parent / name
    part.write_bytes(data)
    begin = time.perf_counter()
    part.rename(server.vaults["notes"] / name)
    note = server.vaults["notes"] / f"beside {name}.md"
    note.write_text(f"zebra{word}\n")
    beside = searchable(server, f"zebra{word}", note.name)
    searchable(server, word, name)
    return time.perf_counter() - begin, beside


def ask_pages(server, pages):
    right = {"search": 0, "ask": 0}
    wrong = []
    for i in range(QUESTIONS):
        page = 1 + i * pages // QUESTIONS + i % 3
        question = [f"When was the station {station(page)} opened?", f"Who is the keeper of the station {station(page)}?",
                    f"How high is the mast of the station {station(page)}?"][i % 3]
        first = server.search(question)["results"][0]
        cited = (server.ask(question, mode="extractive")["citations"] or [{}])[0]
        for kind, got in (("search", first), ("ask", cited)):
            if got.get("page") == page:
                right[kind] += 1
            else:
                wrong.append((kind, question, page, got.get("page")))
    return right, wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pages", type=int, default=100)
    parser.add_argument("--strict", action="store_true")
    options = parser.parse_args()
    home = pathlib.Path(tempfile.mkdtemp(prefix="knap-pdf-"))
    (home / "notes").mkdir()
    server = Server(home, {"notes": home / "notes"}, NO_MODELS)
    try:
        server.start()
        seconds, beside = drop(server, "stations.pdf", make(options.pages), facts(options.pages)["keeper"])
        right, wrong = ask_pages(server, options.pages)
        result = {"machine": machine(), "pages": options.pages, "searchable_s": round(seconds, 2), "note_beside_s": round(beside, 3),
                  "right_of_20": right}
        real = shared_folder() and shared_folder() / "data/formats/pdf/GeoTopo-komprimiert.pdf"
        if real and real.is_file():
            seconds_real, _ = drop(server, "geotopo.pdf", real.read_bytes(), "Homöomorphismus")
            result["geotopo_searchable_s"] = round(seconds_real, 2)
        print(f"{options.pages} pages searchable after {seconds:.2f} s; a note saved at the same time after {beside:.3f} s; "
              f"right pages of {QUESTIONS}: {right}")
        for line in wrong:
            print("wrong:", *line)
        print(json.dumps(result))
        return 1 if wrong or (options.strict and seconds >= GOAL_S) else 0
    finally:
        server.kill()
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
