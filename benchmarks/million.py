"""What do a million photos cost each stage that works on tables, and how large are the pages about them?

    dvc repro
    PYTHONPATH=src python benchmarks/million.py -n 1000000

A survey of N photos is drawn: an individual for each 50 photos and a station of two cameras for each 4,000, so 20,000
individuals and 500 cameras for a million. Individuals come to a few stations in bursts of which both cameras take some;
nobody names the animal of a tenth of the visits; there are copies, undated frames and wrong clocks.

First a folder of N tiny photos with a table of them is a source, for `inventory`, `ingest` and `clean`, whose looks at
photos are drawn. Then the survey's rows are appended to the tables of the demo's run, which is what networks, matchers
and insight left. The split is drawn by the demo's shares: of a million photos some 400,000 are queries of test, 200,000
of validation, and 100,000 wait for a name. Each protocol has rankings of N / 100 of its queries, evenly drawn, with 20
candidates each: about a million rows a method for a million photos. Who wants to know 20,000 individuals apart to a
hundredth need ask no more. The other queries count as missed, and what no ranking asks for stays without an answer.

In a copy of the run each stage is started as DVC starts it, one after the other, each in a process of its own: its CPU
and wall seconds, its greatest memory, and the bytes that it wrote. Then exports, and what the review does before its
first page. `ELSEWHERE` tells why other stages are not run. `--drawn-answers` draws who is who instead of clustering,
and leaves out what clusters or fits models of a population.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from clean_tables import draw_looks

from pelage.animals.answers import ANSWER_COLUMNS
from pelage.animals.units import NAMED, SEEN, animals_seen, units_of
from pelage.catalogue.belonging import belong
from pelage.common.files import write_bytes, write_json, write_text
from pelage.common.hashes import hashes_of
from pelage.common.images import to_rgb
from pelage.common.packs import Packs, packed_folder
from pelage.common.params import read_params, read_yaml
from pelage.common.tables import UNKNOWN, crop_file, read_parquet, read_table, write_parquet, write_table
from pelage.matching.fusion import read_methods
from pelage.matching.rankings import FUSED, SIGHTINGS, ranking_files
from pelage.preprocess.clean import Looks
from pelage.report.thumbnails import small_picture
from pelage.split.protocols import ASKED, SURVEY, asked_sets, protocol_sets, read_split

ROOT = Path(__file__).resolve().parents[1]
RUN = ("data", "metrics", "plots", "review")
WRITTEN = ("data", "metrics", "plots", "exported")
HEAVY = ("weights", "models", "embeddings", "masks", "report")
"""Folders of the run's data that no stage on tables reads."""

PICTURES = 64
"""Different crops that all of the drawn ones are copies of."""

SIDE = 96
"""Pixels a side of the source's photos."""

CANDIDATES = 20
EXPORTS = ("secr", "oscr", "spacecap", "mark", "camtrap-dp", "wildlife-datasets")
INDIVIDUALS = ("individuals", "count", "review")
"""Steps whose time is that of clusters or of models, not of tables."""

OF_SOURCE = ("inventory", "ingest", "clean")
STEPS = (*OF_SOURCE, "split", "check_leakage", "look", "fuse", "individuals", "evaluate", "count", "headline", "report")
STEPS += (*(f"export {kind}" for kind in EXPORTS), "review")

ELSEWHERE = {
    **dict.fromkeys(("check_params", "ask"), "reads params.yaml only"),
    **dict.fromkeys(("weights", "match_weights"), "fetches weights"),
    **dict.fromkeys(("detect", "crop", "background", "edges"), "works on photos"),
    **dict.fromkeys(("train", "embed", "mlp", "tune", "insight"), "works on crops, by networks"),
    **dict.fromkeys(("match", "rematch", "pairs"), "works on crops, by keypoints"),
    **dict.fromkeys(("search", "naive"), "compares each query with the whole gallery, as matchers do"),
}
"""Stages that are not run, and why: see `benchmarks/scale.py` and `docs/scale.md` for what they cost."""


BURST = 5
"""Photos of a visit, by both cameras together."""


