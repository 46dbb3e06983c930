"""Rematch REMATCHER: shortlists, crops, masks -> data/rankings/ and data/matches/REMATCHER.parquet, metrics/match/."""

import sys
import time
from dataclasses import asdict, fields
from pathlib import Path

import _path  # noqa: F401

from pelage.common.files import sha256_file, write_json
from pelage.common.memo import Memo
from pelage.common.parallel import cores
from pelage.common.params import read_params
from pelage.common.stage import run_stage
from pelage.common.tables import crop_file, read_parquet, write_parquet
from pelage.matching.learned_features import read_learned_features
from pelage.matching.lightglue import VERSION, WEIGHTS, Effort, load_lightglue
from pelage.matching.rankings import ranking_files
from pelage.matching.rematch import rematch, shortlist
from pelage.matching.rematchers import read_rematcher
from pelage.model.compute import prepare
from pelage.split.protocols import read_split


def main() -> None:
    """Find learned keypoints on the crops that two methods list first, and match these pairs by them.

    A network that was trained with several seeds lists those of its lowest seed.
    """
    name = sys.argv[1]
    params = read_params()
    wanted = read_rematcher(params, name)
    device = prepare(params["compute"]["device"], threads=1)  # crops and pairs share the cores instead
    side = read_split(Path("data/split.csv")).set_index("crop_id")["orientation"]
    sources = [ranking_files(wanted[field])[0] for field in ("local", "global")]
    depths = [wanted["local_shortlist"], wanted["global_shortlist"]]
    pairs = shortlist(list(map(read_parquet, sources)), depths, side if wanted["same_side"] else None)

    crops, masks = (Path(folder) / wanted["part"] for folder in ("data/views/crop", "data/masks"))
    asked = sorted(set(pairs["query"]) | set(pairs["candidate"]))
    asked = [crop_id for crop_id in asked if (crops / crop_file(crop_id)).exists()]
    weights = Path("data/match_weights") / name
    settings = {"side": wanted["side"], "keypoints": wanted["keypoints"]}
    files = [crop_file(crop_id) for crop_id in asked]
    found = read_learned_features(crops, masks, files, wanted["features"], weights, **settings, device=device)
    features = dict(zip(asked, found, strict=True))
    network = load_lightglue(wanted["features"], weights, device)
    start = time.perf_counter()
    effort = Effort(**{field.name: wanted[field.name] for field in fields(Effort)})
    about = {**asdict(effort), "weights": sha256_file(weights / WEIGHTS[wanted["features"]]), "device": device.type}
    memo = Memo("lightglue", VERSION, about)
    scoring = {"score": wanted["score"], "confidence": wanted["confidence"], "depth": params["search"]["depth"]}
    workers = cores() if device.type == "cpu" else 1
    rankings, matches = rematch(pairs, features, network, **scoring, effort=effort, memo=memo, workers=workers)
    seconds = time.perf_counter() - start

    write_parquet(Path(f"data/rankings/{name}.parquet"), rankings)
    write_parquet(Path(f"data/matches/{name}.parquet"), matches)
    unique = len(pairs[["query", "candidate"]].drop_duplicates())
    first = rankings[rankings["rank"] == 1].groupby("protocol", sort=False)["score"].mean()
    metrics = {
        "crops": len(found),
        "crops_without_keypoints": sum(len(features) == 0 for features in found),
        "keypoints_mean": round(sum(map(len, found)) / len(found), 4) if found else None,
        "pairs": unique,
        "best_score_mean": {protocol: round(float(score), 4) for protocol, score in first.items()},
    }
    write_json(Path(f"metrics/match/{name}.json"), metrics)
    print(
        f"rematch {name}: {unique} pairs of {len(found)} crops, {unique / max(seconds, 1e-9):.1f} pairs/s on {device}"
    )


if __name__ == "__main__":
    run_stage(main)
