"""Clean: data/photos, data/photos.csv -> data/clean.csv, data/rejected/clean.csv, metrics/clean.json."""

from pathlib import Path

import _path  # noqa: F401

from pelage.catalogue.encounters import clock_offsets, encounters
from pelage.common.files import write_json
from pelage.common.params import read_params
from pelage.common.stage import run_stage
from pelage.common.tables import read_table, write_table
from pelage.preprocess.clean import clean_photos, content_keys, look_at_photos, looks_memo


def main() -> None:
    params = read_params()
    dataset, gap_s = params["datasets"][params["ingest"]["dataset"]], params["split"]["burst_gap_s"]
    photos = read_table(Path("data/photos.csv"), required=["image_id", "path", "identity", "date", "bbox", "sha256"])

    looks = look_at_photos(photos, Path("data/photos"), looks_memo())
    encounter = encounters(photos, gap_s, content_keys(looks))
    clocks = clock_offsets(photos, gap_s)
    cleaned = clean_photos(photos, looks, encounter, params["clean"], bool(dataset.get("curated")))
    counts = cleaned.counts | {
        "encounters": cleaned.kept["encounter"].nunique(),
        "clock_offset_s": {f"{row.station}/{row.camera}": round(row.offset_s) for row in clocks.itertuples()},
    }

    write_table(Path("data/clean.csv"), cleaned.kept)
    write_table(Path("data/rejected/clean.csv"), cleaned.rejected)
    write_json(Path("metrics/clean.json"), counts)
    print(f"clean: {counts['kept']} of {counts['photos']} photos kept, in {counts['encounters']} encounters")
    for what, told in (("rejected", counts["rejected"]), ("kept with flags", counts["flags"])):
        if words := ", ".join(f"{number} {word}" for word, number in told.items() if number):
            print(f"clean: {what}: {words}")
    for clock in clocks.itertuples():
        print(f"clean: {clock.camera} is {clock.offset_s:+.0f} s off the station's other clock ({clock.visits} visits)")


if __name__ == "__main__":
    run_stage(main)
