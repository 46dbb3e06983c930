"""Match MATCHER: crops, masks, data/split.csv -> data/{rankings,matches,placements}/MATCHER.parquet, numbers.

Crops whose masks fell back (data/rejected/background_PART.csv) are counted.
"""

import sys
from functools import partial
from pathlib import Path

import _path  # noqa: F401
import numpy as np

from pelage.common.files import write_json
from pelage.common.packs import Packs
from pelage.common.params import read_params
from pelage.common.stage import run_stage
from pelage.common.tables import REJECTED_COLUMNS, crop_file, read_table, write_parquet
from pelage.common.workers import workers
from pelage.matching.features import told_without_mask
from pelage.matching.local.distributed import scored_by
from pelage.matching.local.matchers import read_matcher
from pelage.matching.local.ranking import compared_once, rank
from pelage.matching.local.search_recall import search_recall
from pelage.split.protocols import asked_sets, protocol_sets, read_asked, read_split


def main() -> None:
    """Find features on the crops of one part and rank the gallery of each protocol by them."""
    params = read_params()
    matcher = read_matcher(params, sys.argv[1])
    crops, masks = (Packs(Path(folder) / matcher.part) for folder in ("data/views/crop", "data/masks"))
    split, wanted = read_split(Path("data/split.csv")), read_asked(Path(f"data/asked/{matcher.name}.json"))
    sets = protocol_sets(split, matcher.part) | asked_sets(split, matcher.part, wanted)
    asked = {name for chosen in sets.values() for rows in (chosen.queries, chosen.gallery) for name in rows["crop_id"]}
    names = sorted(name for name in asked if crop_file(name) in crops)

    files = [crop_file(name) for name in names]
    fell_back = read_table(Path(f"data/rejected/background_{matcher.part}.csv"), required=REJECTED_COLUMNS)["path"]
    without_mask, warning = told_without_mask(files, fell_back)

    find = partial(matcher.method.features, crops, masks)
    with workers(params["compute"]) as ahead:
        ahead(find, files, "keypoints")
    found = find(files)
    features = dict(zip(names, found, strict=True))
    with scored_by(matcher.method.score, params["compute"]["backend"], params["compute"]["scheduler"]) as score:
        score = compared_once(score) if matcher.pairwise else score
        most = params["search"]
        rankings, summary, matches, placement = rank(
            features, sets, most["depth"], matcher.same_side, score, most["whole"]
        )

    counts = np.array([len(found) for found in features.values()])
    write_parquet(Path(f"data/rankings/{matcher.name}.parquet"), rankings)
    write_parquet(Path(f"data/matches/{matcher.name}.parquet"), matches)
    write_parquet(Path(f"data/placements/{matcher.name}.parquet"), placement)
    metrics = {
        "crops": len(counts),
        "crops_without_mask": without_mask,
        "crops_without_keypoints": int((counts == 0).sum()),
        "keypoints_mean": round(float(counts.mean()), 4) if len(counts) else None,
        **summary,
    }
    if hasattr(matcher.method, "nearest"):
        metrics["search_recall"] = round(search_recall(found, matcher.method.nearest), 4)
    write_json(Path(f"data/numbers/match/{matcher.name}.json"), metrics)
    told = f"{len(counts)} crops of {matcher.part}, {metrics['crops_without_keypoints']} without keypoints"
    print(f"match {matcher.name}: {told}")
    counted = ", ".join(f"{protocol} {counted['queries']}" for protocol, counted in summary.items())
    print(f"match {matcher.name}: queries {counted}")
    if warning and matcher.needs_masks:
        print(f"match {matcher.name}: {warning}")


if __name__ == "__main__":
    run_stage(main)
