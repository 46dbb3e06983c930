"""Fuse: data/rankings of some methods and the split -> data/fused.parquet, metrics/fuse.json, plots/reliability.csv."""

from pathlib import Path

import _path  # noqa: F401
import numpy as np

from pelage.common.files import write_json
from pelage.common.params import read_params
from pelage.common.stage import run_stage
from pelage.common.tables import write_parquet, write_table
from pelage.evaluation.intervals import leave_out
from pelage.evaluation.reliability import (
    expected_calibration_error,
    false_match_threshold,
    new_queries,
    reliability_table,
)
from pelage.matching.fusion import (
    RECIPROCAL_RANK,
    fuse,
    query_weights,
    read_methods,
    read_rankings,
)
from pelage.matching.rankings import rank_pairs
from pelage.split.protocols import protocol_sets, read_split


def main() -> None:
    """Calibrate methods on validation pairs, rank by their pooled probabilities, and see what these are worth.

    The probabilities are fitted on the first candidates of validation queries, and so is the threshold; the false
    matches at that threshold are counted among the new animals of the open protocol.
    """
    params = read_params()
    wanted = params["fusion"]
    part, methods, one_sided = read_methods(params)
    split = read_split(Path("data/split.csv"))
    sets, rows = protocol_sets(split, part), split.set_index("crop_id")
    rankings = read_rankings(methods, one_sided, rows["orientation"])
    choices = wanted["shortlist"], wanted["calibration"], wanted["photos"]
    pairs, fusion, held_out = fuse(rankings, rows["identity"], *choices)

    learnt = pairs[pairs["learnt"]]
    metrics = {
        "part": part,
        "pairs": len(learnt),
        "pairs_of_same_animal": int(learnt["same"].sum()),
        "calibration": wanted["calibration"] if fusion else RECIPROCAL_RANK,
        "weights": {method: round(float(fusion.weights[method]), 4) if fusion else None for method in methods},
    }
    metrics |= dict.fromkeys(["ece", "threshold", "false_match_rate", "false_match_rate_low", "false_match_rate_high"])
    sure = learnt if len(held_out) else learnt.head(0)
    diagram = reliability_table(held_out, sure["same"].to_numpy(), query_weights(sure))
    if len(diagram):
        metrics["ece"] = expected_calibration_error(diagram)
    new = new_queries(sets["open"])
    metrics["new_queries"] = len(new)
    if fusion:
        wrong = pairs[(pairs["protocol"] == "validation") & ~pairs["same"]]
        threshold = false_match_threshold(wrong, sets["validation"], wanted["false_match_rate"])
        best = pairs[pairs["protocol"] == "open"].groupby("query")["score"].max()
        taken = best.reindex(new["crop_id"], fill_value=0.0).to_numpy() >= threshold
        individual = np.unique(new["identity"].astype(str), return_inverse=True)[1]
        told = leave_out(taken, np.ones(len(taken), bool), individual)
        low, high = told.interval(params["evaluate"]["confidence"])
        metrics |= {"threshold": threshold, "false_match_rate": float(taken.mean()) if len(taken) else None}
        metrics |= {"false_match_rate_low": low, "false_match_rate_high": high}

    write_parquet(Path("data/fused.parquet"), rank_pairs(pairs, params["search"]["depth"]))
    metrics = {name: round(value, 4) if isinstance(value, float) else value for name, value in metrics.items()}
    write_json(Path("metrics/fuse.json"), metrics)
    write_table(Path("plots/reliability.csv"), diagram.round(4))
    print(f"fuse: {' + '.join(methods)}, {metrics['calibration']}, {metrics['pairs']} pairs, ECE {metrics['ece']}")


if __name__ == "__main__":
    run_stage(main)
