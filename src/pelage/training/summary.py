"""Summary: the numbers and the history of a variant's trainings that are committed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pelage.training.dataset import TrainingData
from pelage.training.loop import HISTORY_COLUMNS, VALIDATION_COLUMNS, Trained


def summary(data: TrainingData | None, trained: Trained | None, reason: str = "") -> dict[str, Any]:
    """Return the metrics of a training, or why there was none, under the same keys."""
    if data is None or trained is None:
        return {"trained": False, "reason": reason}
    best = trained.history[max(trained.best_epoch - 1, 0)]
    return {
        "trained": True,
        "epochs_run": trained.history[-1]["epoch"],
        "best_epoch": trained.best_epoch,
        **{name: best[name] for name in VALIDATION_COLUMNS},
        "train_loss": best["loss"] and round(best["loss"], 4),
        "photos": int((~data.mirrored).sum()),
        "photos_side_unknown": data.side_unknown,
        "labels": len(np.unique(data.labels[~data.mirrored])),
        "val_queries": 0 if data.validation is None else len(data.validation.queries),
        "parameters": trained.parameters,
    }


def over_seeds(summaries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the metrics of a variant: what all seeds share, else their mean to 4 decimals; and the number of seeds."""
    numbers: dict[str, Any] = {}
    for key, first in summaries[0].items():
        values = [one[key] for one in summaries]
        numbers[key] = first if len(set(values)) == 1 else round(float(np.mean(values)), 4)
    return {**numbers, "seeds": len(summaries)}


def history_table(runs: Mapping[int, Trained | None]) -> pd.DataFrame:
    """Return a row for each seed and epoch: `seed` and `HISTORY_COLUMNS`; no rows where nothing was trained."""
    rows = [{"seed": seed, **row} for seed, trained in runs.items() if trained for row in trained.history]
    return pd.DataFrame(rows, columns=["seed", *HISTORY_COLUMNS])
