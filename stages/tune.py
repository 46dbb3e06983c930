"""Tune REMATCHER: its fetched weights, training crops -> data/tuned_weights/REMATCHER/, numbers."""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import _path  # noqa: F401
from safetensors.torch import save

from pelage.common.files import cache_root, fresh_folder, sha256_bytes, sha256_file, write_bytes, write_json
from pelage.common.packs import Packs
from pelage.common.params import read_params
from pelage.common.stage import run_stage
from pelage.common.tables import read_parquet
from pelage.common.workers import workers
from pelage.matching.learned.features import features_digest
from pelage.matching.learned.lightglue import WEIGHTS, Ready
from pelage.matching.learned.rematch import (
    keypoints_ahead,
    match_all,
    matching_tools,
    memo_of,
    read_keypoints,
    shortlist,
)
from pelage.matching.learned.rematchers import read_rematcher
from pelage.matching.rankings import ranking_files
from pelage.model.compute import prepare
from pelage.split.protocols import read_split
from pelage.training.checkpoint import Checkpoint, fingerprint, joint_digest
from pelage.tuning.judge import judge
from pelage.tuning.loop import Tuned, tune
from pelage.tuning.pairs import learnt_pairs

ROOMS = ("common", "matching", "matching/learned", "model", "split", "training", "tuning")
SPLIT = Path("data/split.csv")
REMATCHING = ("local_shortlist", "global", "global_shortlist", "own_shortlist", "network", "score")
"""Settings that a rematch reads and tuning does not."""


def main() -> None:
    """Have LightGlue learn from photos of training individuals, if `tuning.epochs` says so.

    Kept are the weights of the epoch after which validation queries are answered best; those that were fetched if no
    epoch is better, or none is wanted.
    """
    name = sys.argv[1]
    params = read_params()
    wanted = read_rematcher(params, name)
    fetched = Path("data/match_weights") / name
    files = {file.name: file.read_bytes() for file in sorted(fetched.iterdir())}
    metrics = dict.fromkeys(["pairs", "pairs_of_same_animal", "kept_epoch", "top1_before", "mrr_before", "top1", "mrr"])
    if wanted["tuning"]["epochs"]:
        tuned, told = _tuned(params, name, wanted, fetched)
        if told["kept_epoch"]:
            files[WEIGHTS[wanted["features"]]] = save(dict(tuned.state))
        metrics |= told
    with fresh_folder(Path("data/tuned_weights") / name) as folder:
        for file, content in files.items():
            write_bytes(folder / file, content)
    write_json(Path(f"data/numbers/tune/{name}.json"), metrics)
    print(f"tune {name}: " + ", ".join(f"{key} {value}" for key, value in metrics.items() if value is not None))


def _tuned(params: dict[str, Any], name: str, wanted: dict[str, Any], fetched: Path) -> tuple[Tuned, dict[str, Any]]:
    """Return what was learnt, and its metrics."""
    settings, kind, compute = wanted["tuning"], wanted["features"], params["compute"]
    device = prepare(compute["device"], threads=1)  # crops and pairs share the cores instead
    split = read_split(SPLIT)
    rows = split[(split["part"] == wanted["part"]) & (split["subset"] == "train")]
    split = split.set_index("crop_id")
    source = ranking_files(wanted["local"])[0]
    ranking = read_parquet(source)
    ranking = ranking[ranking["protocol"] == "validation"]
    asked = shortlist([ranking], [settings["candidates"]], split["orientation"] if wanted["same_side"] else None)
    judged = {*asked["query"], *asked["candidate"]}
    crops, masks = (Packs(Path(folder) / wanted["part"]) for folder in ("data/views/crop", "data/masks"))
    place = {"wanted": wanted, "crops": crops, "masks": masks, "weights": fetched, "device": device}
    richer = place | {"wanted": wanted | {"keypoints": settings["drawn_from"] or wanted["keypoints"]}}
    with workers(compute) as ahead:
        keypoints_ahead(ahead, rows["crop_id"], richer)
        keypoints_ahead(ahead, judged, place)
    learnt = read_keypoints(**richer, crop_ids=rows["crop_id"])
    tools = matching_tools(**place, crop_ids=judged)
    features, network, effort = tools["features"], tools["network"].network, tools["effort"]
    tools["features"] = {name: found.only(slice(wanted["keypoints"])) for name, found in learnt.items()}

    files = [sha256_file(path) for path in (SPLIT, source, fetched / WEIGHTS[kind])]
    seen = joint_digest(features_digest(side[name]).hex() for side in (features, learnt) for name in sorted(side))
    decisive = {field: value for field, value in wanted.items() if field not in REMATCHING}
    ask = partial(judge, pairs=asked, features=features, identity=split["identity"], effort=effort)
    ask = partial(ask, confidence=wanted["confidence"])
    rounds = []
    for turn in range(settings["rounds"]):
        own = settings | {"seed": settings["seed"] + turn}
        prepare(compute["device"], threads=1)
        if turn:
            network.load_state_dict(rounds[-1].state)
            memo = memo_of(sha256_bytes(save(dict(rounds[-1].state))), effort, device)
            tools |= {"network": Ready(network, effort.half), "memo": memo}
        pairs = learnt_pairs(rows, learnt, partial(match_all, **tools), own, wanted["confidence"])
        prepare(compute["device"], compute["threads"])
        state = fingerprint(decisive, turn, compute["threads"], device.type, files, seen, rooms=ROOMS)
        with Checkpoint(cache_root() / "checkpoints" / name / state) as checkpoint:
            rounds.append(tune(network, pairs, ask, own, wanted["half"], checkpoint))
    before, last = rounds[0].history[0], rounds[-1]
    kept = last.history[last.kept_epoch]
    told = {"pairs": len(pairs), "pairs_of_same_animal": sum(pair.same for pair in pairs)}
    told |= {"kept_epoch": sum(turn.kept_epoch for turn in rounds)}
    told |= {f"{key}_before": before.get(key) for key in ("top1", "mrr")}
    return last, told | {key: kept.get(key) for key in ("top1", "mrr")}


if __name__ == "__main__":
    run_stage(main)
