"""Ingest: the data set of params.yaml -> data/photos and its tables, data/truth, metrics/ingest.json."""

from pathlib import Path

import _path  # noqa: F401
import pandas as pd

from pelage.catalogue.data_set import bring_in, to_look_at
from pelage.catalogue.demo.survey import TRUTH_COLUMNS
from pelage.catalogue.photos import FILLS
from pelage.common.files import fresh_folder, write_json
from pelage.common.hashes import hashed_folder
from pelage.common.params import choose, entry, read_params
from pelage.common.stage import run_stage
from pelage.common.tables import write_table


def main() -> None:
    params = read_params()
    name = params["ingest"]["dataset"]
    fill = choose(params["ingest"]["photos"], FILLS, "ingest.photos")
    dataset = entry(params["datasets"], name, "datasets")

    with fresh_folder(Path("data/photos")) as photos, hashed_folder(Path("data/truth")) as truth:
        data = bring_in(dataset, name, photos, truth, fill)
        if not (truth / "truth.csv").exists():
            write_table(truth / "truth.csv", pd.DataFrame(columns=TRUTH_COLUMNS))
    write_table(Path("data/photos.csv"), data.photos)
    write_table(Path("data/claims.csv"), data.claims)
    write_table(Path("data/deployments.csv"), data.deployments)
    write_table(Path("data/boxes.csv"), data.boxes)
    write_table(Path("data/files.csv"), data.files)
    write_table(Path("data/rejected/ingest.csv"), data.rejected)
    write_json(Path("metrics/ingest.json"), data.counts)
    counts = data.counts
    print(
        f"ingest: {counts['photos']} photos of {counts['identities']} individuals from {name} "
        f"({counts['unknown']} unidentified, {counts['without_date']} without a date)"
    )
    for line in to_look_at(data):
        print(f"ingest: to look at: {line}")


if __name__ == "__main__":
    run_stage(main)
