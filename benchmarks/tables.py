"""How long do the tables of a million photos take, and in how much memory? `benchmarks/results/tables.json`.

    PYTHONPATH=src python benchmarks/tables.py

A survey is made: individuals that come to stations of two cameras each, in bursts of which both cameras take some,
with a few copies, undated frames and wrong clocks. Then what belongs together, groups, the draw and the leak check are
timed one after the other; `peak_gib` is the most memory that the process ever held up to the end of a step.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np
import pandas as pd

from pelage.catalogue.belonging import belong, groups
from pelage.catalogue.clocks import right_dates
from pelage.common.files import write_json
from pelage.common.params import read_params
from pelage.common.tables import UNKNOWN
from pelage.split.assign import crop_table, drawn_split
from pelage.split.leakage import find_leaks, join_facts, leakage_metrics

BURST = 5
"""Photos of a visit, by both cameras together."""


def survey(photos: int, individuals: int, stations: int, days: int = 365) -> tuple[pd.DataFrame, pd.Series]:
    """Return a photo table as `data/photos.csv` (with hashes, as looking at the photos finds them) and its names."""
    rng = np.random.default_rng(1)
    visits = photos // BURST
    visit = np.repeat(np.arange(visits), BURST)
    individual = rng.integers(individuals, size=visits)
    home = rng.integers(stations, size=(individuals, 4))  # an individual comes to a few stations
    station = home[individual, rng.integers(4, size=visits)][visit]
    twilight = rng.integers(days, size=visits) * 86400 + rng.choice([6, 18], visits) * 3600
    start = twilight + rng.normal(0, 5400, visits).round()
    camera = rng.integers(2, size=len(visit))
    taken = start[visit] + np.tile(np.arange(BURST) * 4, visits)
    wrong = (camera == 1) & (station % 10 == 0)
    taken = taken + np.where(wrong & (taken > days * 43200), 3600, 0)  # summer time, on one camera of ten stations
    date = pd.Series(pd.to_datetime(taken + 1.7e9, unit="s").strftime("%Y-%m-%dT%H:%M:%S"), dtype=object)
    date[rng.random(len(visit)) < 0.01] = ""
    background = rng.integers(0, 2**64, (stations, 2), dtype=np.uint64)[station, camera]
    for _ in range(8):
        background ^= np.uint64(1) << rng.integers(0, 64, len(visit), dtype=np.uint64)
    number = np.arange(len(visit))
    sha256 = np.where(rng.random(len(visit)) < 0.002, number - number % 1000, number)
    cameras = [f"S{s:03d}{'AB'[c]}" for s, c in zip(station, camera, strict=True)]
    table = pd.DataFrame({
        "image_id": [f"P{n:07d}" for n in number],
        "path": [f"{at}/{n // 10000}/IMG_{n % 10000:04d}.JPG" for at, n in zip(cameras, number, strict=True)],
        "date": date,
        "camera": cameras,
        "station": [f"S{s:03d}" for s in station],
        "encounter": "",
        "sequence": "",
        "sha256": [f"{n:064x}" for n in sha256],
        "phash": [f"{value:016x}" for value in background],
        "flags": "",
    })  # fmt: skip
    names = pd.Series([f"L{n:04d}" for n in individual[visit]])
    return table.astype(str), names.mask(rng.random(len(visit)) < 0.1, UNKNOWN).astype(str)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=1_000_000)
    parser.add_argument("--individuals", type=int, default=2000)
    parser.add_argument("--stations", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/tables.json"))
    arguments = parser.parse_args()
    params = read_params()
    bits, split = params["check_leakage"]["near_duplicate_bits"], params["split"]
    gap_s = split["revisit_gap_s"]
    shares = {name: split[name] for name in ("novel", "val_novel", "val", "test")}
    result: dict = {"photos": arguments.photos, "individuals": arguments.individuals, "stations": arguments.stations}
    begun = time.perf_counter()

    def told(step: str, **counts: int) -> None:
        nonlocal begun
        seconds = round(time.perf_counter() - begun, 1)
        peak = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)
        result[step] = {"seconds": seconds, "peak_gib": peak, **counts}
        print(step, result[step], flush=True)
        begun = time.perf_counter()

    photos, names = survey(arguments.photos, arguments.individuals, arguments.stations)
    told("made")
    found = belong(photos, names, split["burst_gap_s"], photos["sha256"])
    told("belong", encounters=found.table["encounter"].nunique(), clocks=len(found.clocks))
    clean = photos.drop(columns="encounter").join(found.table)
    known = clean.assign(identity=names)[names != UNKNOWN]
    known = known.assign(date=right_dates(known, found.clocks))
    told("right_dates")
    group = groups(known, bits, gap_s)
    told("groups", groups=group.nunique())
    animals = pd.DataFrame({"image_id": clean["image_id"], "animal": 0, "identity": names})
    detections = clean[["image_id"]].assign(part="flank", orientation="left", animal=0, shared=False)
    crops = crop_table(clean, animals, detections.assign(crop_id=clean["image_id"] + "#0"))
    told("crop_table")
    table = drawn_split(crops, found.clocks, bits, gap_s, split["seed"], **shares)
    told("drawn_split", test=int((table["subset"] == "test").sum()))
    rows = join_facts(table, clean, found.clocks, bits, gap_s)
    told("join_facts")
    leaks = find_leaks(rows, bits)
    told("find_leaks", leaks=len(leaks))
    metrics = leakage_metrics(rows, bits, leaks)
    told("leakage_metrics", look_alike_pairs=metrics["look_alike_pairs_of_two_individuals"])
    write_json(arguments.out, result)


if __name__ == "__main__":
    main()
