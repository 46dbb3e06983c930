"""The results of a run on nyalas, as one table that is kept: `benchmarks/results/nyala-*.json`.

    export PYTHONPATH=src
    pelage presets nyala_zero_shot
    dvc exp run -S datasets.nyala.source=folder -S datasets.nyala.path=FOLDER
    python benchmarks/nyala.py --protocol disjoint --out benchmarks/results/nyala-zero-shot.json

It reads `metrics/`, `params.yaml` and the noted times as that run left them; nothing is computed here. A row a method:
means over seeds, intervals of 95 % by individual, the seeds, the commands above, and the seconds that its
stages took (those of a fusion or a rematcher without its parts; features from the memo take none).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pelage.common.files import write_json
from pelage.common.params import read_params
from pelage.common.times import last_costs
from pelage.report.tables import read_metrics

KEYS = (
    "top1", "top1_low", "top1_high", "top1_sd", "top5", "map", "map_low", "map_high",
    "map_at_r", "map_at_r_low", "map_at_r_high", "map_at_r_sd", "balanced_accuracy", "top1_encounter_free",
    "top1_left", "top1_right", "ceiling_same_flank", "ceiling_same_flank_encounter_free",
    "top1_minus_sift", "top1_minus_sift_low", "top1_minus_sift_high", "queries", "queries_encounter_free",
    "queries_left", "queries_right", "query_identities", "gallery",
)  # fmt: skip
NAMES = {"balanced_accuracy": "balanced", "top1_encounter_free": "excluded_same_encounter_top1"}
STAGES = ("train@{}", "match@{}", "tune@{}", "rematch@{}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--protocol", choices=["closed", "disjoint"], required=True)
    parser.add_argument("--preset", default="nyala_zero_shot", help="the preset that lies over params.yaml")
    parser.add_argument("--overrides", default="", help="what was set by -S beside the preset and the folder")
    parser.add_argument(
        "--resumed", nargs="*", default=[], help="methods that went on from a memo: no seconds of theirs"
    )
    parser.add_argument("--device", default="2 CPU cores", help="what trained")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    params = read_params()
    told = f"pelage presets {arguments.preset} && dvc exp run -S datasets.nyala.source=folder"
    about = {
        "device": arguments.device,
        "command": f"{told} -S datasets.nyala.path=FOLDER {arguments.overrides}".strip(),
    }
    rows, seconds = {}, {cost.stage: cost.seconds for cost in last_costs()}
    for path in sorted(Path("data/eval").glob("*.json")):
        scores = read_metrics(path)[arguments.protocol]
        variant = params["variants"].get(path.stem)
        row = {NAMES.get(key, key): scores[key] for key in KEYS if scores.get(key) is not None}
        stages = [stage.format(path.stem) for stage in STAGES] + ["fuse"] * (path.stem == "fused")
        took = [seconds[stage] for stage in stages if stage in seconds]
        row |= {"seconds": round(sum(took), 1)} if took and path.stem not in arguments.resumed else {}
        if variant:
            trained = read_metrics(Path(f"data/numbers/train/{path.stem}.json"))
            row["seeds"] = variant.get("train", {}).get("seeds", params["train"]["seeds"])
            row |= {
                key: trained[key] for key in ("val_top1", "val_map", "val_flank_map", "epochs_run") if key in trained
            }
        rows[path.stem] = row | about
    best_first = sorted(rows, key=lambda name: (-rows[name].get("top1", -1.0), name))
    write_json(arguments.out, {name: rows[name] for name in best_first})
    for name in best_first:
        print(
            name,
            *(f"{key} {rows[name][key]}" for key in ("top1", "top1_low", "top1_high", "map_at_r") if key in rows[name]),
        )


if __name__ == "__main__":
    main()
