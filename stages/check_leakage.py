"""Check leakage: data/split.csv and data/clean.csv -> metrics/leakage.json; fails when the split leaks."""

from pathlib import Path

import _path  # noqa: F401

from pelage.common.files import write_json
from pelage.common.params import entry, read_params
from pelage.common.stage import run_stage
from pelage.common.tables import read_table
from pelage.split.leakage import KINDS, find_leaks, leakage_metrics, refuse_leaks
from pelage.split.protocols import read_split


def main() -> None:
    """Count leaks; refuse a split that has any, unless a published one is known to."""
    params = read_params()
    bits = params["check_leakage"]["near_duplicate_bits"]
    dataset = entry(params["datasets"], params["ingest"]["dataset"], "datasets")
    split = read_split(Path("data/split.csv"))
    photos = read_table(Path("data/clean.csv"), required=["image_id", "sha256", "phash"])
    leaks = find_leaks(split, photos, bits)
    refuse_leaks(leaks, bool(dataset.get("published_leaks")) and bool(split["published"].any()))
    metrics = leakage_metrics(split, photos, bits, leaks)
    write_json(Path("metrics/leakage.json"), metrics)
    print("check_leakage: " + ", ".join(f"{kind} {metrics[kind]}" for kind in KINDS))


if __name__ == "__main__":
    run_stage(main)
