"""How much of a rematcher's work does a shorter list leave? `benchmarks/results/nyala-shortlists.json`.

    PYTHONPATH=src python benchmarks/shortlists.py --rematcher aliked_lightglue --protocol closed

It reads what a run left in `data/`, cuts the rematcher's pairs to the first candidates of the list they came from, and
ranks and fuses anew, the fusion learnt from validation pairs of the same depth. Pairs of the protocol beyond the run's
own depth are matched here (a killed run goes on where it ended); validation pairs are not. `recall` is the share of
queries whose individual is on the list: no rematcher gets above it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from pelage.common.files import write_json
from pelage.common.packs import Packs
from pelage.common.params import read_params
from pelage.common.tables import read_parquet
from pelage.evaluation.judging import ask, judge
from pelage.evaluation.scoring import score_protocol
from pelage.matching.fusion import fuse, read_methods, read_rankings
from pelage.matching.learned.rematch import matching_tools, rematch, shortlist
from pelage.matching.learned.rematchers import read_rematcher
from pelage.matching.rankings import PAIR, rank_pairs, ranking_files
from pelage.model.compute import prepare
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
    side = rows["orientation"] if wanted["same_side"] else None

    deepest = shortlist([local], [max(arguments.depths)], side)
    known = rematched.astype(dict.fromkeys(PAIR, str))[PAIR].assign(known=True)
    deepest = deepest[deepest["protocol"] == arguments.protocol].merge(known, on=PAIR, how="left")
    beyond = deepest.loc[deepest["known"].isna(), PAIR]
    if len(beyond):
        crops, masks = (Packs(Path(folder) / part) for folder in ("data/views/crop", "data/masks"))
        weights = Path("data/tuned_weights") / wanted["network"]
        device = prepare(params["compute"]["device"], threads=1)
        tools = matching_tools(wanted, {*beyond["query"], *beyond["candidate"]}, crops, masks, weights, device)
        scoring = {"score": wanted["score"], "confidence": wanted["confidence"], "depth": len(beyond)}
        further, *_ = rematch(beyond, **tools, **scoring)
        rematched = pd.concat([table.astype(dict.fromkeys(PAIR, str)) for table in (rematched, further)])

    def scored(rankings: pd.DataFrame) -> dict[str, float]:
        own = rankings[rankings["protocol"] == arguments.protocol]
        rules = params["evaluate"]
        judged = [judge(own, question, "ranking")]
        scores = score_protocol(question, judged, [None], None, rules["confidence"])
        return {key: scores[key] for key in ("top1", "top1_low", "top1_high", "top5")}

    result = {}
    for depth in arguments.depths:
        pairs = shortlist([local], [depth], side)
        own = pairs[pairs["protocol"] == arguments.protocol]
        same = own["query"].map(rows["identity"]) == own["candidate"].map(rows["identity"])
        found = same.groupby(own["query"]).any().sum() / question.answerable.sum()
        result[str(depth)] = {"recall": round(float(found), 4), "pairs": len(own)}
        cut = rank_pairs(rematched.astype(dict.fromkeys(PAIR, str)).merge(pairs, on=PAIR), len(rematched))
        choices = fusion["shortlist"], fusion["calibration"], fusion["photos"]
        fused = fuse({**rankings, arguments.rematcher: cut}, rows["identity"], *choices)
        result[str(depth)] |= {arguments.rematcher: scored(cut), "fused": scored(fused.rankings)}
        print(depth, result[str(depth)])
    write_json(arguments.out, {"protocol": arguments.protocol, "list_of": wanted["local"], "depths": result})


if __name__ == "__main__":
    main()
