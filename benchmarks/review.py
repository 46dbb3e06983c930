"""How quickly does the review page answer, with 10,000 photos and 1,000 animals, and 50 requests a second?

    PYTHONPATH=src python benchmarks/review.py

A survey is drawn as in `benchmarks/individuals.py`. The page is a process of its own; what asks it keeps connections as
a browser does. First decisions alone, one after another: until they are acknowledged (they are on the disk then), and
until the next question is there. Then a minute of pictures, questions, pairs, matches and decisions.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import socket
import tempfile
import threading
import time
import uuid
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
import uvicorn
from individuals import draw_survey

from pelage.animals.naming import practise
from pelage.animals.suspects import SUSPECT_COLUMNS
from pelage.animals.units import PRACTICE, SURVEY
from pelage.common.files import write_json
from pelage.common.images import encode_png
from pelage.common.packs import packed_folder
from pelage.common.tables import crop_file, write_parquet
from pelage.review.app import build_app
from pelage.review.desk import Desk
from pelage.review.pictures import Pictures
from pelage.review.run import Run

TOKEN = "benchmark"
MIX = {"picture": 0.6, "next": 0.15, "pair": 0.1, "lines": 0.1, "decide": 0.05}
SETTINGS = {"draws": 0, "probability": 0.9, "speed_m_per_s": None, "seed": 1}


def drawn_run(folder: Path, asked: int, named: int, animals: int) -> Run:
    """Return a run of a drawn survey; 500 of its crops have pictures."""
    evidence = practise(*draw_survey(1000, 1000, 100, PRACTICE, 1))
    units, pairs = draw_survey(asked, named, animals, SURVEY, 2)
    ids = units.crops["crop_id"].tolist()
    rng, hashes = np.random.default_rng(1), {}
    with packed_folder(folder / "views/crop/flank", folder) as crops:
        for crop in sorted(ids[:500], key=crop_file):
            crops.put(crop_file(crop), encode_png(rng.integers(0, 255, (150, 300, 3), np.uint8)))
            hashes[crop] = uuid.uuid5(uuid.NAMESPACE_OID, crop).hex
    images = pd.Series(ids).str.rsplit("#", n=1).str[0]
    clean = pd.DataFrame({"image_id": images, "camera": "C1", "date": "2026-03-01T10:00:00", "sha256": images})
    ranked = pairs.assign(protocol=SURVEY, rank=1)
    for method in ("sift_lnbnn", "fused"):
        write_parquet(folder / ("fused.parquet" if method == "fused" else f"rankings/{method}.parquet"), ranked)
    places = pd.DataFrame({"station": ["S1"], "latitude": [-2.0], "longitude": [35.0]})
    return Run(
        data=folder,
        part="flank",
        methods=[],
        units=units,
        pairs=pairs,
        evidence=evidence,
        deployments=places,
        wanted=SETTINGS,
        suspects=pd.DataFrame(columns=SUSPECT_COLUMNS),
        likeliest={},
        clean=clean,
        hashes=hashes,
        version="benchmark",
    )


class Asker:
    """One connection."""

    def __init__(self, port: int) -> None:
        self.port, self.connection = port, HTTPConnection("127.0.0.1", port, timeout=60)

    def ask(self, path: str, body: dict[str, Any] | None = None) -> tuple[int, bytes, float]:
        """Return status, answer and seconds."""
        headers = {"Cookie": f"pelage_{self.port}={TOKEN}"}
        start = time.perf_counter()
        if body is None:
            self.connection.request("GET", path, headers=headers)
        else:
            headers |= {"Content-Type": "application/json", "Origin": f"http://127.0.0.1:{self.port}"}
            self.connection.request("POST", "/decide", json.dumps(body), headers)
        answer = self.connection.getresponse()
        return answer.status, answer.read(), time.perf_counter() - start


def decision(question: dict[str, Any], reviewer: str) -> dict[str, Any]:
    """Return an answer to a question."""
    told = {
        "id": str(uuid.uuid4()),
        "reviewer": reviewer,
        "verb": "same" if question["probability"] > 0.5 else "different",
    }
    return told | {"crops": [question["query"]], "other_crops": [question["candidate"]]}


def one_after_another(port: int, count: int) -> dict[str, float]:
    """Time decisions and the questions after them."""
    asker = Asker(port)
    questions = json.loads(asker.ask("/state")[1])["questions"][:count]
    acknowledged, followed = [], []
    for question in questions:
        status, _, seconds = asker.ask("", decision(question, "Ana"))
        assert status == 200, status
        acknowledged.append(seconds)
        followed.append(asker.ask("/")[2])
    told = {"acknowledged": acknowledged, "next question": followed}
    return {
        f"{name}, {word}": round(1000 * float(f(ms)), 1)
        for name, ms in told.items()
        for word, f in (("median ms", np.median), ("worst ms", np.max))
    }


def load(port: int, crops: list[str], rate: float, seconds: float, workers: int = 8) -> dict[str, Any]:
    """Ask `rate` times a second from several connections; return latencies in ms and errors by kind."""
    state = json.loads(Asker(port).ask("/state")[1])
    questions = iter(state["questions"])
    rng, lock, times, errors = np.random.default_rng(2), threading.Lock(), {kind: [] for kind in MIX}, []
    plan = rng.choice(list(MIX), int(rate * seconds), p=list(MIX.values()))
    picks = rng.integers(0, 500, len(plan))
    due, start = iter(enumerate(plan)), time.perf_counter()
    any_pair = state["questions"][0]

    def work(number: int) -> None:
        asker = Asker(port)
        while True:
            with lock:
                place, kind = next(due, (None, None))
                question = next(questions, None) if kind == "decide" else None
            if kind is None:
                return
            time.sleep(max(start + place / rate - time.perf_counter(), 0))
            crop = quote(crops[picks[place]])
            paths = {
                "picture": f"/picture?crop={crop}&view=crop&size=small",
                "next": "/",
                "pair": f"/pair?unit={quote(any_pair['unit'])}",
                "lines": f"/lines?query={crop}&candidate={crop}",
                "decide": "/",
            }
            body = decision(question, f"reviewer {number}") if question else None
            try:
                status, _, took = asker.ask(paths[kind], body)
            except OSError as error:
                status, took = repr(error), 0.0
                asker = Asker(port)
            with lock:
                times[kind].append(1000 * took)
                if status != 200:
                    errors.append((kind, status))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    every = np.concatenate([np.array(own) for own in times.values()])
    took = time.perf_counter() - start
    told = {"requests": len(every), "a second": round(len(every) / took, 1), "errors": len(errors)}
    told |= {"median ms": round(float(np.median(every)), 1), "95 % ms": round(float(np.quantile(every, 0.95)), 1)}
    return told | {f"{kind}, median ms": round(float(np.median(own)), 1) for kind, own in times.items() if own}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--asked", type=int, default=3000)
    parser.add_argument("--named", type=int, default=7000)
    parser.add_argument("--animals", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/review.json"))
    arguments = parser.parse_args()
    out = arguments.out.resolve()
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        folder = Path("data")
        run = drawn_run(folder, arguments.asked, arguments.named, arguments.animals)
        begun = time.perf_counter()
        desk = Desk(run, folder / "journal.jsonl")
        built = time.perf_counter() - begun
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        app = build_app(desk, Pictures(folder, "flank", run.hashes), port, TOKEN)
        process = multiprocessing.get_context("fork").Process(
            target=uvicorn.run, args=(app,), kwargs={"port": port, "log_level": "warning"}, daemon=True
        )
        process.start()
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        told = {
            "photos": arguments.asked + arguments.named,
            "animals": desk.state.individuals,
            "clusters anew, s": round(built, 1),
        }
        told["decisions alone"] = one_after_another(port, 30)
        told[f"{arguments.rate:g} requests a second"] = load(port, list(run.hashes), arguments.rate, arguments.seconds)
        process.terminate()
    print(json.dumps(told, indent=2))
    write_json(out, told)


if __name__ == "__main__":
    main()
