"""Check leakage: data/split.csv, data/clean.csv, data/clocks.csv -> metrics/leakage.json; fails on a leak."""

from pathlib import Path

import _path  # noqa: F401

from pelage.catalogue.clocks import CLOCK_COLUMNS, CLOCK_NUMBERS
from pelage.common.files import write_json
from pelage.common.params import entry, read_params
from pelage.common.stage import run_stage
from pelage.common.tables import read_table
from pelage.split.leakage import FACTS, KINDS, find_leaks, join_facts, leakage_metrics, refuse_leaks, refuse_unfounded
from pelage.split.protocols import read_split


def main() -> None:
    """Count leaks; refuse a split that has any, unless a published one is known to."""
    params = read_params()
    rules = params["check_leakage"]
    bits = rules["near_duplicate_bits"]
    dataset = entry(params["datasets"], params["ingest"]["dataset"], "datasets")
    split = read_split(Path("data/split.csv"))
    photos = read_table(Path("data/clean.csv"), required=["image_id", *FACTS])
    clocks = read_table(Path("data/clocks.csv"), numbers=CLOCK_NUMBERS, required=CLOCK_COLUMNS)
    rows = join_facts(split, photos, clocks, bits, params["split"]["revisit_gap_s"])
    leaks = find_leaks(rows, bits)
    excused = bool(dataset.get("published_leaks")) and bool(split["published"].any())
    refuse_leaks(leaks, excused)
    refuse_unfounded(rows, rules["max_resting_on_nothing"], excused)
    metrics = leakage_metrics(rows, bits, leaks)
    write_json(Path("metrics/leakage.json"), metrics)
    print("check_leakage: " + ", ".join(f"{kind} {metrics[kind]}" for kind in KINDS))
    if unfounded := metrics["queries_resting_on_nothing"]:
        print(f"check_leakage: of {unfounded} queries nothing tells which photos were taken with them")


if __name__ == "__main__":
    run_stage(main)
