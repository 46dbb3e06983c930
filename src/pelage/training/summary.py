"""Summary: the numbers of one training that are committed."""

from __future__ import annotations

from typing import Any

import numpy as np

from pelage.training.dataset import TrainingData
from pelage.training.loop import VALIDATION_COLUMNS, Trained


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
