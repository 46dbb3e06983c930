"""What do a million photos cost `clean` beside looking at them, and what is saved by decoding each once?

    PYTHONPATH=src python benchmarks/clean_tables.py --photos FOLDER

Tables are drawn from a seed: visits of one to a few dozen photos, one of 4,000 frames of a camera that sees the same
scene, copies exact and near, a few names. Each size runs in a process of its own, whose greatest memory is told.
Photos are read as they are now and as they were (once to see what is in them, once more in colour), in turns.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from pelage.common.files import write_json
from pelage.common.images import decode_image
from pelage.common.params import read_params
from pelage.preprocess.clean import Looks, clean_photos, content_keys

FRAMES = 4000


def draw_tables(count: int, seed: int = 1) -> tuple[pd.DataFrame, Looks, pd.DataFrame, pd.Series]:
    """Draw `count` photos, their looks, what belongs together and their names."""
    rng = np.random.default_rng(seed)
    sizes = rng.geometric(0.2, count)
    visit = np.repeat(np.arange(len(sizes)), sizes)[:count]
    visit[:FRAMES] = visit[-1] + 1
    looks = draw_looks(visit, rng)
    names = np.array(["unknown", *(f"L{n}" for n in range(500))], object)
    photos = pd.DataFrame(
        {
            "image_id": [f"S{v % 300}/V{v}/IMG_{i:07d}" for i, v in enumerate(visit.tolist())],
            "path": [f"S{v % 300}/V{v}/IMG_{i:07d}.JPG" for i, v in enumerate(visit.tolist())],
            "date": "2026-03-02T10:00:00",
            "camera": "C1",
            "station": [f"S{v % 300}" for v in visit.tolist()],
            "sha256": looks.table["pixels"],
            "flags": "",
        }
    )
    encounter = pd.Series(visit).map(str)
    belonging = pd.DataFrame(
        {"place": photos["station"], "night": "2026-03-02", "encounter": encounter, "rests_on": "time"}
    )
    return (
        photos,
        looks,
        belonging,
        pd.Series(names[rng.integers(0, 501, visit.max() + 1)[visit]]),
    )


def draw_looks(visit: np.ndarray, rng: np.random.Generator) -> Looks:
    """Draw looks at photos of the same scene wherever they are of the same visit, copies exact and near among them."""
    count = len(visit)
    scenes = rng.integers(0, 256, (1000, 1024), np.uint8)
    thumbs = scenes[visit % 1000]
    thumbs[:, 400:420] += rng.integers(0, 60, (count, 1), np.uint8)
    phash = rng.integers(0, 2**64, visit.max() + 1, np.uint64)[visit] ^ (
        np.uint64(1) << rng.integers(0, 64, count).astype(np.uint64)
    )
    content = np.where(rng.random(count) < 0.05, rng.integers(0, count, count), np.arange(count))
    looks = pd.DataFrame(
        {
            "reason": np.where(rng.random(count) < 0.001, "truncated", "").astype(object),
            "detail": "",
            "kind": "jpeg",
            "pixels": [f"{number:064x}" for number in content],
            **{"width": 2000, "height": 1500, "bright": 0.01, "dark": 0.02, "spread": 40.0},
            "sharpness": rng.uniform(4.8, 8, count),
            "phash": phash,
        }
    )
    return Looks(looks, thumbs.reshape(-1, 32, 32))


def measure_tables(count: int) -> dict[str, float]:
    """Clean drawn tables in this process; tell seconds, and memory in GiB before and at its greatest."""
    photos, looks, belonging, names = draw_tables(count)
    drawn = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    params, start = read_params()["clean"], time.perf_counter()
    content_keys(looks, params)
    cleaned = clean_photos(photos, looks, belonging, names, params, curated=False)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    told = {"seconds": round(seconds, 1), "peak_gib": round(peak / 2**20, 2), "tables_gib": round(drawn / 2**20, 2)}
    return told | {"kept": len(cleaned.kept), "copies": len(cleaned.copies)}


def decode_twice(data: bytes) -> np.ndarray:
    """Decode as the reader did before: once for the channels, once more in colour, upright."""
    buffer = np.frombuffer(data, np.uint8)
    cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED)
    return cv2.imdecode(buffer, cv2.IMREAD_COLOR_RGB)


def measure_decoding(folder: Path, rounds: int = 5) -> dict[str, float]:
    """Read photos both ways in turns; tell seconds a photo, and the median over rounds of their ratio."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    data = [path.read_bytes() for path in files[:: max(len(files) // 100, 1)]]
    seconds: dict[str, list[float]] = {"once": [], "twice": []}
    cv2.setNumThreads(1)
    for _ in range(rounds):
        for name, way in (("once", decode_image), ("twice", decode_twice)):
            start = time.perf_counter()
            for photo in data:
                way(photo)
            seconds[name].append((time.perf_counter() - start) / len(data))
    told = {f"seconds_{name}": round(float(np.median(values)), 5) for name, values in seconds.items()}
    ratio = np.median(np.divide(seconds["twice"], seconds["once"]))
    return told | {"photos": len(data), "times_as_fast": round(float(ratio), 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, help="folder of JPEGs that are read both ways")
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--one", type=int, help="clean tables of so many photos in this process")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/clean_tables.json"))
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure_tables(arguments.one)))
        return
    result = {"decoding": measure_decoding(arguments.photos)} if arguments.photos else {}
    for size in arguments.sizes:
        command = [sys.executable, __file__, "--one", str(size)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        result[f"tables_of_{size}"] = json.loads(done.stdout.splitlines()[-1])
    write_json(arguments.out, result)
    print(result)


if __name__ == "__main__":
    main()
