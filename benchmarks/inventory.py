"""How long does it take to see that nothing has changed below a source of many files?

    PYTHONPATH=src python benchmarks/inventory.py -n 100000

A folder of N small files, half of them photos, is looked at by the stage `inventory` as `dvc repro` calls it, Python's
start included: once anew, once with nothing changed, and once with one photo added. Against it stands reading all files
again (from the system's cache), as a hash of every file would.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ruamel.yaml import YAML

from pelage.common.files import write_json
from pelage.common.parallel import cores

ROOT = Path(__file__).resolve().parents[1]
JPEG = b"\xff\xd8\xff\xe0" + bytes(2000) + b"\xff\xd9"


def make_project(folder: Path, count: int) -> tuple[Path, Path]:
    """Write a project whose data set is a folder of `count` files; return both folders."""
    project, photos = folder / "project", folder / "photos"
    for name in ("src", "stages"):
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "dvc.yaml", project)
    yaml = YAML()
    params = yaml.load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["ingest"]["dataset"] = "many"
    params["datasets"]["many"] = {"source": "folder", "path": str(photos), "boxes": "embedded"}
    with (project / "params.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(params, file)
    for number in range(count):
        place = photos / f"L{number // 500}"
        if number % 500 == 0:
            place.mkdir(parents=True)
        suffix = "JPG" if number % 2 else "txt"
        (place / f"IMG_{number:06d}.{suffix}").write_bytes(JPEG + number.to_bytes(4, "big"))
    return project, photos


def seconds_of(project: Path, cache: Path) -> float:
    """Run the stage and return its seconds, those of starting Python included."""
    start = time.perf_counter()
    environment = {**os.environ, "PELAGE_CACHE": str(cache)}
    subprocess.run(
        [sys.executable, "stages/inventory.py"], cwd=project, check=True, env=environment, capture_output=True
    )
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=100_000, help="number of files")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/inventory.json"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project, photos = make_project(Path(folder), arguments.n)
        cache = Path(folder) / "cache"
        anew = seconds_of(project, cache)
        unchanged = sorted(seconds_of(project, cache) for _ in range(arguments.rounds))[arguments.rounds // 2]
        before = (project / "data/inventory.csv").read_bytes()
        start = time.perf_counter()
        for path in photos.rglob("*.*"):
            hashlib.sha256(path.read_bytes()).hexdigest()
        reading = time.perf_counter() - start
        (photos / "L0" / "new.JPG").write_bytes(JPEG)
        added = seconds_of(project, cache)
        rows = (project / "data/inventory.csv").read_bytes().count(b"\n") - before.count(b"\n")
    result = {
        "files": arguments.n,
        "cores": cores(),
        "seconds_anew": round(anew, 2),
        "seconds_unchanged": round(unchanged, 2),
        "seconds_one_added": round(added, 2),
        "rows_added": rows,
        "reading_all_over_unchanged": round(reading / unchanged, 2),
    }
    write_json(arguments.out, result)
    print(result)


if __name__ == "__main__":
    main()
