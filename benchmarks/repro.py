"""How long does `dvc repro` take to see that nothing has changed in a project of many photos?

    PYTHONPATH=src python benchmarks/repro.py -n 100000

A project of N small photos, and of as many crops, masks and views as a survey of N photos leaves, is committed as it
stands: nothing but the look at the sources then has to run. `dvc repro` is timed whole, Python's start included, with
dvc.yaml as it is, and with the folders of images as dependencies in the place of their tables of hashes.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pelage.common.files import write_json, write_text
from pelage.common.hashes import hashes_of
from pelage.common.packs import packed_folder
from pelage.common.parallel import cores
from pelage.common.params import read_yaml
from pelage.settings.names import METHODS

ROOT = Path(__file__).resolve().parents[1]
JPEG = b"\xff\xd8\xff\xe0" + bytes(1000) + b"\xff\xd9"
CROPS = {"flank": 0.6, "face": 0.18}
"""Crops of each part, in the number of photos."""

READ_PHOTOS = ("clean", "detect", "crop", "report")
"""Stages that read data/photos."""

Described = dict[str, Any]


def make_project(folder: Path, count: int) -> Path:
    """Write a project whose data set is a folder of `count` photos, with everything that its stages write."""
    project = folder / "project"
    for name in ("src", "stages", "review"):
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", ".dvcignore", ".gitignore"):
        shutil.copy(ROOT / name, project)
    params = read_yaml(ROOT / "params.yaml")
    params["ingest"]["dataset"] = "many"
    params["datasets"]["many"] = {"source": "folder", "path": str(folder / "photos"), "boxes": "saliency"}
    put(project, {"params.yaml": as_yaml(params)})
    run(project, "git", "init", "-q")
    dvc(project, "init", "-q")
    shutil.copy(ROOT / ".dvc/config", project / ".dvc/config")
    fill(folder / "photos", count)
    run(project, sys.executable, "stages/inventory.py")
    os.chdir(project)
    for path in written(read_yaml(Path("dvc.yaml")), params):
        if path == Path("data/photos"):
            shutil.copytree(folder / "photos", path)
        elif path.parts[:2] in (("data", "views"), ("data", "masks")):
            with packed_folder(path) as packer:
                for name, content in images(int(count * CROPS[path.name]), str(path)):
                    packer.put(f"{name}~0.png", content)
        elif path == Path("data/asked"):
            for method in (name for kind in METHODS for name in params[kind]):
                write_text(path / f"{method}.json", method)
        elif not path.suffix:
            write_text(path / "a", str(path))
        elif not path.exists():
            write_text(path, str(path))
    dvc(project, "commit", "-f")
    return project


def fill(folder: Path, count: int) -> None:
    """Write `count` photos, 500 a folder."""
    for number, (name, content) in enumerate(images(count)):
        place = folder / f"L{number // 500}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{name}.JPG").write_bytes(content)


def images(count: int, kind: str = "") -> Iterator[tuple[str, bytes]]:
    """Give `count` different names and contents, by name."""
    for number in range(count):
        yield f"IMG_{number:06d}", JPEG + kind.encode() + number.to_bytes(4, "big")


def written(described: Described, params: Described) -> Iterator[Path]:
    """Give each out, metric and plot of each stage, folders of images before their tables."""
    for stage in described["stages"].values():
        loop = stage.get("foreach", [""])
        stage = stage.get("do", stage)
        for item in loop if isinstance(loop, list) else params[loop.strip("${}")]:
            for kind in ("outs", "metrics", "plots"):
                for out in stage.get(kind, []):
                    path = out if isinstance(out, str) else next(iter(out))
                    yield Path(path.replace("${item}", item).replace("${key}", item))


def with_folders(described: Described, lock: Described) -> None:
    """Let stages depend on folders of images in the place of their tables of hashes, and say so in their lock."""
    outs = {out["path"]: out for stage in lock["stages"].values() for out in stage["outs"]}
    made = {str(hashes_of(Path(path))): path for path in outs if path.startswith("data/")}
    folders = {table: path for table, path in made.items() if table in outs}
    for name, template in described["stages"].items():
        stage = template.get("do", template)
        deps = []
        for dep in stage["deps"]:
            below = [folder for table, folder in folders.items() if table.startswith(f"{dep}/")]
            one = "data/hashes/" in dep and not below
            deps += below or [dep.replace("data/hashes/", "data/").removesuffix(".csv") if one else dep]
        stage["deps"] = deps + ["data/photos"] * (name in READ_PHOTOS)
    for name, stage in lock["stages"].items():
        told = {dep["path"]: dep for dep in stage["deps"]}
        for path in list(told):
            for table, folder in folders.items():
                if table == path or table.startswith(f"{path}/"):
                    told.pop(path, None)
                    told[folder] = outs[folder]
        if name.partition("@")[0] in READ_PHOTOS:
            told["data/photos"] = outs["data/photos"]
        stage["deps"] = [told[path] for path in sorted(told)]


def as_yaml(value: Described) -> str:
    text = StringIO()
    YAML().dump(value, text)
    return text.getvalue()


def put(project: Path, texts: Mapping[str, str]) -> None:
    for name, text in texts.items():
        write_text(project / name, text)


def run(project: Path, *command: str) -> str:
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PELAGE_CACHE": str(project / ".pelage"),
        "DVC_NO_ANALYTICS": "1",
    }
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")
    return done.stdout


def dvc(project: Path, *arguments: str) -> str:
    return run(project, sys.executable, "-m", "dvc", *arguments)


def seconds_of_nothing(project: Path) -> tuple[float, float]:
    """Run `dvc repro` and return its seconds by the clock and of all cores."""

    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    start, before = time.perf_counter(), used()
    said = dvc(project, "repro")
    ran = re.findall(r"Running stage '([\w@]+)'", said)
    if ran != ["inventory"]:
        raise SystemExit(f"Something was thought to have changed: {', '.join(ran)} ran.")
    return time.perf_counter() - start, used() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=100_000, help="number of photos")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each, of which the fastest counts")
    parser.add_argument("--folder", type=Path, help="where the project is made and stays, or was made before")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/repro.json")
    arguments = parser.parse_args()
    out = arguments.out.resolve()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.folder or Path(scratch)
        project = folder / "project" if (folder / "project/dvc.lock").exists() else make_project(folder, arguments.n)
        tables = {name: (project / name).read_text(encoding="utf-8") for name in ("dvc.yaml", "dvc.lock")}
        described, lock = (read_yaml(project / name) for name in tables)
        with_folders(described, lock)
        folders = {"dvc.yaml": as_yaml(described), "dvc.lock": as_yaml(lock)}
        times: dict[str, list[tuple[float, float]]] = {"tables": [], "folders": []}
        try:
            seconds_of_nothing(project)  # fills the system's cache
            for _ in range(arguments.rounds):
                for way, texts in (("tables", tables), ("folders", folders)):
                    put(project, texts)
                    times[way].append(seconds_of_nothing(project))
                    print(way, *(round(seconds, 1) for seconds in times[way][-1]), flush=True)
        finally:
            put(project, tables)
    best = {way: [min(one[i] for one in taken) for i in (0, 1)] for way, taken in times.items()}
    files = sum(out.get("nfiles", 0) for stage in lock["stages"].values() for out in stage["outs"])
    result = {
        "photos": arguments.n,
        "files": files,
        "cores": cores(),
        "seconds_nothing_changed": round(best["tables"][0], 1),
        "cpu_seconds_nothing_changed": round(best["tables"][1], 1),
        "cpu_seconds_with_folders_as_dependencies": round(best["folders"][1], 1),
        "folders_over_tables_cpu": round(best["folders"][1] / best["tables"][1], 2),
    }
    write_json(out, result)
    print(result)


if __name__ == "__main__":
    main()
