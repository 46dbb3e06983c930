"""Open set: known or new, decided by the score of the best answer against one threshold a method.

The threshold keeps an asked rate of false matches. It is found on validation queries that are asked again with their
own individual barred, so that all of them are new (protocol `pseudo_novel`), and on nothing else. BAKS and BAUS are the
balanced accuracies on known and on unknown samples as in WildlifeDatasets (Adam et al. 2024); the AUROC needs no
threshold.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

EXACT = 1000
"""Individuals up to which chances are worked out one individual after the other."""

NEAR = 6
"""Levels that more photos reach than so many times the asked rate are not looked at."""


def auroc(known: np.ndarray, score: np.ndarray) -> float:
    """Return the probability that a known query scores above a new one, ties counting half; NaN where one is missing.

    Args:
        known: `(Q,)` bool.
        score: `(Q,)`, higher is more certainly known; minus infinity is allowed.
    """
    pairs = known.sum() * (~known).sum()
    return float(pairs_in_order(known, score)[known].sum() / pairs) if pairs else float("nan")


def pairs_in_order(known: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Return in how many pairs of a known and a new query each one stands rightly, `(Q,)`, ties counting half."""
    result = np.empty(len(score))
    for side, above in ((known, True), (~known, False)):
        others = np.sort(score[~side])
        lower, upto = (np.searchsorted(others, score[side], end) for end in ("left", "right"))
        below = (lower + upto) / 2
        result[side] = below if above else len(others) - below
    return result


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


def least_rate(individuals: int) -> float:
    """Return the least rate of false matches that so many individuals can vouch for.

    Should one more come, it is as likely as any of them to score highest of all: with n of them once in n + 1.
    """
    return 1 / (individuals + 1)


def at_most(weight: np.ndarray, codes: np.ndarray, step: np.ndarray, most: np.ndarray) -> np.ndarray:
    """Return the chance that at most so many of one photo each of all individuals reach a level, `(S, M)`.

    Args:
        weight: `(P,)` share of its individual that a photo is, photos by falling score.
        codes: `(P,)` int, their individuals.
        step: `(S,)` int, the last photo of each level.
        most: `(M,)` int.
    """
    reaching = np.zeros((len(step), int(most.max()) + 1))  # chance that so many do
    reaching[:, 0] = 1
    for code in np.unique(codes):
        share = np.cumsum(weight * (codes == code))[step, None]
        reaching[:, 1:] = reaching[:, 1:] * (1 - share) + reaching[:, :-1] * share
        reaching[:, :1] *= 1 - share
    return np.cumsum(reaching, axis=1)[:, most]


def nearly_at_most(weight: np.ndarray, codes: np.ndarray, step: np.ndarray, most: np.ndarray) -> np.ndarray:
    """Return what `at_most` does, by the normal distribution of equal mean, variance and skewness.

    The refined normal approximation of the Poisson binomial distribution (Hong, Comput. Stat. Data Anal. 2013): its
    error falls with the variance, and it takes no time for each individual.
    """
    own = np.argsort(codes, kind="stable")
    before = np.empty(len(codes))
    before[own] = np.arange(len(own)) - np.searchsorted(codes[own], codes[own])
    before *= weight
    power = [np.cumsum((before + weight) ** n - before**n)[step] for n in (1, 2, 3)]  # sums of powers of the shares
    mean, variance = power[0], np.maximum(power[0] - power[1], 0)
    deviation = np.sqrt(np.maximum(variance, 1e-12))
    skew = (power[0] - 3 * power[1] + 2 * power[2]) / deviation**3
    x = (most + 0.5 - mean[:, None]) / deviation[:, None]
    bell = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    chance = np.clip(ndtr(x) + skew[:, None] * (1 - x**2) * bell / 6, 0, 1)
    return np.minimum.accumulate(chance)


def false_match_threshold(score: np.ndarray, identity: np.ndarray, rate: float) -> float | None:
    """Return the score that photos of an animal that nobody knows reach at the asked rate, each animal counting alike.

    The unit is the animal: its photos say little that is new of others. Of one photo each of n animals, the k-th
    highest score is reached by one of another animal with chance k / (n + 1) (conformal prediction, Vovk et al. 2005).
    So k is `rate * (n + 1)`, mixed from the two whole numbers around it. Which photo is drawn of each animal is
    averaged over: the threshold is reached by as many of the photos at hand as that k-th highest is on average. Of more
    than `EXACT` animals the chances are those of a normal distribution with a skew.

    Args:
        score: `(Q,)` best scores of queries whose individual the gallery does not have.
        identity: `(Q,)` their individuals.
        rate: Share of new animals' photos that may be taken for a known animal.

    Returns:
        None where the rate is below `least_rate`: it cannot be had with so few individuals.
    """
    _, codes = np.unique(identity.astype(str), return_inverse=True)
    count = int(codes.max()) + 1 if len(codes) else 0
    if not count or rate < least_rate(count) or not np.isfinite(score).any():
        return None
    order = np.argsort(-score, kind="stable")
    weight, codes = (1 / np.bincount(codes)[codes])[order], codes[order]
    level = np.maximum(score[order].astype(float), score[np.isfinite(score)].min())  # without any answer: the lowest
    reached = np.cumsum(weight) / count
    near = min(len(level), int(np.searchsorted(reached, min(1.0, NEAR * rate), "right")) + 1)
    level, reached = level[:near], reached[:near]
    step = np.flatnonzero(np.diff(level, append=-np.inf))  # the last of equal levels

    rank = rate * (count + 1)
    whole = int(rank + 1e-9)
    reaching = at_most if count <= EXACT else nearly_at_most
    fewer = reaching(weight[:near], codes[:near], step, np.array([whole - 1, whole]))
    level, reached = level[step], reached[step]
    target = 0.0
    for chance, part in ((fewer[:, 0], 1 - (rank - whole)), (fewer[:, 1], rank - whole)):
        highest = 1 - chance  # that the k-th highest of a draw is at this level or above
        target += part * float(reached @ np.diff(highest, prepend=0.0) + (1 - highest[-1]) * reached[-1])
    return float(np.interp(target, reached, level))
