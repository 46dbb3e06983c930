"""Fuse: data/rankings of some methods, the split -> data/fused.parquet, data/numbers/, plots/reliability.csv."""

from pathlib import Path

import _path  # noqa: F401
import numpy as np

from pelage.common.files import write_json
from pelage.common.params import read_params
from pelage.common.stage import run_stage
from pelage.common.tables import write_parquet, write_table
from pelage.evaluation.reliability import (
    expected_calibration_error,
    proper_scores,
    reliability_table,
    top_answers,
)
from pelage.matching.fusion import (
    RECIPROCAL_RANK,
    fuse,
    query_weights,
    read_methods,
    read_rankings,
)
from pelage.matching.rankings import rank_pairs
from pelage.split.protocols import read_split


def main() -> None:
    """Calibrate methods on validation pairs, rank by their pooled probabilities, and see what these are worth.

    The probabilities are fitted on the first candidates of validation queries. Where the line between known and new
    lies is told by the stage evaluate, as for any other method.
    """
    params = read_params()
    wanted = params["fusion"]
    part, methods, one_sided = read_methods(params)
    split = read_split(Path("data/split.csv"))
    rows = split.set_index("crop_id")
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
    sure = learnt if len(held_out) else learnt.head(0)
    metrics |= proper_scores(sure["score"].to_numpy(), sure["same"].to_numpy(), query_weights(sure))
    diagram = None
    for protocol, suffix in (("validation", ""), ("open", "_open")):
        able = fusion is not None and (protocol == "open" or len(held_out) > 0)
        top = top_answers(pairs[pairs["protocol"] == protocol]) if able else pairs.head(0)
        table = reliability_table(top["score"].to_numpy(), top["same"].to_numpy(), np.ones(len(top)))
        metrics[f"top1_ece{suffix}"] = expected_calibration_error(table) if len(table) else None
        diagram = table if diagram is None else diagram

    write_parquet(Path("data/fused.parquet"), rank_pairs(pairs, params["search"]["depth"]))
    metrics = {name: round(value, 4) if isinstance(value, float) else value for name, value in metrics.items()}
    write_json(Path("data/numbers/fuse.json"), metrics)
    write_table(Path("plots/reliability.csv"), diagram.round(4))
    worth = f"Brier skill {metrics['brier_skill']}"
    print(f"fuse: {' + '.join(methods)}, {metrics['calibration']}, {metrics['pairs']} pairs, {worth}")


if __name__ == "__main__":
    run_stage(main)
