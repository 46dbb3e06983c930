"""Individuals: data/fused.parquet, who was seen, review/journal.jsonl -> data/individuals.csv and its like, metrics."""

import json
from pathlib import Path

import _path  # noqa: F401
import pandas as pd

from pelage.animals.journal import JOURNAL, read_journal
from pelage.animals.naming import calibration, hear_people, name_animals, practise
from pelage.animals.rehearsal import all_numbers, metrics_of, reviewed
from pelage.animals.suspects import check_names
from pelage.animals.units import GALLERY, NAMED, PLACE_NUMBERS, SEEN, animals_seen, of_one_animal, units_of
from pelage.common.files import write_json
from pelage.common.params import read_params
from pelage.common.stage import run_stage
from pelage.common.tables import read_parquet, read_table, rejected_table, write_parquet, write_table
from pelage.matching.fusion import read_methods
from pelage.matching.rankings import RECIPROCAL_RANK
from pelage.split.protocols import PRACTICE, REHEARSAL, SURVEY, read_split


def main() -> None:
    """Learn what pairs are worth on validation, rehearse on test photos, and name those that nobody named."""
    params = read_params()
    wanted, part = params["individuals"], read_methods(params)[0]
    tables = {name: read_table(Path(f"data/{name}.csv"), **told) for name, told in SEEN.items()}
    places = read_table(Path("data/deployments.csv"), numbers=PLACE_NUMBERS, required=["station", *PLACE_NUMBERS])
    seen = animals_seen(tables, read_split(Path("data/split.csv")), part, of_one_animal(params))
    fused = read_parquet(Path("data/fused.parquet"), categories=["protocol", "query", "candidate"])
    asked = {protocol: fused[fused["protocol"] == protocol] for protocol in (PRACTICE, REHEARSAL, SURVEY)}
    calibrated = json.loads(Path("data/numbers/fuse.json").read_text("utf-8"))["calibration"] != RECIPROCAL_RANK
    evidence = practise(units_of(seen, GALLERY, PRACTICE), asked[PRACTICE]) if calibrated else None
    rehearsal = name_animals(units_of(seen, GALLERY, REHEARSAL), asked[REHEARSAL], evidence, places, **wanted)
    units = units_of(seen, NAMED, SURVEY)
    people = hear_people(read_journal(JOURNAL), units, tables["clean"])
    survey = name_animals(units, asked[SURVEY], evidence, places, **wanted, people=people)
    doubtful, names = check_names(units, pd.concat([asked[PRACTICE], asked[REHEARSAL]]), evidence, wanted["seed"])
    own = rehearsal.asked_only()
    write_table(Path("data/units.csv"), pd.concat([units.table, own.units.table]))
    write_table(Path("data/unit_crops.csv"), pd.concat([units.crops, own.units.crops]))
    write_table(Path("data/individuals.csv"), survey.answers)
    write_table(Path("data/rehearsal.csv"), own.answers)
    links = pd.concat([survey.links.assign(scope=SURVEY), rehearsal.links.assign(scope=REHEARSAL)], ignore_index=True)
    write_parquet(Path("data/links.parquet"), links)
    write_parquet(Path("data/partitions.parquet"), survey.partitions())
    told = [("", str(JOURNAL), "decision", why) for why in (*people.told, *survey.told)]
    write_table(Path("data/rejected/individuals.csv"), rejected_table(told))
    write_table(Path("data/questions.csv"), survey.questions(people))
    write_table(Path("data/suspects.csv"), doubtful)
    reviews = reviewed(rehearsal, wanted["seed"])
    metrics = metrics_of(rehearsal, survey, calibration(rehearsal, asked[REHEARSAL], evidence), reviews)
    write_json(Path("metrics/individuals.json"), metrics | {"names": names})
    write_json(Path("data/numbers/individuals.json"), all_numbers(evidence, rehearsal, survey, reviews))
    for scope, numbers in (metrics | {"names": names}).items():
        print(f"individuals: {scope} " + ", ".join(f"{name} {value}" for name, value in numbers.items()))


if __name__ == "__main__":
    run_stage(main)
