"""What would 10^5 to 10^8 photos cost, and what breaks first? Writes the tables of `docs/scale.md`.

    PYTHONPATH=src python benchmarks/scale_plan.py [--memo .pelage/memo]

Nothing is run: unit costs are those that other benchmarks have measured (`benchmarks/results/`), sizes those of the
demo's outputs (`dvc.lock`) and of results in its memo (counted in the folder that is given, else kept from before), and
what no measurement tells is an assumption, listed in the page. Costs grow with photos as the code's loops do.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from scale import KEYPOINTS, NEW

from pelage.common.files import write_json, write_text
from pelage.common.params import read_params, read_yaml
from pelage.matching.local.features import DESCRIPTOR_DIM
from pelage.matching.search.vector_index import EXACT
from pelage.report.readme import renewed

RESULTS = Path("benchmarks/results")
PAGE, TABLES = Path("docs/scale.md"), RESULTS / "scale_plan.json"
SIZES = (10**5, 10**6, 10**7, 10**8)

CROPS = 1.0
"""Crops of a photo. Assumed: many photos of a survey are blank, others show flank and face."""

TRAINED = 0.3
"""Share of the crops that a network learns from. Assumed: the others have no name, or are kept for tests."""

PHOTO = 1.5e6
"""Bytes of a photo. Assumed: 4 to 12 megapixels as a camera trap writes them."""

CLUSTER, MACHINE, ROOM = 256, 16, 64
"""Cores of the workers, and cores and GiB of the machine that runs the stages. Assumed."""

PATIENCE = 7
"""Days that a stage may take. Assumed."""

CORE_HOUR, GB_MONTH = 0.04, 0.023
"""Dollars of a core-hour and of a GB kept for a month. Assumed: list prices of large providers, about 2025."""


@dataclass(frozen=True)
class Stage:
    """What a stage costs.

    Attributes:
        name: Its name, or those of stages that are measured together.
        spread: Whether workers do it; else the one machine does.
        seconds: CPU seconds for a number of photos.
        gib: Memory of the process that runs it, GiB.
        stored: Bytes that it leaves, memo included.
        source: Where the unit costs are from.
        instead: What would take its place where it breaks.
    """

    name: str
    spread: bool
    seconds: Callable[[float], float]
    gib: Callable[[float], float]
    stored: Callable[[float], float]
    source: str
    instead: str

    def days(self, photos: float) -> float:
        """Return days on the assumed cores."""
        return self.seconds(photos) / (CLUSTER if self.spread else MACHINE) / 86400

    def breaks(self, photos: float) -> str:
        """Return in words why it cannot be done so, or nothing."""
        over = [f"{self.days(photos):,.0f} days"] * (self.days(photos) > PATIENCE)
        return " and ".join(over + [f"{self.gib(photos):,.0f} GiB"] * (self.gib(photos) > ROOM))


def measured(name: str) -> dict:
    """Return the results of a benchmark."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def stored_a_crop(lock: dict, crops: int, *begins: str) -> float:
    """Return the bytes a crop of the demo's outputs whose paths begin so."""
    outs = [out for stage in lock["stages"].values() for out in stage.get("outs", [])]
    return sum(out["size"] for out in outs if out["path"].startswith(begins)) / crops