def sizes(photos: int) -> tuple[int, int]:
    """Return how many individuals and stations a survey of so many photos has."""
    return max(photos // 50, 20), max(photos // 4000, 4)


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
    return table.astype(str), names.mask((rng.random(visits) < 0.1)[visit], UNKNOWN).astype(str)


def source(count: int) -> None:
    """Make a project whose data set is a folder of `count` tiny photos, 64 different ones, and a table of them."""
    photos, names = survey(count, *sizes(count))
    rng, folder = np.random.default_rng(4), Path("photos")
    for number in range(PICTURES):
        noise = rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
        write_bytes(folder / f"{number}.jpg", cv2.imencode(".jpg", noise, [cv2.IMWRITE_JPEG_QUALITY, 20])[1].tobytes())
    for parent in sorted({os.path.dirname(path) for path in photos["path"]}):
        (folder / parent).mkdir(parents=True)
    for number, path in enumerate(photos["path"]):
        os.link(folder / f"{number % PICTURES}.jpg", folder / path)
    for number in range(PICTURES):
        (folder / f"{number}.jpg").unlink()
    told = photos[["image_id", "path", "date", "camera", "station"]].assign(identity=names.replace(UNKNOWN, ""))
    write_table(folder / "metadata.csv", told)
    params = read_params() | {"datasets": {"many": {"source": "folder", "path": "photos", "boxes": "embedded"}}}
    params["ingest"]["dataset"] = "many"
    write_json(Path("params.yaml"), params)  # which is YAML, too


def clean() -> None:
    """Run the stage clean with looks that are drawn: what it does besides looking at photos."""
    sys.path.insert(0, "stages")
    stage = importlib.import_module("clean")

    def drawn(photos: pd.DataFrame, **_: Any) -> Looks:
        number = photos["image_id"].str.removeprefix("P").astype(int).to_numpy()
        looks = draw_looks(number // BURST, np.random.default_rng(1))
        return Looks(looks.table.assign(width=SIDE, height=SIDE), looks.thumbs)

    stage.look_at_photos = drawn
    stage.main()


def appended(path: Path, rows: pd.DataFrame) -> None:
    """Append rows to a table of the run; columns that they lack are empty, others are left out."""
    table = read_table(path) if path.exists() else rows.head(0)
    write_table(path, pd.concat([table, rows.reindex(columns=table.columns, fill_value="").astype(str)]))


def draw(count: int, data: Path) -> None:
    """Append a survey of `count` photos to the tables from ingest to crop."""
    rng = np.random.default_rng(2)
    params = read_params()
    photos, names = survey(count, *sizes(count))
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
        listed = hashes_of(folder, data)
        write_table(listed, pd.concat([read_table(listed), table]).sort_values("file"))
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
    for name in ("src", "stages", "dvc.yaml", "export.yaml"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    shutil.copy(run / "params.yaml", folder)
    for name in RUN:
        leave = shutil.ignore_patterns(*HEAVY) if name == "data" else None
        shutil.copytree(run / name, folder / name, ignore=leave)
    write_text(folder / "review/journal.jsonl", "")
    shutil.copy(folder / "data/split.csv", folder / "demo_split.csv")


def files_below(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, but no photos."""
    for at, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != "photos"]
        yield from (Path(at) / name for name in files)


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
    files = [file for name in WRITTEN for file in files_below(folder / name) if file.stat().st_mtime >= since]
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
        ways |= {"source": lambda: source(arguments.n), "clean": clean}
        ways["draw_rankings"] = lambda: draw_rankings(arguments.n, Path("data"))
        ways["draw_answers"] = lambda: draw_answers(Path("data"))
        ways[what]()
        return
    unasked = set(read_yaml(ROOT / "dvc.yaml")["stages"]) - set(ELSEWHERE) - set(STEPS)
    if unasked:
        raise SystemExit(f"stages neither run nor told why: {sorted(unasked)}")
    result = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    told = result.setdefault(str(arguments.n), {})
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.folder or Path(temporary) / "project").resolve()
        own = [sys.executable, __file__, "-n", str(arguments.n), "--step"]
        if not folder.exists():
            folder.mkdir()
            project(folder, arguments.run)
            print("draw", measured([*own, "draw"], folder), flush=True)
        if set(arguments.steps) & set(OF_SOURCE) and not (folder / "source").exists():
            (folder / "source").mkdir()
            for name in ("src", "stages", "dvc.yaml"):
                (folder / "source" / name).symlink_to(folder / name)
            shutil.copy(folder / "params.yaml", folder / "source")
            print("source", measured([*own, "source"], folder / "source"), flush=True)
        steps = [step for step in arguments.steps if not (arguments.drawn_answers and step in INDIVIDUALS)]
        for step in steps:
            here = folder / "source" if step in OF_SOURCE else folder
            script = here / "stages" / f"{step}.py"
            by_script = script.exists() and step != "clean"
            told[step] = measured([sys.executable, script] if by_script else [*own, step], here)
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
