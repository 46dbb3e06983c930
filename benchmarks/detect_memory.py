"""How much memory does detection need, whatever the number of photos?

    PYTHONPATH=src python benchmarks/detect_memory.py -n 10000

A survey of N photos of 2000 x 1500 pixels (a few files under many names) of 20 cameras is looked at with a stand-in for
U^2-Net that sees a large animal in each, so that what is measured is ours: decoding, backgrounds, silhouettes, sides
and tables (not faces, which take time and leave nothing behind). What counts is the peak of the process, once for a
tenth of the photos and once for all of them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from pelage.common.files import write_json
from pelage.common.parallel import cores
from pelage.preprocess.detect import Settings, animal_tables, detect

WIDTH, HEIGHT, FILES, CAMERAS = 2000, 1500, 20, 20


class LargeAnimal:
    """Stands in for U^2-Net: an ellipse that fills two thirds of the photo."""

    sha256 = "0" * 64

    def __call__(self, image: np.ndarray) -> np.ndarray:
        evidence = np.zeros((320, 320), np.float32)
        cv2.ellipse(evidence, (160, 160), (150, 140), 0, 0, 360, 0.95, -1)
        return evidence


class Blind:
    """Stands in for MegadetectorLite: it sees nothing."""

    sha256 = "1" * 64

    def __call__(self, image: np.ndarray) -> list:
        return []


def survey(folder: Path, count: int) -> pd.DataFrame:
    """Write the photos and return the rows of `clean.csv` that name them."""
    rng = np.random.default_rng(1)
    for number in range(FILES):
        coarse = rng.integers(0, 255, (30, 40, 3), np.uint8)
        cv2.imwrite(str(folder / f"{number}.jpg"), cv2.resize(coarse, (WIDTH, HEIGHT)), [cv2.IMWRITE_JPEG_QUALITY, 85])
    rows = range(count)
    return pd.DataFrame({
        "image_id": [f"p{row:07d}" for row in rows],
        "path": [f"{row % FILES}.jpg" for row in rows],
        "camera": [f"c{row % CAMERAS}" for row in rows],
        "place": [f"s{row % CAMERAS}" for row in rows],
        "encounter": [f"e{row // 3}" for row in rows],
        "sha256": [hashlib.sha256(str(row).encode()).hexdigest() for row in rows],
        "width": WIDTH,
        "height": HEIGHT,
    })  # fmt: skip


def measure(count: int) -> dict[str, float]:
    """Detect in `count` photos, in this process; return seconds and the peak of memory in GiB."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PELAGE_CACHE"] = f"{folder}/cache"
        photos = survey(Path(folder), count)
        settings = Settings("embedded", None, ("flank",), 0.5, 0.5, 0.01, 8)
        start = time.perf_counter()
        sightings = detect(photos, {}, Path(folder), settings, LargeAnimal(), Blind())
        animals, detections, *_ = animal_tables(photos, sightings, {}, 0.08, 0.4)
        seconds = time.perf_counter() - start
    assert len(animals) == count and len(detections) >= count
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"photos": count, "seconds": round(seconds, 1), "peak_gib": round(peak, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=10_000, help="number of photos")
    parser.add_argument("--one", action="store_true", help="measure this number only, and print it")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/detect_memory.json"))
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.n)))
        return
    found = []
    for count in (arguments.n // 10, arguments.n):  # each in a process of its own, for a peak never comes down
        command = [sys.executable, __file__, "--one", "-n", str(count)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found.append(json.loads(done.stdout.strip().splitlines()[-1]))
        print(found[-1])
    result = {
        "cores": cores(),
        "runs": found,
        "silhouettes_gib": round(arguments.n * WIDTH * HEIGHT * 2 / 3 / 2**30, 1),
        "peak_ratio": round(found[1]["peak_gib"] / found[0]["peak_gib"], 3),
    }
    write_json(arguments.out, result)
    print(result)


if __name__ == "__main__":
    main()
