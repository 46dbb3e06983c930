"""Fuse: data/rankings of some methods, the split, who was seen -> data/{fused,sightings}.parquet, numbers."""

from pathlib import Path

import _path  # noqa: F401
import numpy as np

from pelage.animals.units import SEEN, animals_seen, of_one_animal, sightings
from pelage.common.files import write_json
from pelage.common.params import read_params
from pelage.common.stage import run_stage
from pelage.common.tables import read_table, write_parquet, write_table
from pelage.evaluation.choice import practise
from pelage.evaluation.reliability import (
    expected_calibration_error,
    proper_scores,
    reliability_table,
)
from pelage.matching.fusion import (
    by_identity,
    fuse_by,
    query_weights,
    read_methods,
    read_own,
    read_rankings,
)
from pelage.matching.placement import read_placements
from pelage.matching.rankings import RECIPROCAL_RANK
from pelage.matching.sightings import ask_together
from pelage.split.protocols import protocol_sets, read_split


def main() -> None:
    """Calibrate methods on validation pairs, choose how they rank together, and see what the probabilities are worth.

    The probabilities are fitted on the first candidates of validation queries. Where the line between known and new
    lies is told by the stage evaluate, as for any other method. Who is on photos that nobody named is asked of the
    chosen rule alone. Photos that are known to show one animal are asked together, too.
    """
    params = read_params()
    wanted = params["fusion"]
    part, methods, one_sided = read_methods(params)
    split = read_split(Path("data/split.csv"))
    rows, sets = split.set_index("crop_id"), protocol_sets(split, part)
    rankings = read_own(methods), read_rankings(methods, one_sided, rows["orientation"])
    settings = rows["identity"], wanted["shortlist"], wanted["calibration"], wanted["photos"], read_placements(methods)
    practice = practise(*rankings, settings, sets["validation"], wanted["rule"], params["evaluate"]["confidence"])
    fused = fuse_by(practice.rule, *rankings, *settings)
    learnt, fusion = fused.learnt, fused.fusion

    metrics = {
        "part": part,
        "rule": practice.rule,
        "best_part": practice.best,
        "pairs": len(learnt),
        "pairs_of_same_animal": int(learnt["same"].sum()),
        "calibration": wanted["calibration"] if fusion else RECIPROCAL_RANK,
        "weights": {method: round(fusion.weights.get(method, 0.0), 4) if fusion else None for method in methods},
        "validation_flank_map": {
            name: {key: None if value is None else round(value, 4) for key, value in numbers.items()}
            for name, numbers in practice.told.items()
        },
    }
    sure = learnt if fused.held_out else learnt.head(0)
    metrics |= proper_scores(sure["score"].to_numpy(), sure["same"].to_numpy(), query_weights(sure))
    diagram = None
    for protocol, suffix in (("validation", ""), ("open", "_open")):
        able = fusion is not None and (protocol == "open" or fused.held_out)
        first = fused.rankings[(fused.rankings["protocol"] == protocol) & (fused.rankings["rank"] == 1) & able]
        same = by_identity(first, rows["identity"])[1]
        table = reliability_table(first["score"].to_numpy(float), same, np.ones(len(first)))
        metrics[f"top1_ece{suffix}"] = expected_calibration_error(table) if len(table) else None
        diagram = table if diagram is None else diagram

    tables = {name: read_table(Path(f"data/{name}.csv"), **columns) for name, columns in SEEN.items()}
    together = sightings(animals_seen(tables, split, part, of_one_animal(params)))
    of_sightings = ask_together(
        fused.rankings, sets, together, rows["orientation"], rows["identity"], fusion is not None
    )

    write_parquet(Path("data/fused.parquet"), fused.rankings)
    write_parquet(Path("data/sightings.parquet"), of_sightings)
    metrics = {name: round(value, 4) if isinstance(value, float) else value for name, value in metrics.items()}
    write_json(Path("data/numbers/fuse.json"), metrics)
    write_table(Path("plots/reliability.csv"), diagram.round(4))
    worth = f"Brier skill {metrics['brier_skill']}"
    print(
        f"fuse: {practice.rule} of {' + '.join(methods)}, {metrics['calibration']}, {metrics['pairs']} pairs, {worth}"
    )


if __name__ == "__main__":
    run_stage(main)
