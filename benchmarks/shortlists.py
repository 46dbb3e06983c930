"""How much of a rematcher's work does a shorter list leave? `benchmarks/results/nyala-shortlists.json`.

    PYTHONPATH=src python benchmarks/shortlists.py --rematcher aliked_lightglue --protocol closed

It reads what a run left in `data/`, cuts the rematcher's pairs to the first candidates of the list they came from, and
ranks and fuses anew, the fusion learnt from validation pairs of the same depth. `recall` is the share of queries whose
individual is on the list: no rematcher gets above it. Depths beyond the run's own have a recall only.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from pelage.common.files import write_json
from pelage.common.params import read_params
from pelage.common.tables import read_parquet
from pelage.evaluation.judging import ask, judge
from pelage.evaluation.scoring import score_protocol
from pelage.matching.fusion import PAIR, fuse, read_methods, read_rankings
from pelage.matching.rankings import rank_pairs, ranking_files
from pelage.matching.rematch import shortlist
from pelage.matching.rematchers import read_rematcher
from pelage.split.protocols import protocol_sets, read_split


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rematcher", default="aliked_lightglue")
    parser.add_argument("--protocol", default="closed")
    parser.add_argument("--depths", type=int, nargs="+", default=[10, 20, 40, 80, 100, 250])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/nyala-shortlists.json"))
    arguments = parser.parse_args()
    params = read_params()
    wanted = read_rematcher(params, arguments.rematcher)
    part, methods, one_sided = read_methods(params)
    split = read_split(Path("data/split.csv"))
    rows, sets = split.set_index("crop_id"), protocol_sets(split, part)
    question = ask(arguments.protocol, sets[arguments.protocol])
    local = read_parquet(ranking_files(wanted["local"])[0])
    rankings = read_rankings(methods, one_sided, rows["orientation"])
    rematched = rankings[arguments.rematcher]
    fusion = params["fusion"]

    def scored(rankings: pd.DataFrame) -> dict[str, float]:
        own = rankings[rankings["protocol"] == arguments.protocol]
        rules = params["evaluate"]
        judged = [judge(own, question, "ranking")]
        scores = score_protocol(question, judged, [None], None, rules["bootstrap"], rules["confidence"], rules["seed"])
        return {key: scores[key] for key in ("top1", "top1_low", "top1_high", "top5")}

    result = {}
    for depth in arguments.depths:
        pairs = shortlist([local], [depth], rows["orientation"] if wanted["same_side"] else None)
        own = pairs[pairs["protocol"] == arguments.protocol]
        same = own["query"].map(rows["identity"]) == own["candidate"].map(rows["identity"])
        found = same.groupby(own["query"]).any().sum() / (question.total > 0).sum()
        result[str(depth)] = {"recall": round(float(found), 4), "pairs": len(own)}
        if depth <= wanted["local_shortlist"]:
            cut = rank_pairs(rematched.astype(dict.fromkeys(PAIR, str)).merge(pairs, on=PAIR), len(rematched))
            choices = fusion["shortlist"], fusion["calibration"], fusion["photos"]
            fused, *_ = fuse({**rankings, arguments.rematcher: cut}, rows["identity"], *choices)
            result[str(depth)] |= {arguments.rematcher: scored(cut), "fused": scored(rank_pairs(fused, len(fused)))}
        print(depth, result[str(depth)])
    write_json(arguments.out, {"protocol": arguments.protocol, "list_of": wanted["local"], "depths": result})


if __name__ == "__main__":
    main()
