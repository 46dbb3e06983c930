"""Rematch REMATCHER: shortlists, crops, masks -> data/{rankings,matches,placements}/REMATCHER.parquet, numbers."""

import sys
import time
from pathlib import Path

import _path  # noqa: F401

from pelage.common.files import write_json
from pelage.common.packs import Packs
from pelage.common.params import read_params
from pelage.common.stage import run_stage
from pelage.common.tables import REJECTED_COLUMNS, crop_file, read_parquet, read_table, write_parquet
from pelage.common.workers import workers
from pelage.matching.features import told_without_mask
from pelage.matching.learned.own_list import own_list
from pelage.matching.learned.rematch import (
    keypoints_ahead,
    match_ahead,
    matching_tools,
    rematch,
    shortlist,
    unique_pairs,
)
from pelage.matching.learned.rematchers import read_rematcher
from pelage.matching.rankings import ranking_files
from pelage.model.compute import prepare
from pelage.split.protocols import PROTOCOLS, asked_sets, protocol_sets, read_asked, read_split


def main() -> None:
    """Find learned keypoints on the crops that other methods list first, and match these pairs by them.

    A network that was trained with several seeds lists those of its lowest seed. With `own_shortlist`, keypoints are
    found on all crops, and list candidates themselves.
    """
    name = sys.argv[1]
    params = read_params()
    wanted = read_rematcher(params, name)
    device = prepare(params["compute"]["device"], threads=1)  # crops and pairs share the cores instead
    split = read_split(Path("data/split.csv"))
    side = split.set_index("crop_id")["orientation"] if wanted["same_side"] else None
    others = read_asked(Path(f"data/asked/{name}.json"))
    sources = [read_parquet(ranking_files(wanted[field])[0]) for field in ("local", "global")]
    sources = [table[table["protocol"].isin([*PROTOCOLS, *others])] for table in sources]
    depths = [wanted["local_shortlist"], wanted["global_shortlist"]]
    pairs = shortlist(sources, depths, side)
    asked = {*pairs["query"], *pairs["candidate"]}
    sets = {}
    if wanted["own_shortlist"]:
        sets = protocol_sets(split, wanted["part"]) | asked_sets(split, wanted["part"], others)
        asked.update(*(rows["crop_id"] for chosen in sets.values() for rows in (chosen.queries, chosen.gallery)))

    crops, masks = (Packs(Path(folder) / wanted["part"]) for folder in ("data/views/crop", "data/masks"))
    fell_back = read_table(Path(f"data/rejected/background_{wanted['part']}.csv"), required=REJECTED_COLUMNS)["path"]
    without_mask, warning = told_without_mask(map(crop_file, asked), fell_back)
    weights = Path("data/tuned_weights") / wanted["network"]
    place = {"wanted": wanted, "crops": crops, "masks": masks, "weights": weights, "device": device}
    with workers(params["compute"]) as ahead:
        keypoints_ahead(ahead, asked, place)
        tools = matching_tools(**place, crop_ids=asked)
        if sets:
            own = own_list(tools["features"], sets, wanted["own_shortlist"], wanted["same_side"])
            pairs = shortlist([*sources, own], [*depths, wanted["own_shortlist"]], side)
        match_ahead(ahead, unique_pairs(pairs, tools["features"]), place)
    start = time.perf_counter()
    scoring = {"score": wanted["score"], "confidence": wanted["confidence"], "depth": params["search"]["depth"]}
    rankings, matches, placement = rematch(pairs, **tools, **scoring)
    seconds = time.perf_counter() - start

    write_parquet(Path(f"data/rankings/{name}.parquet"), rankings)
    write_parquet(Path(f"data/matches/{name}.parquet"), matches)
    write_parquet(Path(f"data/placements/{name}.parquet"), placement)
    unique = len(pairs[["query", "candidate"]].drop_duplicates())
    first = rankings[rankings["rank"] == 1].groupby("protocol", sort=False)["score"].mean()
    counts = [len(found) for found in tools["features"].values()]
    metrics = {
        "crops": len(counts),
        "crops_without_mask": without_mask,
        "crops_without_keypoints": counts.count(0),
        "keypoints_mean": round(sum(counts) / len(counts), 4) if counts else None,
        "pairs": unique,
        "best_score_mean": {protocol: round(float(score), 4) for protocol, score in first.items()},
    }
    write_json(Path(f"data/numbers/match/{name}.json"), metrics)
    print(
        f"rematch {name}: {unique} pairs of {len(counts)} crops, {unique / max(seconds, 1e-9):.1f} pairs/s on {device}"
    )
    if warning:
        print(f"rematch {name}: {warning}")


if __name__ == "__main__":
    run_stage(main)
