"""How often is the right individual on a list of so many candidates? Lists of several methods, alone and joined.

    cd FOLDER  # where the pipeline has run as far as `match` and `match_weights`
    PYTHONPATH=/path/of/pelage/src python /path/of/pelage/benchmarks/lists.py aliked_tuned

Validation queries that can be answered; candidates of the same flank. `own` is the list of the rematcher's own
keypoints (`own_shortlist`), with the seconds that it takes once these are found. Joined lists take turns, so a joined
one of 40 has at least the first 20 of each of two.
"""

from __future__ import annotations

import argparse
import time
from itertools import combinations
from pathlib import Path

import pandas as pd

from pelage.common.files import write_json
from pelage.common.packs import Packs
from pelage.common.params import read_params
from pelage.common.tables import read_parquet
from pelage.matching.learned.own_list import own_list
from pelage.matching.learned.rematch import read_keypoints, shortlist
from pelage.matching.learned.rematchers import read_rematcher
from pelage.matching.rankings import ranking_files
from pelage.model.compute import prepare
from pelage.split.protocols import protocol_sets, read_split

DEPTHS = (10, 20, 40, 60, 100, 250)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rematcher")
    parser.add_argument("--methods", nargs="+", default=["hotspotter_fast", "sift_lnbnn"])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/lists.json"))
    arguments = parser.parse_args()
    params = read_params()
    device = prepare(params["compute"]["device"], threads=1)
    wanted = read_rematcher(params, arguments.rematcher)
    split = read_split(Path("data/split.csv"))
    rows, asked = split.set_index("crop_id"), protocol_sets(split, wanted["part"])["validation"]
    crops, masks = (Packs(Path(folder) / wanted["part"]) for folder in ("data/views/crop", "data/masks"))
    weights = Path("data/match_weights") / arguments.rematcher
    ids = {*asked.queries["crop_id"], *asked.gallery["crop_id"]}
    features = read_keypoints(wanted, ids, crops, masks, weights, device)
    tables = {}
    for method in arguments.methods:
        table = read_parquet(ranking_files(method)[0])
        tables[method] = table[table["protocol"] == "validation"]
    start = time.perf_counter()
    tables["own"] = own_list(features, {"validation": asked}, max(DEPTHS), same_side=True)
    seconds = time.perf_counter() - start

    may = asked.may_answer(asked.queries, asked.gallery, same_side=True)
    answerable = asked.queries["crop_id"][(asked.relevant(asked.queries, asked.gallery) & may).any(axis=1)]
    result = {"protocol": "validation", "queries": len(answerable), "own_seconds_a_query": round(
        seconds / len(asked.queries), 3), "recall": {}}  # fmt: skip
    for count in range(1, len(tables) + 1):
        for names in combinations(tables, count):
            told = [recall([tables[name] for name in names], depth, rows, answerable) for depth in DEPTHS]
            result["recall"][" + ".join(names)] = dict(zip(map(str, DEPTHS), told, strict=True))
            print(" + ".join(names), told, flush=True)
    write_json(arguments.out, result)


def recall(tables: list[pd.DataFrame], depth: int, rows: pd.DataFrame, answerable: pd.Series) -> float:
    """Return the share of queries whose individual is among the first `depth` candidates of joined lists."""
    pairs = shortlist(tables, [depth] * len(tables), rows["orientation"])
    pairs = pairs[pairs.groupby("query").cumcount() < depth]
    right = pairs["query"].map(rows["identity"]) == pairs["candidate"].map(rows["identity"])
    return round(float(answerable.isin(pairs["query"][right]).mean()), 4)


if __name__ == "__main__":
    main()
