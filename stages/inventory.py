"""Inventory: every file below the data set's local sources -> data/inventory.csv. Always runs, so changes are seen."""

from collections import Counter
from pathlib import Path

import _path  # noqa: F401

from pelage.catalogue.entries import read_sources
from pelage.catalogue.inventory import inventory_rows, named_rows, write_inventory
from pelage.common.files import write_text
from pelage.common.params import entry, read_params
from pelage.common.stage import run_stage
from pelage.settings.paths import check_paths


def main() -> None:
    params = read_params()
    check_paths(params)  # each time: a link that was made since params.yaml was checked may lead into an output
    name = params["ingest"]["dataset"]
    dataset = entry(params["datasets"], name, "datasets")
    rows = inventory_rows(read_sources(dataset, name)) + named_rows(dataset, name)
    write_text(Path("data/inventory.csv"), write_inventory(rows))
    kinds = Counter(kind for _, _, kind, _, _ in rows)
    print(
        f"inventory: {name}: " + (", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items())) or "no files")
    )


if __name__ == "__main__":
    run_stage(main)
