"""Rematch and fuse the validation queries and those of one protocol alone, which takes a part of a run's time.

    cd FOLDER  # where the pipeline has run with a preset that has the rematcher as far as `match` and `tune`
    PYTHONPATH=/path/of/pelage/src python /path/of/pelage/benchmarks/one_protocol.py aliked_lightglue --out OUT.json

Nothing of what is told depends on the other protocols: shortlists, matches, what the fusion learns from validation
queries and which rule it takes are those of the stages `rematch` and `fuse`, with the weights in `data/tuned_weights`.
Where `fuse` has run, `--made` scores what it made, and tells the seconds of each stage of that run. Intervals are by
individual.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pelage.common.files import write_json
from pelage.common.packs import Packs
from pelage.common.params import read_params
from pelage.common.tables import read_parquet
from pelage.common.times import last_costs
from pelage.evaluation.choice import practise
from pelage.evaluation.judging import ask, judge
from pelage.evaluation.scoring import score_protocol
from pelage.matching.fusion import fuse_by, read_methods
from pelage.matching.learned.own_list import own_list
from pelage.matching.learned.rematch import matching_tools, rematch, shortlist, unique_pairs
from pelage.matching.learned.rematchers import read_rematcher
from pelage.matching.placement import read_placements
from pelage.matching.rankings import PAIR, drop_opposite, ranking_files
from pelage.model.compute import prepare
from pelage.report.tables import read_metrics
from pelage.split.protocols import ProtocolSet, protocol_sets, read_split

KEYS = ("top1", "top1_low", "top1_high", "top5", "map", "map_at_r", "map_at_r_low", "map_at_r_high")
VALIDATION = "validation"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rematcher")
    parser.add_argument("--protocol", default="disjoint")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--made", action="store_true", help="score what `rematch` and `fuse` have made")
    arguments = parser.parse_args()
    params, name = read_params(), arguments.rematcher
    part, methods, _ = read_methods(params)
    split = read_split(Path("data/split.csv"))
    every = protocol_sets(split, part)
    sets = {protocol: every[protocol] for protocol in (VALIDATION, arguments.protocol)}
    find = made if arguments.made else matched
    told, own, fused, chosen = find(params, name, split, sets)
    confidence = params["evaluate"]["confidence"]

    def scored(table: pd.DataFrame, protocol: str) -> dict[str, float]:
        question = ask(protocol, sets[protocol])
        judged = judge(table[table["protocol"] == protocol], question, "ranking")
        scores = score_protocol(question, [judged], [None], None, confidence)
        return {key: scores[key] for key in KEYS} | {"queries": len(sets[protocol].queries)}

    result = {"protocol": arguments.protocol, "rematcher": name, **told}
    for method, table in (("fused", fused), *((method, own[method]) for method in methods)):
        result[method] = scored(table, arguments.protocol)
        result[method] |= {f"validation_{key}": value for key, value in scored(table, VALIDATION).items()}
        rule = told["rule"] if method == "fused" else method
        result[method]["validation_flank_map"] = round(chosen[rule]["value"], 4)
        print(method, result[method], flush=True)
    write_json(arguments.out, result)


Found = tuple[dict[str, Any], dict[str, pd.DataFrame], pd.DataFrame, dict[str, dict[str, float]]]
"""What is told of a run; rankings of each method; those of the fusion; by method and rule what validation has of it."""


def made(params: Mapping[str, Any], name: str, *_: Any) -> Found:
    """Return what the pipeline's last run has made, and what its stages took."""
    numbers = read_metrics(Path("data/numbers/fuse.json"))
    told = {"rule": numbers["rule"], "device": str(prepare(params["compute"]["device"], threads=1))}
    told |= {"pairs": read_metrics(Path(f"data/numbers/match/{name}.json"))["pairs"]}
    told |= {"seconds": {cost.stage: round(cost.seconds, 1) for cost in last_costs()}}
    own = {method: read_parquet(ranking_files(method)[0]) for method in numbers["weights"]}
    return told, own, read_parquet(Path("data/fused.parquet")), numbers["validation_flank_map"]


def matched(params: Mapping[str, Any], name: str, split: pd.DataFrame, sets: Mapping[str, ProtocolSet]) -> Found:
    """Match and fuse the queries of `sets` alone."""
    device = prepare(params["compute"]["device"], threads=1)
    wanted = read_rematcher(params, name)
    part, methods, one_sided = read_methods(params)
    rows = split.set_index("crop_id")
    side = rows["orientation"]
    ids = {crop for chosen in sets.values() for asked in (chosen.queries, chosen.gallery) for crop in asked["crop_id"]}
    crops, masks = (Packs(Path(folder) / part) for folder in ("data/views/crop", "data/masks"))
    tools = matching_tools(wanted, ids, crops, masks, Path("data/tuned_weights") / wanted["network"], device)

    def of_these(table: pd.DataFrame) -> pd.DataFrame:
        table = table[table["protocol"].isin(list(sets))]
        return table.astype(dict.fromkeys(PAIR, str)).astype(dict.fromkeys(PAIR, "category"))

    start = time.perf_counter()
    lists = [of_these(read_parquet(ranking_files(wanted[field])[0])) for field in ("local", "global")]
    depths = [wanted["local_shortlist"], wanted["global_shortlist"], wanted["own_shortlist"]]
    if depths[-1]:
        lists.append(own_list(tools["features"], sets, depths[-1], wanted["same_side"]))
    pairs = shortlist(lists, depths[: len(lists)], side if wanted["same_side"] else None)
    scoring = {"score": wanted["score"], "confidence": wanted["confidence"], "depth": params["search"]["depth"]}
    ranked, _, places = rematch(pairs, **tools, **scoring)
    seconds = None if tools["memo"].hits else round(time.perf_counter() - start, 1)  # what is recalled takes none
    told = {"pairs": len(unique_pairs(pairs, tools["features"])), "seconds": seconds}

    own = {method: of_these(ranked if method == name else read_parquet(ranking_files(method)[0])) for method in methods}
    fused = own | {method: drop_opposite(own[method], side) for method in one_sided}
    placement = {method: of_these(table) for method, table in read_placements(methods).items()}
    placement[name] = of_these(places)
    rules = params["fusion"]["shortlist"], params["fusion"]["calibration"], params["fusion"]["photos"]

    settings = rows["identity"], *rules, placement
    confidence = params["evaluate"]["confidence"]
    practice = practise(own, fused, settings, sets[VALIDATION], params["fusion"]["rule"], confidence)
    whole = fuse_by(practice.rule, own, fused, *settings)
    return {"rule": practice.rule, "device": str(device), **told}, own, whole.rankings, practice.told


if __name__ == "__main__":
    main()
