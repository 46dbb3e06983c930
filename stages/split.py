"""Split: data/clean.csv, clocks.csv, animals.csv, detections.csv -> data/split.csv, metrics/split.json."""

from pathlib import Path

import _path  # noqa: F401

from pelage.catalogue.clocks import CLOCK_COLUMNS, CLOCK_NUMBERS
from pelage.common.files import write_json
from pelage.common.params import entry, read_params
from pelage.common.stage import run_stage
from pelage.common.tables import read_table, write_table
from pelage.split.assign import (
    ANIMAL_COLUMNS,
    DETECTION_COLUMNS,
    DETECTION_NUMBERS,
    NAMED,
    PHOTO_COLUMNS,
    crop_table,
    drawn_split,
    lacking,
    published_split,
    split_metrics,
)


def main() -> None:
    """Draw the split, or take the data set's own."""
    params = read_params()
    wanted = params["split"]
    bits, revisit_gap_s = params["check_leakage"]["near_duplicate_bits"], wanted["revisit_gap_s"]
    clocks = read_table(Path("data/clocks.csv"), numbers=CLOCK_NUMBERS, required=CLOCK_COLUMNS)
    photos = read_table(Path("data/clean.csv"), required=PHOTO_COLUMNS)
    detections = read_table(Path("data/detections.csv"), numbers=DETECTION_NUMBERS, required=DETECTION_COLUMNS)
    animals = read_table(Path("data/animals.csv"), required=ANIMAL_COLUMNS)
    crops = crop_table(photos, animals, detections, keep_shared=wanted["shared"] == "keep")
    if wanted["source"] == "drawn":
        shares = {name: wanted[name] for name in ("novel", "val_novel", "val", "test")}
        split = drawn_split(crops, clocks, bits, revisit_gap_s, wanted["seed"], **shares)
    else:
        column = entry(params["datasets"], params["ingest"]["dataset"], "datasets").get("split_column", "")
        own = {"photos": photos, "column": column, "seed": wanted["seed"], "val": wanted["val"]}
        split = published_split(crops, clocks, bits=bits, revisit_gap_s=revisit_gap_s, **own)
    metrics = split_metrics(split)
    write_table(Path("data/split.csv"), split)
    write_json(Path("metrics/split.json"), metrics)
    for subset in NAMED:
        crops, visits, animals = (metrics[f"{subset}_{name}"] for name in ("crops", "encounters", "individuals"))
        print(f"split: {subset} {crops} crops, {visits} encounters, {animals} individuals")
    print(f"split: survey {metrics['survey_crops']} crops, {metrics['survey_encounters']} encounters of nobody named")
    if told := lacking(split[split["subset"].isin(NAMED)]):
        print(f"split: nothing is learnt or judged. {told}")


if __name__ == "__main__":
    run_stage(main)
