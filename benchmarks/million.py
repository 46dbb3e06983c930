"""What do a million photos cost each stage that works on tables, and how large are the pages about them?

    dvc repro
    PYTHONPATH=src python benchmarks/million.py -n 1000000

A survey of N photos is drawn as in `benchmarks/tables.py`, an individual for each 200 photos and a station for each
5,000, and its rows are appended to the tables of the demo's run, which is what networks, matchers and insight left.
Rankings get a million rows a method for N of a million. In a copy of the run each stage is then started as DVC starts
it, one after the other, each in a process of its own: its CPU and wall seconds, its greatest memory, and the bytes that
it wrote. What looks at photos is not run: detections are drawn, and drawn photos and crops are copies of the demo's.
`--drawn-answers` draws who is who instead of clustering, and leaves out what clusters or fits models of a population.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tables import survey

from pelage.animals.answers import ANSWER_COLUMNS
from pelage.animals.units import NAMED, SEEN, animals_seen, units_of
from pelage.catalogue.belonging import belong
from pelage.common.files import write_json, write_text
from pelage.common.hashes import hashes_of
from pelage.common.images import to_rgb
from pelage.common.packs import Packs, packed_folder
from pelage.common.params import read_params
from pelage.common.tables import UNKNOWN, crop_file, read_parquet, read_table, write_parquet, write_table
from pelage.matching.fusion import read_methods
from pelage.matching.rankings import FUSED, SIGHTINGS, ranking_files
from pelage.report.thumbnails import small_picture
from pelage.split.protocols import ASKED, SURVEY, asked_sets, protocol_sets, read_split

ROOT = Path(__file__).resolve().parents[1]
RUN = ("data", "metrics", "plots", "review")
HEAVY = ("weights", "models", "embeddings", "masks", "report")
"""Folders of the run's data that no stage on tables reads."""

PICTURES = 64
"""Different crops that all of the drawn ones are copies of."""

CANDIDATES = 20
EXPORTS = ("secr", "oscr", "spacecap", "mark", "camtrap-dp", "wildlife-datasets")
INDIVIDUALS = ("individuals", "count", "review")
"""Steps whose time is that of clusters or of models, not of tables."""

STEPS = ("split", "check_leakage", "look", "fuse", "individuals", "evaluate", "count", "headline", "report")
STEPS += (*(f"export {kind}" for kind in EXPORTS), "review")


def appended(path: Path, rows: pd.DataFrame) -> None:
    """Append rows to a table of the run; columns that they lack are empty, others are left out."""
    table = read_table(path) if path.exists() else rows.head(0)
    write_table(path, pd.concat([table, rows.reindex(columns=table.columns, fill_value="").astype(str)]))


