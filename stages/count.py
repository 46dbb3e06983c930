"""Count: individuals, partitions, deployments -> captures, occasions, estimates, centres, metrics/count.json, plots."""

import json
from pathlib import Path

import _path  # noqa: F401
import pandas as pd

from pelage.animals.counting import count_all
from pelage.animals.effort import occasion_table, seen_at, survey_effort
from pelage.animals.habitat import read_habitat
from pelage.animals.histories import POPULATIONS, captures_table, discovery, in_time, left_out, population, sightings
from pelage.animals.result import caveats, headline, metrics, read_errors
from pelage.common.files import project_root, write_bytes, write_json
from pelage.common.params import entry, read_params
from pelage.common.progress import track
from pelage.common.stage import run_stage
from pelage.common.tables import read_parquet, read_table, write_table
from pelage.report import count_figures


def main() -> None:
    """Lay sightings over effort, estimate by each way, and say which estimate to take and why."""
    params = read_params()
    wanted, name = params["count"], params["ingest"]["dataset"]
    habitat = entry(params["datasets"], name, "datasets").get("habitat")
    individuals, units = (read_table(Path(f"data/{table}.csv")) for table in ("individuals", "units"))
    told = sightings(individuals, units)
    deployments = read_table(Path("data/deployments.csv"))
    effort = survey_effort(deployments, told["date"], wanted["occasion_days"], wanted["first"], wanted["last"])
    seen = in_time(told, effort)
    effort = seen_at(effort, seen)
    errors = read_errors(json.loads(Path("metrics/individuals.json").read_text(encoding="utf-8")))

    partitions = read_parquet(Path("data/partitions.parquet"))
    area = read_habitat(habitat, project_root())
    counted = count_all(seen, partitions, effort, area, wanted["detection"], lambda draws: track(draws, "partitions"))
    asked = (counted, effort, errors, wanted["ghosts"], habitat is not None)
    said = headline(*asked)
    numbers = {"headline": said, "caveats": caveats(counted, effort, errors, left_out(individuals, told, seen))}
    by_population = [(which, population(seen, which)) for which in POPULATIONS]
    curves = pd.concat([discovery(own, effort.occasions).assign(population=which) for which, own in by_population])

    captures = captures_table(seen)
    write_table(Path("data/captures.csv"), captures)
    write_table(Path("data/occasions.csv"), occasion_table(effort))
    write_table(Path("data/estimates.csv"), counted.estimates.round(4))
    write_table(Path("data/centres.csv"), counted.centres.round(1))
    write_table(Path("plots/discovery.csv"), curves)
    write_json(Path("data/numbers/count.json"), numbers)
    write_json(Path("metrics/count.json"), metrics(*asked))
    pictures = count_figures.all_figures(captures, curves, seen["station"], effort, counted)
    for picture, png in pictures.items():
        write_bytes(Path(f"plots/{picture}.png"), png)
    print(f"count: {said}")


if __name__ == "__main__":
    run_stage(main)
