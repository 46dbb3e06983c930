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

from pelage.common.errors import PelageError
from pelage.common.files import write_json
from pelage.common.params import read_params
from pelage.evaluation.choice import practise
from pelage.evaluation.judging import ask, judge
from pelage.evaluation.scoring import score_protocol
from pelage.matching.fusion import read_methods, read_own, read_rankings
from pelage.matching.placement import read_placements
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
    confidence = params["evaluate"]["confidence"]
    rules = params["fusion"]["shortlist"], params["fusion"]["calibration"], params["fusion"]["photos"]
    split = read_split(Path("data/split.csv"))
    rows, asked = split.set_index("crop_id"), protocol_sets(split, part)[VALIDATION]
    question = ask(VALIDATION, asked)
    tables = read_own(methods), read_rankings(methods, one_sided, rows["orientation"]), read_placements(methods)
    told = []
    for count in range(len(arguments.added) + 1):
        for added in itertools.combinations(arguments.added, count):
            some = [method for method in methods if method in added or method not in arguments.added]
            own, fused, placed = ({name: of[name] for name in some if name in of} for of in tables)
            settings = rows["identity"], *rules, placed
            practice = practise(own, fused, settings, asked, params["fusion"]["rule"], confidence)
            judged = judge(practice.made[practice.rule].rankings, question, "ranking")
            scores = score_protocol(question, [judged], [None], None, confidence)
            scores = {key: scores[key] for key in ("top1", "top1_low", "top1_high")}
            scores["flank_map"] = {
                key: value and round(float(value), 4) for key, value in practice.told[practice.rule].items()
            }
            told.append({"added": list(added), "rule": practice.rule, "best_alone": practice.best, **scores})
            print(told[-1], flush=True)
    write_json(arguments.out, {"queries": len(asked.queries), "fusions": told})


if __name__ == "__main__":
    main()