def draw(count: int, data: Path) -> None:
    """Append a survey of `count` photos to the tables from ingest to crop."""
    rng = np.random.default_rng(2)
    params = read_params()
    photos, names = survey(count, max(count // 200, 20), max(count // 5000, 4))
    photos["source"] = "drawn"
    appended(data / "photos.csv", photos)
    claims = pd.DataFrame({"image_id": photos["image_id"], "claim": "0", "identity": names, "orientation": UNKNOWN})
    appended(data / "claims.csv", claims[names != UNKNOWN])
    places = photos.drop_duplicates(["station", "camera"])
    at = {name: rng.uniform(0, 1, 2) for name in sorted(set(photos["station"]))}
    cameras = pd.DataFrame({
        "station": places["station"], "camera": places["camera"],
        "latitude": [f"{-22.5 + at[name][0]:.6f}" for name in places["station"]],
        "longitude": [f"{28.1 + at[name][1]:.6f}" for name in places["station"]],
        "start": "2023-11-14T00:00:00", "end": "2024-11-14T00:00:00", "rests_on": "told",
    })  # fmt: skip
    appended(data / "deployments.csv", cameras)
    found = belong(photos, names, params["split"]["burst_gap_s"], photos["sha256"])
    appended(data / "clocks.csv", found.clocks)
    demo = read_table(data / "clean.csv")["path"].to_numpy()
    clean = photos.drop(columns="encounter").join(found.table)
    clean = clean.assign(path=demo[np.arange(count) % len(demo)], width="640", height="480")
    appended(data / "clean.csv", clean)
    side = photos["camera"].str[-1].map({"A": "left", "B": "right"})
    box = {"x": "50", "y": "100", "w": "300", "h": "200", "score": "0.9"}
    blank, two = rng.random(count) < 0.05, rng.random(count) < 0.02
    animals = pd.DataFrame({"image_id": photos["image_id"], "animal": "0", **box, "found_by": "embedded",
                            "orientation": side, "identity": names, "claimed": "alone", "shared": "False",
                            "shared_score": "0.1", "outline": "photo"})  # fmt: skip
    animals["score"] = np.round(rng.uniform(0.5, 1, count), 4).astype(str)
    more = animals[two & ~blank].assign(animal="1", x="350", identity=UNKNOWN, claimed="nobody")
    animals = pd.concat([animals[~blank], more]).sort_values(["image_id", "animal"], ignore_index=True)
    appended(data / "animals.csv", animals)
    crops = animals.assign(crop_id=animals["image_id"] + "#" + animals["animal"], part="flank")
    appended(data / "detections.csv", crops)
    told = photos.loc[blank, ["image_id", "path"]].assign(reason="no animal", detail="It was drawn so.")
    appended(data / "rejected/detect.csv", told)
    told = told.assign(image_id=told["image_id"] + "-copy", reason="near_duplicate")
    appended(data / "rejected/clean.csv", told)
    truth = read_table(data / "truth/truth.csv")
    write_table(data / "truth/truth.csv", truth.head(0))  # nobody knows it
    packed_crops(sorted(map(crop_file, crops["crop_id"])), data)


def packed_crops(files: Sequence[str], data: Path) -> None:
    """Pack crops of the demo, made small, as the drawn ones, as the stage crop does; give all views the same."""
    demo = Packs(data / "views/crop/flank", data)
    pictures = [small_picture(to_rgb(demo.image(name)), 320, 8_000) for name in demo.names()[:PICTURES]]
    drawn = data / "views/drawn/flank"
    with packed_folder(drawn, data) as packer:
        for number, file in enumerate(files):
            packer.put(file, pictures[number % PICTURES])
    table = read_table(hashes_of(drawn, data))
    for view in ("crop", "nobg", "crop_edge", "nobg_edge"):
        folder = data / "views" / view / "flank"
        for pack in drawn.iterdir():
            os.link(pack, folder / pack.name)
        appended(hashes_of(folder, data), table)
    hashes_of(drawn, data).unlink()
    shutil.rmtree(drawn)


def draw_rankings(count: int, data: Path) -> None:
    """Append rankings of drawn queries to those of all methods of flanks: `count / 5` rows a protocol."""
    params = read_params()
    split = read_split(data / "split.csv")
    drawn = split[~split["crop_id"].isin(set(read_table(Path("demo_split.csv"))["crop_id"]))]
    part, methods, _ = read_methods(params)
    tables = {}
    for name, rules in (protocol_sets(drawn, part) | asked_sets(drawn, part)).items():
        tables[name] = ranked(name, rules, count // (5 * CANDIDATES))
    judged = pd.concat([table for name, table in tables.items() if name not in ASKED])
    every = pd.concat(tables.values())
    of_part = [name for kind in ("matchers", "variants") for name, own in params[kind].items() if own["part"] == part]
    for method in {*of_part, "mlp", "random_mlp", "orb_sift_brisk_lightgbm", "random", "majority", FUSED, SIGHTINGS}:
        for path in ranking_files(method):
            demo = read_parquet(path)
            write_parquet(path, pd.concat([demo, every if method in (*methods, FUSED) else judged])[demo.columns])


def ranked(name: str, rules: Any, most: int) -> pd.DataFrame:
    """Rank `CANDIDATES` of the gallery for `most` queries at most: half of them of its flank, as far as there are."""
    rng = np.random.default_rng(3)
    queries, gallery = rules.queries.sort_values("crop_id"), rules.gallery.sort_values("crop_id")
    queries = queries.iloc[np.sort(rng.permutation(len(queries))[:most])]
    order = np.argsort(gallery["label"].to_numpy(str), kind="stable")
    labels = gallery["label"].to_numpy(str)[order]
    start, end = (np.searchsorted(labels, queries["label"].to_numpy(str), side) for side in ("left", "right"))
    half = CANDIDATES // 2
    own = (start[:, None] + rng.integers(0, 2**31, (len(queries), half)) % np.maximum(end - start, 1)[:, None]) % max(
        len(gallery), 1
    )
    place = np.concatenate([order[own], rng.integers(0, max(len(gallery), 1), (len(queries), half))], axis=1)
    pairs = pd.DataFrame({"query": np.repeat(np.arange(len(queries)), CANDIDATES), "candidate": place.ravel()})
    pairs = pairs.drop_duplicates()
    asked, answers = queries.iloc[pairs["query"]], gallery.iloc[pairs["candidate"]]
    same = {column: asked[column].to_numpy() == answers[column].to_numpy() for column in ("image_id", "group", "label")}
    one = asked["identity"].to_numpy() == answers["identity"].to_numpy()
    barred = same["image_id"] | same["group"] | (one & (not rules.own_individual))
    score = rng.normal(np.where(same["label"], 8.0, 4.0), 1.5).round(4)
    table = pd.DataFrame({
        "protocol": name, "query": asked["crop_id"].to_numpy(), "candidate": answers["crop_id"].to_numpy(),
        "score": score.astype(np.float32),
    })[~barred]  # fmt: skip
    table = table.sort_values(["query", "score", "candidate"], ascending=[True, False, True])
    return table.assign(rank=(table.groupby("query").cumcount() + 1).astype(np.int32))


def draw_answers(data: Path) -> None:
    """Write what the stage individuals tells the pages: of what nobody named most is a named animal, some a new one."""
    rng = np.random.default_rng(4)
    tables = {name: read_table(data / f"{name}.csv", **told) for name, told in SEEN.items()}
    units = units_of(animals_seen(tables, read_split(data / "split.csv"), "flank"), NAMED, SURVEY)
    table, crops = units.table, units.crops
    named, names = (table["scope"] == NAMED).to_numpy(), np.unique(table.loc[table["scope"] == NAMED, "identity"])
    answer = rng.choice(["known", "new", "cannot_tell"], len(table), p=[0.4, 0.1, 0.5])
    new = np.char.add("new-", rng.integers(1, len(names), len(table)).astype(str))
    whose = np.where(answer == "new", new, rng.choice(names, len(table)))
    whose = np.where(named, table["identity"], whose)
    table = table.assign(
        answer=np.where(named, NAMED, answer),
        individual=np.where(named | (answer != "cannot_tell"), whose, ""),
        probability=np.where(named, 1.0, rng.uniform(0.9, 1, len(table)).round(4)),
        reason=np.where(named | (answer != "cannot_tell"), "", "too little evidence"),
        decided_by=np.where(named, "source", "pelage"),
        likeliest=whose,
    )
    hanging = np.flatnonzero(~named & (table["best_crop"] != ""))
    other = rng.permutation(hanging)
    best = table["best_crop"].to_numpy(object)
    table["weakest_link"] = ""
    table.iloc[hanging, table.columns.get_loc("weakest_link")] = best[hanging] + " ~ " + best[other]
    links = pd.DataFrame({"query": best[hanging], "candidate": best[other], "probability": 0.97})
    write_table(data / "units.csv", units.table)
    write_table(data / "unit_crops.csv", crops)
    write_table(data / "individuals.csv", table[ANSWER_COLUMNS])
    write_parquet(data / "links.parquet", links)


def export(kind: str) -> None:
    """Write an export, as `pelage export` does."""
    from pelage.animals.export.run import Wish, run_export

    print(run_export(Wish(kind, Path(f"exported/{kind}")), read_params(), set()))


def review() -> None:
    """Read what the review page shows and find the first questions, as it starts."""
    from pelage.review.desk import Desk
    from pelage.review.run import Run

    print(len(Desk(Run.read(Path("data")), Path("review/none.jsonl")).state.questions()), "questions")


def project(folder: Path, run: Path) -> None:
    """Copy the code, and link the tables and pictures of a finished run; whatever is written anew replaces its link."""
    for name in ("src", "stages", "export.yaml"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    shutil.copy(run / "params.yaml", folder)
    for name in RUN:
        leave = shutil.ignore_patterns(*HEAVY) if name == "data" else None
        shutil.copytree(run / name, folder / name, ignore=leave)
    write_text(folder / "review/journal.jsonl", "")
    shutil.copy(folder / "data/split.csv", folder / "demo_split.csv")


def measured(command: Sequence[str], folder: Path) -> dict[str, Any]:
    """Run a command in the project; tell its seconds, greatest memory and what it wrote."""
    environment = {
        **os.environ,
        "PYTHONPATH": f"{folder / 'src'}:{ROOT / 'benchmarks'}",
        "PELAGE_CACHE": str(folder / "cache"),
    }
    begun, since = time.perf_counter(), time.time()
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said = process.stdout.read().decode()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} ended with {process.returncode}:\n{said[-3000:]}")
    told = {"seconds": round(time.perf_counter() - begun, 1), "cpu_seconds": round(used.ru_utime + used.ru_stime, 1)}
    told["peak_gib"] = round(used.ru_maxrss / 2**20, 2)
    files = [file for file in folder.rglob("*") if file.is_file() and file.stat().st_mtime >= since]
    told["written_mb"] = round(sum(file.stat().st_size for file in files) / 1e6, 2)
    pages = [file for file in files if file.suffix in (".html", ".svg", ".css", ".md", ".png")]
    return told | ({"pages_mb": round(sum(file.stat().st_size for file in pages) / 1e6, 2)} if pages else {})


def main() -> None:
    """Draw a survey and run the stages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=1_000_000, help="photos")
    parser.add_argument("--run", type=Path, default=ROOT, help="a project in which the demo has run")
    parser.add_argument("--steps", nargs="+", default=STEPS)
    parser.add_argument("--drawn-answers", action="store_true")
    parser.add_argument("--folder", type=Path, help="where the project is made, and stays; a temporary one by default")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/million.json"))
    arguments = parser.parse_args()
    if arguments.step:
        what, _, kind = arguments.step.partition(" ")
        ways = {"draw": lambda: draw(arguments.n, Path("data")), "export": lambda: export(kind), "review": review}
        ways["draw_rankings"] = lambda: draw_rankings(arguments.n, Path("data"))
        ways["draw_answers"] = lambda: draw_answers(Path("data"))
        ways[what]()
        return
    result = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    told = result.setdefault(str(arguments.n), {})
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.folder or Path(temporary) / "project").resolve()
        own = [sys.executable, __file__, "-n", str(arguments.n), "--step"]
        if not folder.exists():
            folder.mkdir()
            project(folder, arguments.run)
            print("draw", measured([*own, "draw"], folder), flush=True)
        steps = [step for step in arguments.steps if not (arguments.drawn_answers and step in INDIVIDUALS)]
        for step in steps:
            script = folder / "stages" / f"{step}.py"
            told[step] = measured([sys.executable, script] if script.exists() else [*own, step], folder)
            print(step, told[step], flush=True)
            write_json(arguments.out, result)
            if step == "split":
                keep_demo(folder)
                drawn = ["draw_rankings", *(["draw_answers"] if arguments.drawn_answers else [])]
                for what in drawn:
                    print(what, measured([*own, what], folder), flush=True)


def keep_demo(folder: Path) -> None:
    """Give the demo's crops the subsets of its own run, which networks and rankings are of."""
    demo, made = (read_table(folder / name) for name in ("demo_split.csv", "data/split.csv"))
    table = pd.concat([demo, made[~made["crop_id"].isin(set(demo["crop_id"]))]])
    write_table(folder / "data/split.csv", table.sort_values("crop_id", ignore_index=True))


if __name__ == "__main__":
    main()
