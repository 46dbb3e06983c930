"""Reliability: do probabilities mean what they say, and where is the line between known and new?

Reliability diagram after DeGroot and Fienberg (1983), expected calibration error after Guo et al. (ICML 2017, eq. 3).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from pelage.split.protocols import ProtocolSet


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


def new_queries(rules: ProtocolSet) -> pd.DataFrame:
    """Return the queries of a protocol whose individual the gallery does not have."""
    return rules.queries[~rules.queries["identity"].isin(rules.gallery["identity"])]


def false_match_threshold(wrong: pd.DataFrame, rules: ProtocolSet, rate: float) -> float:
    """Return the least threshold at which at most `rate` of new animals are taken for a known one.

    It is found on queries of new animals if there are at least `1 / rate` such animals, otherwise on all queries: their
    best wrong candidate tells what they would reach if their own animal were not in the gallery. (Networks separate the
    animals that they learnt better than new ones, so then the rate may come out higher.)

    Args:
        wrong: `query`, `score` of pairs of different animals, in the protocol.
        rules: The validation protocol.
        rate: Largest share of queries that reach the threshold.
    """
    best = wrong.groupby("query")["score"].max()
    new = new_queries(rules)
    if new["identity"].nunique() * rate >= 1:
        best = best[best.index.isin(new["crop_id"])]
    ordered = np.sort(best.to_numpy(float))[::-1]
    accepted = int(np.floor(rate * len(ordered) + 1e-9))
    return float(np.nextafter(ordered[accepted], np.inf)) if accepted < len(ordered) else 0.0
