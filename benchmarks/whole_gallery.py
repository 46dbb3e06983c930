"""How many validation queries does LightGlue name when it compares the whole gallery, and how fast is that on a GPU?

    cd FOLDER  # where the pipeline has run as far as `match`
    PYTHONPATH=/path/of/pelage/src python /path/of/pelage/benchmarks/whole_gallery.py aliked_tuned --keypoints 512 1024

Every validation query meets every crop of its flank that the rematcher's `local` method ranks, with the weights in
`data/match_weights`, once with hopeless pairs given up and once without. Of each: pairs a second (crops are described
before), top-1 and mean reciprocal rank, and on a GPU the most memory.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from pelage.common.files import write_json
from pelage.common.packs import Packs
from pelage.common.params import read_params
from pelage.common.tables import read_parquet
from pelage.matching.learned.lightglue import Effort
from pelage.matching.learned.rematch import matching_tools, shortlist
from pelage.matching.learned.rematchers import read_rematcher
from pelage.matching.rankings import ranking_files
from pelage.model.compute import prepare
from pelage.split.protocols import read_split
from pelage.tuning.judge import judge


def validation_pairs(wanted: Mapping[str, Any], side: pd.Series, depth: int) -> pd.DataFrame:
    """Return the first `depth` candidates of validation queries by the rematcher's `local` method, of equal flanks."""
    ranking = read_parquet(ranking_files(wanted["local"])[0])
    return shortlist([ranking[ranking["protocol"] == "validation"]], [depth], side)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rematcher")
    parser.add_argument("--keypoints", type=int, nargs="+", default=[512, 1024])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/whole_gallery.json"))
    arguments = parser.parse_args()
    params = read_params()
    device = prepare(params["compute"]["device"], threads=1)
    wanted = read_rematcher(params, arguments.rematcher)
    split = read_split(Path("data/split.csv")).set_index("crop_id")
    pairs = validation_pairs(wanted, split["orientation"], len(split))
    crops, masks = (Packs(Path(folder) / wanted["part"]) for folder in ("data/views/crop", "data/masks"))
    weights = Path("data/match_weights") / arguments.rematcher
    name = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
    rows = []
    for count in arguments.keypoints:
        asked = {*pairs["query"], *pairs["candidate"]}
        tools = matching_tools(wanted | {"keypoints": count}, asked, crops, masks, weights, device)
        for give_up in (wanted["give_up"], 0):
            effort = Effort(wanted["batch"], adaptive=False, give_up=give_up, glance=wanted["glance"], half=True)
            start = time.perf_counter()
            named = judge(tools["network"], pairs, tools["features"], split["identity"], effort, wanted["confidence"])
            seconds = time.perf_counter() - start
            row = {"device": name, "batch": wanted["batch"], "keypoints": count, "give_up": give_up}
            row |= {"pairs": len(pairs), "pairs_a_second": round(len(pairs) / seconds, 1), **named}
            if device.type == "cuda":
                row["gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
            rows.append(row)
            print(json.dumps(row), flush=True)
    write_json(arguments.out, rows)


if __name__ == "__main__":
    main()