def stages(memo: Mapping[str, float]) -> list[Stage]:
    """Return the stages, with unit costs as they are measured now; `memo` are the bytes of a result, by its kind."""
    params, lock = read_params(), read_yaml(Path("dvc.lock"))
    crops = sum(measured_crops(part) for part in params["parts"])
    inventory, decoding = measured("inventory"), measured("clean_tables")["decoding"]
    looking = measured("detection")["seconds_a_photo_and_core"]
    detection = sum(looking[part] for part in ("read", "network", "saliency", "proposals"))
    few, many = measured("detect_memory")["runs"]
    remembered = (many["peak_gib"] - few["peak_gib"]) / (many["photos"] - few["photos"])
    cutting = measured("preprocess")["cpu_seconds_a_photo"]["ours"]
    training, embedding, matching = measured("training"), measured("embedding"), measured("matching")
    search, glue, repro = measured("search"), measured("lightglue"), measured("repro")
    dim, depth = params["model"]["dim"], params["search"]["depth"]
    keypoints = params["matchers"]["sift_lnbnn"]["keypoints"]
    features = keypoints * (DESCRIPTOR_DIM + 5 * 4)  # place, scale, angle and weight are float32
    epochs = params["train"]["epochs"]
    shortlist = 80  # candidates of a query: `local_shortlist` and `global_shortlist`
    pair = glue["adaptive_batched_half_give_up_cpu_seconds_per_pair"]
    new, more = measured("scale")[str(SIZES[0])]["ask"], keypoints / KEYPOINTS
    filed = (new["match"]["cpu_seconds"] - new["match_again"]["cpu_seconds"]) * more / SIZES[0]
    answered = new["match_again"]["cpu_seconds"] * more / NEW
    indexed = keypoints * (2 * DESCRIPTOR_DIM + 8 + 2 * 8 + 4)  # descriptors twice, row, crop, keypoint and weight

    def searched(photos: float) -> float:
        count = CROPS * photos
        if count <= EXACT:
            return count * search["flat"]["milliseconds_a_query"] / 1e3 * count / search["crops"]
        index = search["hnsw"]
        return count * (index["build_s"] / search["crops"] + index["milliseconds_a_query"] / 1e3)

    def of_million(*steps: str) -> tuple[Callable[[float], float], Callable[[float], float]]:
        """Return seconds and GiB of so many photos, as steps on tables of a million have them."""
        told = [measured("million")["1000000"][step] for step in steps]
        seconds, most = sum(step["cpu_seconds"] for step in told), max(step["peak_gib"] for step in told)
        return lambda n: n / 1e6 * seconds, lambda n: n / 1e6 * most

    def none(_: float) -> float:
        return 0.0

    return [
        Stage(
            "inventory, ingest", False,
            lambda n: n * inventory["seconds_anew"] * inventory["cores"] / inventory["files"] + n * PHOTO / 5e8,
            lambda n: n * 1e3 / 2**30, lambda n: n * PHOTO,
            "inventory.json; 0.5 GB/s of hashing and copying and 1 kB a row assumed",
            "photos that stay in the bucket, hashed by whoever reads them; tables in partitions (a station, a month)",
        ),
        Stage(
            "clean: looks", True,
            lambda n: n * decoding["seconds_once"], none, lambda n: n * memo["look"],
            "clean_tables.json", "",
        ),
        Stage(
            "clean, split: tables", False,
            *of_million("clean", "split", "check_leakage"), lambda n: n * 1e3,
            "million.json; 1 kB a row of all tables assumed",
            "the same steps a station (nothing but names crosses stations), or a table engine that spills to disk",
        ),
        Stage(
            "detect", True,
            lambda n: n * detection, lambda n: n * remembered,
            lambda n: n * (memo["saliency"] + memo["network"] + memo["sighting"]),
            "detection.json; memory from detect_memory.json", "blank photos left out by a small network first; a GPU; "
            "sightings written camera by camera",
        ),
        Stage(
            "crop, background, edges", False,
            lambda n: CROPS * n * cutting, none,
            lambda n: CROPS * n * (memo["background"] + stored_a_crop(lock, crops, "data/views/", "data/masks/")),
            "preprocess.json, as if no map showed an outline already; bytes from dvc.lock",
            "masks by workers, which they do where the time goes; views made when they are read, from crop and mask",
        ),
        Stage(
            "train: a network, a seed", False,
            lambda n: TRAINED * CROPS * n * epochs * training["cpu_seconds_a_photo"]["pelage"],
            none, lambda n: 30e6,
            f"training.json, {epochs} epochs", "a GPU, and fewer epochs of more photos",
        ),
        Stage(
            "embed: a network, a seed", True,
            lambda n: CROPS * n * embedding["ours_cpu_seconds_per_image"],
            lambda n: CROPS * n * dim * 4 / 2**30, lambda n: CROPS * n * dim * 4,
            f"embedding.json; {dim} numbers a crop", "embeddings in shards",
        ),
        Stage(
            "search: a network", False,
            searched, lambda n: CROPS * n * (dim + 64) * 4 / 2**30, lambda n: CROPS * n * depth * 8,
            f"search.json, as if a query cost the same at any size; {depth} candidates of it",
            "an index in shards that are asked in turn, product codes, and fewer candidates a query",
        ),
        Stage(
            "match: keypoints (sift_lnbnn)", True,
            lambda n: CROPS * n * matching["sift_lnbnn_seconds_per_crop_for_keypoints"], none,
            lambda n: CROPS * n * memo["sift"],
            "matching.json", "",
        ),
        Stage(
            "match: queries (sift_lnbnn)", True,
            lambda n: CROPS * n * (filed + answered),
            lambda n: CROPS * n * (features + indexed) / 2**30, lambda n: CROPS * n * depth * 8,
            f"scale.json, {more:g} times its keypoints, as if a query cost the same at any size; "
            f"{(features + indexed) / 1e3:.0f} kB of features and index a crop",
            "an index in shards or on disk, of compressed descriptors",
        ),
        Stage(
            "rematch: keypoints (aliked)", True,
            lambda n: CROPS * n * glue["seconds_per_crop_for_keypoints"][0], none,
            lambda n: CROPS * n * 512 * (128 * 2 + 3 * 4),
            "lightglue.json; 512 keypoints a crop", "a GPU",
        ),
        Stage(
            f"rematch: {shortlist} pairs a query", True,
            lambda n: CROPS * n * shortlist * pair, lambda n: CROPS * n * 512 * (128 * 2 + 3 * 4) / 2**30, none,
            "lightglue.json", "a GPU; only queries that nothing else has answered surely; features read a block",
        ),
        Stage(
            "fuse, individuals, count", False,
            *of_million("fuse", "individuals", "count"), lambda n: n * 3e2,
            "million.json, of a million pairs a method; counted on a mask of 8,000 cells; 0.3 kB a row assumed",
            "a region at a time, of stations that share animals",
        ),
        Stage(
            "dvc repro with nothing to do", False,
            lambda n: n * repro["cpu_seconds_nothing_changed"] / repro["photos"], none, none,
            "repro.json", "",
        ),
    ]  # fmt: skip


