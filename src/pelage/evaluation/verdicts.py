"""Verdicts: is one method better than another, on the same queries, by more than chance?

The champion of a part is chosen on validation, so that the test queries that it is judged on had no say in it. Every
two methods are compared query by query, with the individual as the unit (see `intervals`). Where many comparisons are
made some will look good by chance; so what is called better holds for all of them together (Holm, Scand. J. Stat.
1979).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.special import stdtr

from pelage.evaluation.intervals import LEAST_INDIVIDUALS, SIGNED, LeftOut, leave_out

NUMBERS = ["difference", "low", "high", "p", "p_holm"]
VERDICT_COLUMNS = ["part", "protocol", "metric", "method", "other", *NUMBERS, "verdict"]
CHOSEN_BY = "flank_map"
"""The metric of validation by which the champion is chosen: it hardly jumps, and flanks nobody could match are junk."""


def champion(validated: Mapping[str, float | None]) -> str | None:
    """Return the method with the highest validation metric, the first of equals; None where there is none."""
    able = {method: value for method, value in validated.items() if value is not None}
    return max(able, key=able.__getitem__) if able else None


def compare_all(
    values: Mapping[str, np.ndarray], counted: np.ndarray, individual: np.ndarray, confidence: float
) -> pd.DataFrame:
    """Compare every two methods.

    Args:
        values: By method, `(Q,)` the metric of each query.
        counted: `(Q,)` bool, queries that count.
        individual: `(Q,)` int, codes of the individuals.
        confidence: Of the intervals, and of the verdicts of all pairs together.

    Returns:
        A row for each two, in the order of `values`: `method`, `other`, `difference` of their means, its interval
        `low`, `high` (of this pair alone), `p`, `p_holm`, and the `verdict`: better | worse | open; missing numbers
        where there are too few individuals.
    """
    rows = []
    for method, other in combinations(values, 2):
        told = leave_out(values[method] - values[other], counted, individual)
        low, high = told.interval(confidence, SIGNED)
        rows.append((method, other, told.value, low, high, chance(told)))
    table = pd.DataFrame(rows, columns=["method", "other", "difference", "low", "high", "p"]).astype(
        dict.fromkeys(["difference", "low", "high", "p"], float)
    )
    table["p_holm"] = holm(table["p"].to_numpy())
    sure = (table["p_holm"] <= 1 - confidence).to_numpy()
    table["verdict"] = np.where(sure & (table["difference"] > 0), "better", np.where(sure, "worse", "open"))
    return table


def chance(told: LeftOut) -> float:
    """Return how often a difference as large comes about by chance, two-sided; NaN with too few individuals."""
    if len(told.without) < LEAST_INDIVIDUALS:
        return float("nan")
    variance, freedom = told.variance()
    if variance < 1e-12:
        return 1.0 if abs(told.value) < 1e-12 else 0.0
    return float(2 * stdtr(freedom, -abs(told.value) / np.sqrt(variance)))


def holm(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return p values that hold for all comparisons together, `(N,)`; NaN stays and counts for none."""
    p = np.asarray(p, float)
    adjusted, known = np.full(len(p), np.nan), np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)))
    return adjusted
