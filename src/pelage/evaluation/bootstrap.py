"""Bootstrap intervals: whole encounters are drawn again, for photos of one burst are no independent evidence.

Percentile intervals of the cluster bootstrap (Field and Welsh 2007). The draws depend on the seed, the protocol and the
encounters only, so that methods judged on the same queries are compared on the same resamples.
"""

from __future__ import annotations

import numpy as np

from pelage.common.seeds import generator


def encounter_draws(encounter: np.ndarray, resamples: int, seed: int, protocol: str) -> np.ndarray:
    """Return how often each query counts in each resample, `(B, Q)` int32.

    Args:
        encounter: `(Q,)` encounters of the queries; E different ones are drawn E times with replacement.
        resamples: B.
        seed: Seed of the draws.
        protocol: Name that makes the draws of protocols independent.
    """
    names, codes = np.unique(encounter.astype(str), return_inverse=True)
    if not len(names):
        return np.zeros((resamples, 0), np.int32)
    random = generator(seed, "bootstrap", protocol)
    chances = np.full(len(names), 1 / len(names))
    return random.multinomial(len(names), chances, resamples).astype(np.int32)[:, codes]


def resampled_means(values: np.ndarray, counted: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Return the mean of `values` (Q,) over the `counted` (Q,) queries in each resample, `(B,)`; NaN without any."""
    sums, sizes = draws[:, counted] @ values[counted].astype(float), draws[:, counted].sum(1)
    return np.divide(sums, sizes, out=np.full(len(draws), np.nan), where=sizes > 0)


def interval(values: np.ndarray, confidence: float) -> tuple[float | None, float | None]:
    """Return the percentile interval of resampled values `(B,)`, leaving out NaN; None without any."""
    values = values[~np.isnan(values)]
    if not len(values):
        return None, None
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
