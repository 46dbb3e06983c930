"""From photos to names: what the scores of an individual's photos say about the individual."""

from __future__ import annotations

import numpy as np

from pelage.common.params import choose


def name_scores(
    score: np.ndarray, name: np.ndarray, names: int, how: str, keypoint: np.ndarray | None = None
) -> np.ndarray:
    """Return one query's score for each individual.

    Args:
        score: `(P,)` scores of photos, or of matches of keypoints for nsum.
        name: `(P,)` int, the individual of each.
        names: Number of individuals, M.
        how: max (the best photo) | mean (of the photos) | nsum (HotSpotter's: each keypoint of the query votes once for
            an individual, by its best match among all of its photos; Crall et al., WACV 2013, section 3.5).
        keypoint: `(P,)` int, the query's keypoint of each match, for nsum.

    Returns:
        `(M,)` float64; minus infinity for an individual without photos (0 for nsum, where no match is a score of 0).

    Raises:
        ValueError: nsum without keypoints.
    """
    choose(how, ("max", "mean", "nsum"), "aggregation by name")
    score, name = np.asarray(score, float), np.asarray(name, int)
    if how == "nsum":
        if keypoint is None:
            raise ValueError("nsum adds up matches: tell the keypoint of each.")
        order = np.lexsort((-score, keypoint, name))
        pairs = np.stack([name[order], keypoint[order]], axis=1)
        first = np.ones(len(pairs), bool)
        first[1:] = (pairs[1:] != pairs[:-1]).any(axis=1)
        return np.bincount(pairs[first, 0], score[order][first], names)
    if how == "max":
        best = np.full(names, -np.inf)
        np.maximum.at(best, name, score)
        return best
    counts = np.bincount(name, minlength=names)
    return np.divide(np.bincount(name, score, names), counts, out=np.full(names, -np.inf), where=counts > 0)
