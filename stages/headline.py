"""Headline: detection, leaks, data/eval/, verdicts -> metrics/headline.json, plots/leaderboard.csv."""

from pathlib import Path

import _path  # noqa: F401

from pelage.common.files import write_json
from pelage.common.params import read_params
from pelage.common.stage import run_stage
from pelage.common.tables import read_table, write_table
from pelage.evaluation.verdicts import NUMBERS
from pelage.report.headline import count, headline
from pelage.report.tables import leaderboard, list_methods, read_metrics


def main() -> None:
    """Take together what a reviewer reads, and lay all methods side by side."""
    params = read_params()
    methods = list_methods(params)
    scores = {method.name: read_metrics(Path(f"data/eval/{method.name}.json")) for method in methods}
    detect, leakage = (read_metrics(Path(f"metrics/{stage}.json")) for stage in ("detect", "leakage"))
    verdicts = read_table(Path("data/verdicts.csv"), dict.fromkeys(NUMBERS, float)).to_dict("records")
    told = headline(detect, leakage, scores, methods, params["fusion"]["methods"], verdicts)
    write_json(Path("metrics/headline.json"), told)
    write_table(Path("plots/leaderboard.csv"), leaderboard(scores, methods))
    print(f"headline: {count(told)} numbers of {len(methods)} methods; the champion is {told['champion']}")


if __name__ == "__main__":
    run_stage(main)
