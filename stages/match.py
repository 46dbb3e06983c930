"""Match: data/views/crop, data/masks and data/split.csv -> data/rankings/sift_lnbnn.parquet, metrics/match.json."""

from pathlib import Path

import _path  # noqa: F401
import numpy as np

from pelage.common.files import write_json
from pelage.common.params import read_params
from pelage.common.stage import run_stage
from pelage.common.tables import crop_file, write_parquet
from pelage.matching.local_features import read_features
from pelage.matching.sift_lnbnn import rank
from pelage.split.protocols import protocol_sets, read_split


def main() -> None:
    """Find keypoints on the crops of one part and rank the gallery of each protocol by them."""
    params = read_params()
    wanted = params["match"]
    part = wanted["part"]
    crops, masks = Path("data/views/crop") / part, Path("data/masks") / part
    sets = protocol_sets(read_split(Path("data/split.csv")), part)
    asked = {name for chosen in sets.values() for rows in (chosen.queries, chosen.gallery) for name in rows["crop_id"]}
    names = sorted(name for name in asked if (crops / crop_file(name)).exists())

    files = [crop_file(name) for name in names]
    sift = {key: wanted[key] for key in ("side", "keypoints", "contrast", "upright")}
    features = dict(zip(names, read_features(crops, masks, files, **sift), strict=True))
    choices = {key: wanted[key] for key in ("same_side", "neighbours", "shortlist", "min_inliers")}
    rankings, summary = rank(features, sets, params["search"]["depth"], **choices)

    counts = np.array([len(found) for found in features.values()])
    write_parquet(Path("data/rankings/sift_lnbnn.parquet"), rankings)
    metrics = {
        "crops": len(counts),
        "crops_without_keypoints": int((counts == 0).sum()),
        "keypoints_mean": round(float(counts.mean()), 4) if len(counts) else None,
        **summary,
    }
    write_json(Path("metrics/match.json"), metrics)
    print(f"match: {len(counts)} crops of {part}, {metrics['crops_without_keypoints']} without keypoints")
    print("match: queries " + ", ".join(f"{protocol} {counted['queries']}" for protocol, counted in summary.items()))


if __name__ == "__main__":
    run_stage(main)
