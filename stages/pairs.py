"""Pairs: data/views/crop, data/masks and data/split.csv -> data/rankings/orb_sift_brisk_lightgbm.parquet."""

from pathlib import Path

import _path  # noqa: F401

from pelage.common.files import write_json
from pelage.common.packs import Packs
from pelage.common.params import read_params
from pelage.common.stage import run_stage
from pelage.common.tables import write_parquet
from pelage.model.crops import present
from pelage.split.protocols import protocol_sets, read_split
from pelage.study.pair_classifier import rank_pairs
from pelage.study.pair_features import read_described


def main() -> None:
    """Find keypoints, learn which pairs of training crops show one animal, and rank by that."""
    params = read_params()
    wanted = params["pairs"]
    part = wanted["part"]
    crops, masks = Packs(Path("data/views/crop") / part), Packs(Path("data/masks") / part)
    sets = protocol_sets(read_split(Path("data/split.csv")), part)
    asked = {name for chosen in sets.values() for rows in (chosen.queries, chosen.gallery) for name in rows["crop_id"]}
    names = present(sorted(asked), crops)

    described = dict(zip(names, read_described(names, crops, masks, wanted["side"], wanted["keypoints"]), strict=True))
    keys = ("rounds", "patience", "learning_rate", "num_leaves", "min_data_in_leaf", "seed")
    most = {key: params["search"][key] for key in ("depth", "whole")}
    rankings, metrics = rank_pairs(described, sets, **most, **{key: wanted[key] for key in keys})

    write_parquet(Path("data/rankings/orb_sift_brisk_lightgbm.parquet"), rankings)
    write_json(Path("data/numbers/pairs.json"), metrics)
    told = {name: f"{value:.3f}" for name, value in metrics.get("closed", {}).items() if "average_precision" in name}
    print(f"pairs: {metrics['pairs']} training pairs, closed " + ", ".join(f"{k} {v}" for k, v in told.items()))


if __name__ == "__main__":
    run_stage(main)
