"""What is a pair of crops worth? Validation queries answered by LightGlue with more and less work, in one run.

    cd FOLDER  # where the pipeline has run as far as `tune`
    PYTHONPATH=/path/of/pelage/src python /path/of/pelage/benchmarks/rematching.py aliked_tuned -q 40 -c 100

The first candidates of some validation queries are compared in several ways, which take turns: all pairs in full; pairs
given up that have fewer than 5 confident matches of all keypoints after two layers, with kornia's own layers and with
ours; pairs given up after a first glance by few keypoints. Of each: pairs a second by all cores, top-1 and mean
reciprocal rank, and of the pairs that show the same animal and have 12 matches in full the share that still have as
many. Crops are described before.
"""

from __future__ import annotations

import argparse
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import numpy as np
from lightglue import kornia_layers
from whole_gallery import validation_pairs

from pelage.common.files import write_json
from pelage.common.memo import Memo
from pelage.common.packs import Packs
from pelage.common.params import read_params
from pelage.matching.learned import lightglue
from pelage.matching.learned.lightglue import CONFIDENT, Ready, count_matches
from pelage.matching.learned.rematch import match_all, matching_tools, unique_pairs
from pelage.matching.learned.rematchers import read_rematcher
from pelage.matching.rankings import tie_keys
from pelage.model.compute import prepare
from pelage.split.protocols import read_split

FULL = "all in full"
WAYS = {
    FULL: {"give_up": 0},
    "5 of all keypoints, kornia's layers": {"give_up": 5, "glance": 10**6},
    "5 of all keypoints": {"give_up": 5, "glance": 10**6},
    "4 of 192 keypoints": {"give_up": 4, "glance": 192},
    "3 of 192 keypoints": {"give_up": 3, "glance": 192},
    "2 of 192 keypoints": {"give_up": 2, "glance": 192},
}
CLEAR = 12
"""Matches from which on a pair of the same animal can be told."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rematcher")
    parser.add_argument("-q", type=int, default=40, help="validation queries, evenly drawn")
    parser.add_argument("-c", type=int, default=100, help="candidates of each, those of `local`")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/rematching.json"))
    arguments = parser.parse_args()
    params = read_params()
    device = prepare(params["compute"]["device"], threads=1)
    wanted = read_rematcher(params, arguments.rematcher)
    split = read_split(Path("data/split.csv")).set_index("crop_id")
    pairs = validation_pairs(wanted, split["orientation"], arguments.c)
    queries = np.unique(pairs["query"])
    queries = queries[np.linspace(0, len(queries) - 1, min(arguments.q, len(queries))).astype(int)]
    pairs = pairs[pairs["query"].isin(queries)]
    crops, masks = (Packs(Path(folder) / wanted["part"]) for folder in ("data/views/crop", "data/masks"))
    weights = Path("data/tuned_weights") / wanted["network"]
    place = {"crop_ids": {*pairs["query"], *pairs["candidate"]}, "crops": crops, "masks": masks, "weights": weights}
    tools = matching_tools(wanted, **place, device=device)
    pairs = unique_pairs(pairs, tools["features"])
    same = (pairs["query"].map(split["identity"]) == pairs["candidate"].map(split["identity"])).to_numpy()

    rows, clear = [], same
    for name in arguments.ways:
        way, kornia = WAYS[name], "kornia" in name
        judged = lightglue.JUDGED if way.get("glance", 0) < 10**6 else ()  # those of all keypoints are judged once
        layers = kornia_layers() if kornia else nullcontext()
        with TemporaryDirectory() as folder, layers, patch.object(lightglue, "JUDGED", judged):
            ready = Ready(tools["network"].network, wanted["half"])
            effort = replace(tools["effort"], **way)
            own = {"effort": effort, "network": ready, "memo": Memo("rematching", 1, way, Path(folder))}
            start = time.perf_counter(), time.process_time()
            found = list(match_all(pairs, **tools | own))
            seconds, cpu = time.perf_counter() - start[0], time.process_time() - start[1]
        score = np.array([count_matches(matches, wanted["confidence"]) for matches in found])
        sure = np.array([(matches.confidence > CONFIDENT).sum() for matches in found])
        if name == FULL:
            clear = same & (sure >= CLEAR)
        ranked = pairs.assign(fall=-score, key=tie_keys(pairs), same=same).sort_values(["query", "fall", "key"])
        first = ranked.groupby("query").cumcount()[ranked["same"]].groupby(ranked["query"]).min()
        row = {"way": name, "device": str(device), "cores": tools["workers"], "queries": len(queries)}
        row |= {"pairs": len(pairs), "keypoints": wanted["keypoints"]}
        row |= {"pairs_a_second": round(len(pairs) / seconds, 1), "cpu_seconds_a_pair": round(cpu / len(pairs), 4)}
        row |= {"top1": round(float((first == 0).sum() / len(queries)), 4)}
        row |= {"mrr": round(float((1 / (first + 1)).sum() / len(queries)), 4)}
        row |= {"clear_pairs": int(clear.sum()), "clear_kept": round(float((sure[clear] >= CLEAR).mean()), 4)}
        rows.append(row)
        print(row, flush=True)
    write_json(arguments.out, rows)


if __name__ == "__main__":
    main()
