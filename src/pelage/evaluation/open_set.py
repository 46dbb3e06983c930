"""Open set: known or new, decided by the score of the best answer against a threshold found on validation.

BAKS and BAUS are the balanced accuracies on known and on unknown samples as in WildlifeDatasets (Adam et al. 2024);
the AUROC needs no threshold.
"""

from __future__ import annotations

import numpy as np

FALLBACK_QUANTILE = 0.05


def auroc(known: np.ndarray, score: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    """Return the probability that a known query scores above a new one, ties counting half.

    Args:
        known: `(Q,)` bool.
        score: `(Q,)`, higher is more certainly known; minus infinity is allowed.
        weight: `(B, Q)`, how often each query counts in each of B resamples; once by default.

    Returns:
        `(B,)`, or `(1,)` without `weight`; NaN where known or new queries are missing.
    """
    weight = np.ones((1, len(score))) if weight is None else weight
    order = np.argsort(score, kind="stable")
    weight, known, score = weight[:, order].astype(float), known[order], score[order]
    old, new = weight * known, weight * ~known
    below = np.concatenate([np.zeros((len(weight), 1)), np.cumsum(new, 1)], 1)
    lower = below[:, np.searchsorted(score, score, "left")]
    upto = below[:, np.searchsorted(score, score, "right")]
    pairs = old.sum(1) * new.sum(1)
    wins = (old * (lower + upto) / 2).sum(1)
    return np.divide(wins, pairs, out=np.full(len(weight), np.nan), where=pairs > 0)


def roc_curve(known: np.ndarray, score: np.ndarray, points: int = 200) -> np.ndarray:
    """Return the ROC of known (positive) against new queries.

    Returns:
        `(P, 2)` false and true positive rates from (0, 0) to (1, 1), at most `points` of them, evenly picked; `(0, 2)`
        where known or new queries are missing.
    """
    if known.all() or not known.any():
        return np.empty((0, 2))
    levels, level = np.unique(-score, return_inverse=True)
    counts = np.stack([np.bincount(level, side, len(levels)) for side in (~known, known)], 1)
    curve = np.concatenate([np.zeros((1, 2)), np.cumsum(counts, 0) / counts.sum(0)])
    picked = np.linspace(0, len(curve) - 1, min(points, len(curve))).round().astype(int)
    return curve[picked]


def sample_weights(identity: np.ndarray) -> np.ndarray:
    """Return weights `(Q,)` that sum to 1 and give each individual the same share."""
    _, codes, counts = np.unique(identity.astype(str), return_inverse=True, return_counts=True)
    return 1 / (len(counts) * counts[codes])


def baks_baus(
    known: np.ndarray, right: np.ndarray, score: np.ndarray, identity: np.ndarray, threshold: float
) -> tuple[float | None, float | None]:
    """Return BAKS and BAUS at a threshold, each None where it has no query.

    A known query counts when it is called known (score at or above the threshold) and its first answer is right; a new
    one when it is called new. Each individual weighs the same.

    Args:
        known: `(Q,)` bool.
        right: `(Q,)` bool, the first answer is of the right individual.
        score: `(Q,)` score of the first answer.
        identity: `(Q,)` true individuals.
        threshold: Least score of a known individual.
    """
    accepted = score >= threshold
    results = []
    for chosen, good in ((known, accepted & right), (~known, ~accepted)):
        results.append(float(good[chosen] @ sample_weights(identity[chosen])) if chosen.any() else None)
    return results[0], results[1]


def find_threshold(known: np.ndarray, right: np.ndarray, score: np.ndarray, identity: np.ndarray) -> float | None:
    """Find the threshold from validation queries.

    The geometric mean of BAKS and BAUS is made greatest (then their sum, then the threshold is the lowest such one),
    over thresholds half-way between neighbouring scores. Without new individuals in validation it is the 5th percentile
    of the scores of known queries, which accepts 95 % of them; without known ones there is none.

    Args:
        known, right, score, identity: As in `baks_baus`, of validation queries.
    """
    seen = np.isfinite(score)
    if not (known & seen).any():
        return None
    if known.all():
        return float(np.quantile(score[seen], FALLBACK_QUANTILE))
    levels = np.unique(score[seen].astype(float))
    middle = levels[:-1] + np.diff(levels) / 2
    candidates = np.concatenate([levels[:1], middle, [np.nextafter(levels[-1], np.inf)]])
    # gains of accepting the known and of refusing the new, summed from the lowest score up
    weight = np.zeros(len(score))
    weight[known] = sample_weights(identity[known]) * right[known]
    weight[~known] = sample_weights(identity[~known])
    order = np.argsort(score, kind="stable")
    below = np.searchsorted(score[order].astype(float), candidates, "left")
    refused = [np.concatenate([[0.0], np.cumsum((weight * side)[order])])[below] for side in (known, ~known)]
    baks, baus = (weight * known).sum() - refused[0], refused[1]
    quality = np.round([np.sqrt(np.clip(baks, 0, 1) * baus), baks + baus], 12)
    return float(candidates[np.lexsort((candidates, -quality[1], -quality[0]))[0]])
