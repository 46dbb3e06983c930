"""Clean: data/photos, photos.csv, claims.csv of data -> clean, copies, clocks, shared_bands.csv, rejected/clean.csv."""

from functools import partial
from pathlib import Path

import _path  # noqa: F401

from pelage.catalogue.belonging import belong
from pelage.common.files import write_json
from pelage.common.params import read_params
from pelage.common.stage import run_stage
from pelage.common.tables import read_table, write_table
from pelage.common.workers import workers
from pelage.preprocess.clean import clean_photos, content_keys, look_at_photos, looks_memo, names_alone
from pelage.preprocess.shared_bands import KINDS, find_shared_bands


def main() -> None:
    params = read_params()
    dataset, gap_s = params["datasets"][params["ingest"]["dataset"]], params["split"]["burst_gap_s"]
    photos = read_table(Path("data/photos.csv"), required=["image_id", "path", "date", "camera", "sha256", "flags"])
    names = names_alone(photos, read_table(Path("data/claims.csv"), required=["image_id", "identity"]))

    look = partial(look_at_photos, folder=Path("data/photos"), memo=looks_memo())
    with workers(params["compute"]) as ahead:
        ahead(look, photos[["path", "sha256"]], "clean")
    looks = look(photos)
    belonging = belong(photos, names, gap_s, content_keys(looks, params["clean"]))
    renumbered = belonging.renumbered
    cleaned = clean_photos(photos, looks, belonging.table, names, params["clean"], bool(dataset.get("curated")))
    bands = find_shared_bands(cleaned.kept, Path("data/photos"))
    counts = cleaned.counts | {
        "encounters": cleaned.kept["encounter"].nunique(),
        "rests_on": cleaned.kept["rests_on"].value_counts().sort_index().to_dict(),
        "clocks_corrected": len(belonging.clocks[["station", "camera"]].drop_duplicates()),
        "shared_bands": {kind: int((bands["kind"] == kind).sum()) for kind in KINDS},
        "encounter_numbers_divided": renumbered.divided,
        "encounter_numbers_shared": renumbered.undecided,
    }

    write_table(Path("data/clean.csv"), cleaned.kept)
    write_table(Path("data/copies.csv"), cleaned.copies)
    write_table(Path("data/clocks.csv"), belonging.clocks)
    write_table(Path("data/shared_bands.csv"), bands)
    write_table(Path("data/rejected/clean.csv"), cleaned.rejected)
    write_json(Path("metrics/clean.json"), counts)
    print(f"clean: {counts['kept']} of {counts['photos']} photos kept, in {counts['encounters']} encounters")
    for what, told in (("rejected", counts["rejected"]), ("kept with flags", counts["flags"])):
        if words := ", ".join(f"{number} {word}" for word, number in told.items() if number):
            print(f"clean: {what}: {words}")
    if len(bands):
        told = ", ".join(f"{number} {kind}" for kind, number in counts["shared_bands"].items())
        print(f"clean: printed on all photos of a camera: {told} (data/shared_bands.csv); no mask covers them")
    if counts["name_conflicts"]:
        print(f"clean: {counts['name_conflicts']} copies have another name than what they repeat (data/copies.csv)")
    if renumbered.divided or renumbered.undecided:
        print(
            f"clean: {renumbered.divided} encounter numbers start anew with each individual and are taken for each of "
            f"them; {renumbered.undecided} are shared by several and stay so, as no time tells ({renumbered.example}). "
            "If they start anew, make them unique in the source"
        )
    for clock in belonging.clocks.itertuples():
        print(
            f"clean: from {clock.since} to {clock.until}, {clock.camera} at {clock.station} is {clock.offset_s:+.0f} s "
            f"off the station's other clocks ({clock.visits} visits)"
        )


if __name__ == "__main__":
    run_stage(main)
