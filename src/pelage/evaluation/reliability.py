"""Reliability: do probabilities mean what they say?

Nearly all pairs are trivially different animals, so that a constant, the share of pairs of one animal, has hardly any
calibration error over all pairs. So probabilities are judged by proper scores, beside that constant's (Brier 1950; the
logarithmic score of Good 1952), and their calibration by the top answers alone: the ones that people act on.

Reliability diagram after DeGroot and Fienberg (1983), expected calibration error after Guo et al. (ICML 2017, eq. 3).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

TINY = 1e-6
"""Probabilities are not taken to be nearer to 0 and 1 than this: one mistake would outweigh all else."""


def reliability_table(probability: np.ndarray, same: np.ndarray, weight: np.ndarray, bins: int = 10) -> pd.DataFrame:
    """Return the reliability diagram as a table, one row a bin that has pairs.

    Args:
        probability: `(P,)` in [0, 1], that a pair shows the same animal.
        same: `(P,)` bool, it does.
        weight: `(P,)` what each pair counts.
        bins: Bins of equal width.

    Returns:
        `probability` (mean in the bin), `observed` (share of the same animal), `share` (of all pairs), `pairs`.
    """
    place = np.minimum((probability * bins).astype(int), bins - 1)
    sums = {
        name: np.bincount(place, values, bins)
        for name, values in {"share": weight, "probability": weight * probability, "observed": weight * same}.items()
    }
    pairs = np.bincount(place, minlength=bins)
    filled = pairs > 0
    return pd.DataFrame(
        {
            "probability": sums["probability"][filled] / sums["share"][filled],
            "observed": sums["observed"][filled] / sums["share"][filled],
            "share": sums["share"][filled] / weight.sum(),
            "pairs": pairs[filled],
        }
    )


def expected_calibration_error(table: pd.DataFrame) -> float:
    """Return the mean distance of probability and observed share over the bins of a reliability table."""
    return float((table["share"] * (table["probability"] - table["observed"]).abs()).sum())


def proper_scores(probability: np.ndarray, same: np.ndarray, weight: np.ndarray) -> dict[str, float | None]:
    """Return what the probabilities are worth beside the base rate, the share of pairs of the same animal.

    Args:
        probability: `(P,)` in [0, 1].
        same: `(P,)` bool.
        weight: `(P,)` what each pair counts.

    Returns:
        `brier_skill`: 1 for those that know all, 0 for the base rate, below 0 for those that are worse than it;
        `log_loss` in nats, and `log_loss_of_base_rate`. None where all pairs are of one kind, or there are none.
    """
    names = ("brier_skill", "log_loss", "log_loss_of_base_rate")
    if not len(same) or same.all() or not same.any():
        return dict.fromkeys(names)
    share, truth = weight / weight.sum(), same.astype(float)
    base = float(share @ truth)
    skill = 1 - float(share @ (probability - truth) ** 2) / (base * (1 - base))
    sure = np.clip(probability, TINY, 1 - TINY)
    losses = [-float(share @ (truth * np.log(told) + (1 - truth) * np.log(1 - told))) for told in (sure, base)]
    return dict(zip(names, (skill, *losses), strict=True))
