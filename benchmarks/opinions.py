"""What each method adds to a fusion, on validation queries: all subsets of some, beside those that are always there.

    cd FOLDER  # where the pipeline has run as far as the methods of `fusion.methods`
    PYTHONPATH=/path/of/pelage/src python /path/of/pelage/benchmarks/opinions.py aliked_closer aliked_lightglue \
        --out OUT.json

Told are the best method alone, and what `fusion.rule` makes of each subset, with what was learnt from other
individuals: top-1, its interval by individual, and the mean average precision among photos of the query's flank, with
its difference to that of the best method alone. Test queries are not asked.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import pandas as pd

from pelage.common.errors import PelageError
from pelage.common.files import write_json
from pelage.common.params import read_params
from pelage.common.tables import read_parquet
from pelage.evaluation.choice import choose_on_validation
from pelage.evaluation.judging import ask, judge
from pelage.evaluation.scoring import score_protocol
from pelage.matching.fusion import candidates, read_methods
from pelage.matching.placement import read_placements
from pelage.matching.rankings import drop_opposite, ranking_files
from pelage.split.protocols import protocol_sets, read_split

VALIDATION = "validation"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("added", nargs="+", help="methods of fusion.methods; the others are in each fusion")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    params = read_params()
    part, methods, one_sided = read_methods(params)
    if unknown := set(arguments.added) - set(methods):
        raise PelageError(f"params.yaml: fusion.methods has no {', '.join(sorted(unknown))}. Add them, or name others.")
    rule, confidence = params["fusion"]["rule"], params["evaluate"]["confidence"]
    rules = params["fusion"]["shortlist"], params["fusion"]["calibration"], params["fusion"]["photos"]
    split = read_split(Path("data/split.csv"))
    rows, asked = split.set_index("crop_id"), protocol_sets(split, part)[VALIDATION]
    question = ask(VALIDATION, asked)
    own = practised({method: read_parquet(ranking_files(method)[0]) for method in methods})
    fused = own | {method: drop_opposite(own[method], rows["orientation"]) for method in one_sided}
    tables = own, fused, practised(read_placements(methods))
    told = []
    for count in range(len(arguments.added) + 1):
        for added in itertools.combinations(arguments.added, count):
            some = [method for method in methods if method in added or method not in arguments.added]
            ranked, given, placed = ({name: of[name] for name in some if name in of} for of in tables)
            found = candidates(ranked, given, rows["identity"], *rules, placed)
            practice = {name: fusion.rankings for name, fusion in found.items()}
            chosen, best, values = choose_on_validation(practice, some, asked, confidence)
            made = chosen if rule == "auto" else rule
            scores = score_protocol(question, [judge(practice[made], question, "ranking")], [None], None, confidence)
            scores = {key: scores[key] for key in ("top1", "top1_low", "top1_high")}
            scores["flank_map"] = {key: value and round(float(value), 4) for key, value in values[made].items()}
            told.append({"added": list(added), "rule": made, "best_alone": best, **scores})
            print(told[-1], flush=True)
    write_json(arguments.out, {"queries": len(asked.queries), "fusions": told})


def practised(tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return of some tables the rows of validation queries."""
    return {method: table[table["protocol"] == VALIDATION] for method, table in tables.items()}


if __name__ == "__main__":
    main()
