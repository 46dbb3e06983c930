"""Reliability: do probabilities mean what they say?

Reliability diagram after DeGroot and Fienberg (1983), expected calibration error after Guo et al. (ICML 2017, eq. 3).
"""

from __future__ import annotations

import numpy as np
import pandas as pd


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
