"""What do the mean over views of a crop, and k-reciprocal re-ranking, do to networks that a run has trained?

    PYTHONPATH=src python benchmarks/reflections.py --data data --variants adaptive_cosface_crop cosface triplet

Every `embed.tta` with and without `search.rerank: 20`, on the protocols of the run's split. A mirrored left flank looks
like the right flank of another animal, so what `reflections` (the jaguar recipe) does has to be measured. Nothing is
trained. The class is the flank.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pelage.common.files import seed_files, write_json
from pelage.common.memo import Memo
from pelage.common.packs import Packs
from pelage.common.params import read_params
from pelage.matching.search.cosine import SearchRules, read_rules, search
from pelage.model.compute import prepare
from pelage.model.crops import present
from pelage.model.embedder import load_model
from pelage.model.embeddings import AUGMENTATIONS, SYMMETRIC
from pelage.model.export import embed_crops
from pelage.split.protocols import protocol_sets, read_split

RERANKED = 20


def flank_scores(rankings: pd.DataFrame, label: pd.Series) -> dict[str, dict[str, float]]:
    """Return, for each protocol, top-1 and mAP of the queries that a photo of their own flank may answer.

    Args:
        rankings: Every photo that may answer, ranked.
        label: Flank of each crop id.
    """
    rows = rankings.sort_values(["protocol", "query", "rank"])
    hit = label.loc[rows["query"]].to_numpy() == label.loc[rows["candidate"]].to_numpy()
    rows = rows.assign(hit=hit)
    rows["precision"] = rows.groupby(["protocol", "query"])["hit"].cumsum() / rows["rank"]
    each = rows[rows["hit"]].groupby(["protocol", "query"]).agg(first=("rank", "min"), ap=("precision", "mean"))
    found = {}
    for protocol, queries in each.groupby("protocol"):
        top1, ap = float((queries["first"] == 1).mean()), float(queries["ap"].mean())
        found[protocol] = {"queries": len(queries), "top1": round(top1, 4), "map": round(ap, 4)}
    return found


def searched(split: pd.DataFrame, ids: Sequence[str], points: np.ndarray, rules: SearchRules) -> dict[str, Any]:
    """Return the `flank_scores` of embeddings `(N, D)` of these crops."""
    table = pd.DataFrame({"crop_id": list(ids), "embedding": list(points)})
    part = split.set_index("crop_id").loc[ids[0], "part"]
    rankings = search(table, protocol_sets(split, part), replace(rules, depth=len(split)))
    return flank_scores(rankings, split.set_index("crop_id")["label"])


def effects(file: Path, data: Path, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return scores of one network, by view and re-ranking."""
    device = prepare(params["compute"]["device"], params["compute"]["threads"])
    split, rules = read_split(data / "split.csv"), read_rules(params)
    model, about = load_model(file)
    crops = Packs(data / "views" / about["view"] / about["part"], data)
    wanted = split.loc[(split["part"] == about["part"]) & (split["subset"] != "none"), "crop_id"]
    ids, told = present(wanted, crops), {}
    for tta in AUGMENTATIONS:
        if tta == "flips" and about["part"] not in SYMMETRIC:
            continue  # as none
        with tempfile.TemporaryDirectory() as cache:
            settings = {**params["embed"], "tta": tta}
            points = embed_crops(
                model.to(device), about, ids, crops, settings, device, Memo("embeddings", 1, [], Path(cache))
            )
        told[tta] = searched(split, ids, points, replace(rules, rerank=0))
        told[f"{tta}, rerank {RERANKED}"] = searched(split, ids, points, replace(rules, rerank=RERANKED))
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of a pipeline run")
    parser.add_argument("--variants", nargs="+", default=["adaptive_cosface_crop", "cosface", "triplet"])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/reflections.json"))
    arguments = parser.parse_args()
    params = read_params()
    result = {}
    for name in arguments.variants:
        for file in seed_files(arguments.data / "models" / f"{name}.safetensors"):
            result[f"{name}, seed {file.stem}"] = effects(file, arguments.data, params)
            write_json(arguments.out, result)
            for way, scores in result[f"{name}, seed {file.stem}"].items():
                closed = scores.get("closed", {})
                print(
                    f"{name} {file.stem} {way}: closed top-1 {closed.get('top1')}, mAP {closed.get('map')}", flush=True
                )


if __name__ == "__main__":
    main()
