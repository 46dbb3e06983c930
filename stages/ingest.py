"""Ingest: the data set that params.yaml names -> data/photos, data/photos.csv, data/truth, metrics/ingest.json."""

from pathlib import Path

import _path  # noqa: F401
import pandas as pd

from pelage.catalogue.demo.survey import TRUTH_COLUMNS
from pelage.catalogue.photos import FILLS, place_photos, survey_counts
from pelage.catalogue.schema import photo_table
from pelage.catalogue.sources import open_survey
from pelage.common.files import fresh_folder, write_json
from pelage.common.params import choose, entry, read_params
from pelage.common.stage import run_stage
from pelage.common.tables import write_table


def main() -> None:
    params = read_params()
    name = params["ingest"]["dataset"]
    fill = choose(params["ingest"]["photos"], FILLS, "ingest.photos")
    dataset, key = entry(params["datasets"], name, "datasets"), f"datasets.{name}"

    with fresh_folder(Path("data/photos")) as photos, fresh_folder(Path("data/truth")) as truth:
        with open_survey(dataset, key, photos, truth) as survey:
            table = place_photos(photo_table(survey), survey.root, photos, fill, survey.exif)
            counts = survey_counts(table, survey)
        if not (truth / "truth.csv").exists():
            write_table(truth / "truth.csv", pd.DataFrame(columns=TRUTH_COLUMNS))
    write_table(Path("data/photos.csv"), table)
    write_json(Path("metrics/ingest.json"), counts)
    print(
        f"ingest: {counts['photos']} photos of {counts['identities']} individuals from {name} "
        f"({counts['unknown']} unidentified, {counts['without_date']} without a date)"
    )
    noted = ("unmatched_names", "other_orientations", "other_media", "ambiguous", "unreadable")
    if told := ", ".join(f"{counts[word]} {word.replace('_', ' ')}" for word in noted if counts[word]):
        print(f"ingest: to look at: {told}")


if __name__ == "__main__":
    run_stage(main)
