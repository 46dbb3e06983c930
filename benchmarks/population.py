"""A population whose names are hidden: how well is it told apart, and counted, with and without people's decisions?

    export PYTHONPATH=src
    pelage presets nyala_population
    dvc exp run -S datasets.nyala.source=folder -S datasets.nyala.path=FOLDER
    python benchmarks/population.py --out benchmarks/results/nyala-population.json

The rehearsal of a run is its test photos as if nobody had named them. Read from the run: the precision of what was
decided alone, and by how much the number of animals is wrong after 0, 50, 100 and 200 decisions of simulated people,
beside other clusterings of the same probabilities. Computed here: the same photos as a survey on the page, which is a
process of its own; a script that knows the truth answers what the page asks, until it says that it is enough.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import socket
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn

from pelage.animals.agreement import agree
from pelage.animals.journal import Journal, read_journal
from pelage.animals.naming import Named, hear_people
from pelage.animals.simulated_review import review
from pelage.animals.units import GALLERY, SEEN, animals_seen, of_one_animal, units_of
from pelage.common.files import write_json
from pelage.common.params import read_params
from pelage.common.tables import UNKNOWN, read_parquet, read_table
from pelage.review.app import build_app
from pelage.review.desk import Desk
from pelage.review.pictures import Pictures
from pelage.review.run import Run
from pelage.split.protocols import REHEARSAL, SURVEY, read_split
from review import TOKEN, Asker

BUDGETS = (50, 100, 200)


def hidden(data: Path) -> tuple[Run, dict[str, str]]:
    """Return a run in which the rehearsal is the survey, and the true animal of each unit."""
    run = Run.read(data)
    tables = {name: read_table(data / f"{name}.csv", **told) for name, told in SEEN.items()}
    seen = animals_seen(tables, read_split(data / "split.csv"), run.part, of_one_animal(read_params()))
    units = units_of(seen, GALLERY, REHEARSAL)
    truth = dict(zip(units.table["unit"], units.table["identity"], strict=True))
    asked = units.table["scope"] == REHEARSAL
    table = units.table.assign(
        scope=units.table["scope"].where(~asked, SURVEY), identity=units.table["identity"].where(~asked, UNKNOWN)
    )
    crops = units.crops.assign(scope=units.crops["scope"].replace(REHEARSAL, SURVEY))
    fused = read_parquet(data / "fused.parquet", categories=["protocol", "query", "candidate"])
    pairs = fused[fused["protocol"] == REHEARSAL]
    return replace(run, units=replace(units, table=table, crops=crops), pairs=pairs, likeliest={}), truth


@contextlib.contextmanager
def page(run: Run, journal: Path) -> Iterator[Asker]:
    """Serve the page from a process of its own, and give a connection to it."""
    desk = Desk(run, journal)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    app = build_app(desk, Pictures(run.data, run.part, run.hashes), port, TOKEN)
    process = multiprocessing.get_context("fork").Process(
        target=uvicorn.run, args=(app,), kwargs={"port": port, "log_level": "warning"}, daemon=True
    )
    process.start()
    while process.is_alive():
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    try:
        yield Asker(port)
    finally:
        process.terminate()
        process.join()


def ask_page(run: Run, named: Named, truth: Mapping[str, str], accuracy: float, seed: int) -> dict[str, Any]:
    """Answer what the page asks until it says that it is enough, and compare what it shows then with the truth."""
    rng, answers, wrong = np.random.default_rng(seed), 0, 0
    with tempfile.TemporaryDirectory() as folder, page(run, Path(folder) / "journal.jsonl") as asker:
        while True:
            state = json.loads(asker.ask("/state")[1])
            if not state["questions"] or state["progress"]["enough"]:
                break
            one = state["questions"][0]
            right = bool(rng.random() < accuracy)
            same = (truth[one["unit"]] == truth[one["other"]]) == right
            said = {"id": str(uuid.uuid4()), "reviewer": "script", "verb": "same" if same else "different"}
            sides = {"crops": [one["query"]], "other_crops": [one["candidate"]]}
            status, told, _ = asker.ask("", said | sides)
            if status != 200:
                raise SystemExit(f"The page refused an answer: {told.decode()}")
            answers, wrong = answers + 1, wrong + (not right)
        lines = len(read_journal(Path(folder) / "journal.jsonl").entries)
    if lines != answers:
        raise SystemExit(f"{answers} answers were acknowledged, and the journal holds {lines}.")
    name_of = {unit: name for name, units in state["members"].items() for unit in units}
    return {"answers": answers, "wrong": wrong, "journal": lines, **told_of(named, truth, name_of)}


def told_of(named: Named, truth: Mapping[str, str], name_of: Mapping[str, str]) -> dict[str, Any]:
    """Compare names of units with the truth, as `naming.compare` does with labels of the graph's nodes."""
    unit_of = {named.nodes.member[unit]: unit for unit in truth}
    units = [unit_of[str(node)] for node in named.graph.names]
    label, true = (np.unique([of[unit] for unit in units], return_inverse=True)[1] for of in (name_of, truth))
    return asdict(agree(true, label, named.sides, named.graph.known() < 0))


def main() -> None:
    """Measure, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data"), help="of the run")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/nyala-population.json"))
    arguments = parser.parse_args()
    seed = read_params()["individuals"]["seed"]
    run, truth = hidden(arguments.data)
    metrics = json.loads(Path("metrics/individuals.json").read_text(encoding="utf-8"))["rehearsal"]
    numbers = json.loads((arguments.data / "numbers/individuals.json").read_text(encoding="utf-8"))
    result: dict[str, Any] = {
        "rehearsal": metrics,
        "clusterings": numbers["clusterings"],
        "reviews": numbers["reviews"],
    }
    true = metrics["true"]
    result["error_of_count"] = {
        row["clustering"]: round((row["found"] - row["true"]) / row["true"], 3) for row in numbers["clusterings"]
    }
    for row in numbers["reviews"]:
        after = {f"after {n}": round((row.get(f"found_after_{n}", row["found"]) - true) / true, 3) for n in BUDGETS}
        result["error_of_count"][f"{row['order']}, {row['accuracy']:.0%} right"] = after
    named = run.name(hear_people(Journal([], []), run.units, run.clean))
    of_node = {named.nodes.member[unit]: animal for unit, animal in truth.items()}
    animal = np.unique([of_node[str(name)] for name in named.graph.names], return_inverse=True)[1]
    result["page"] = []
    for accuracy in (1.0, 0.98):
        done = review(named.graph, animal, accuracy, seed)
        told = agree(animal, done.labels, named.sides, named.graph.known() < 0)
        simulated = {"answers": done.answers, "wrong": done.wrong, "ended": done.ended, **asdict(told)}
        row = {"accuracy": accuracy, "simulated": simulated, "over_http": ask_page(run, named, truth, accuracy, seed)}
        print(json.dumps(row, indent=2), flush=True)
        result["page"].append(row)
    write_json(arguments.out, result)
    print(json.dumps({"rehearsal": metrics, "error_of_count": result["error_of_count"]}, indent=2))


if __name__ == "__main__":
    main()