def measured_crops(part: str) -> int:
    """Return how many crops of a part the demo has."""
    return json.loads(Path(f"metrics/background_{part}.json").read_text(encoding="utf-8"))["crops"]


def bytes_a_result(memo: Path) -> dict[str, int]:
    """Return the mean bytes of a result in a memo, by its kind."""
    found = {kind.name: [file.stat().st_size for file in kind.rglob("*") if file.is_file()] for kind in memo.iterdir()}
    return {kind: round(sum(sizes) / len(sizes)) for kind, sizes in sorted(found.items()) if sizes}


def number(value: float) -> str:
    """Return a number with two figures that count."""
    if value == 0:
        return "0"
    if value < 0.01:
        return "< 0.01"
    return f"{float(f'{value:.2g}'):,.12g}"


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a table as Markdown."""
    lines = [head, ["---", *["---:"] * len(SIZES), *["---"] * (len(head) - len(SIZES) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--memo", type=Path, help="folder of the demo's memo")
    asked = parser.parse_args()
    memo = bytes_a_result(asked.memo) if asked.memo else measured("scale_plan")["memo_bytes_a_result"]
    planned = stages(memo)
    heads = [f"10^{len(str(size)) - 1}" for size in SIZES]
    hours = [[stage.name, *(number(stage.seconds(n) / 3600) for n in SIZES), stage.source] for stage in planned]
    totals = [sum(stage.seconds(n) for stage in planned) / 3600 for n in SIZES]
    kept = [sum(stage.stored(n) for stage in planned) for n in SIZES]
    hours.append(["all together", *map(number, totals), ""])
    money = [
        ["core-hours", *map(number, totals)],
        ["dollars for them", *(number(one * CORE_HOUR) for one in totals)],
        ["TB kept", *(number(one / 1e12) for one in kept)],
        ["dollars a month for them", *(number(one / 1e9 * GB_MONTH) for one in kept)],
    ]
    breaking = [[stage.name, *(stage.breaks(n) for n in SIZES), stage.instead] for stage in planned]
    breaking = [row for row in breaking if any(row[1:-1])]
    text = PAGE.read_text(encoding="utf-8")
    for mark, told in (
        ("hours", table(["core-hours", *heads, "unit cost from"], hours)),
        ("money", table(["", *heads], money)),
        ("breaks", table(["what breaks", *heads, "what would replace it"], breaking)),
        ("assumed", assumptions()),
    ):
        text = renewed(text, told, mark)
    write_text(PAGE, text)
    result = {
        stage.name: {
            head: {
                "core_hours": float(f"{stage.seconds(n) / 3600:.3g}"),
                "gib": float(f"{stage.gib(n):.3g}"),
                "bytes": float(f"{stage.stored(n):.3g}"),
                "breaks": stage.breaks(n),
            }
            for head, n in zip(heads, SIZES, strict=True)
        }
        for stage in planned
    }
    write_json(TABLES, {"memo_bytes_a_result": memo, "stages": result})


def assumptions() -> str:
    """Return the assumptions as a list."""
    return "\n".join((
        f"* A photo has {PHOTO / 1e6:g} MB and {CROPS:g} crop; a network learns from {TRAINED:.0%} of the crops.",
        f"* Workers have {CLUSTER} cores. The machine that runs the stages has {MACHINE} cores and {ROOM} GiB.",
        f"* A stage breaks where it takes more than {PATIENCE} days or its process more than those {ROOM} GiB.",
        f"* A core-hour is {CORE_HOUR} dollars, a GB kept for a month {GB_MONTH} (list prices of large providers).",
        "* Two cores of the machine that measured stand for any two cores.",
    ))  # fmt: skip


if __name__ == "__main__":
    main()
