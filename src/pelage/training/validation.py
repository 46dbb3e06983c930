"""Validation during training: does each held-out photo of a known individual find that individual again?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ACCURACY_RANKS = (1, 3, 5, 10)
DYNAMIC_K = 5
SCORES = (*(f"top{k}" for k in ACCURACY_RANKS), "map", f"dynamic_top{DYNAMIC_K}_ap")
"""What `retrieval` returns, in its order."""


@dataclass(frozen=True)
class Validation:
    """What is asked after each epoch.

    Attributes:
        queries: `(Q,)` places in the array of crops.
        gallery: `(G,)` places in the array of crops.
        hits: `(Q, G)` bool, the same individual.
        allowed: `(Q, G)` bool, another photo of another encounter.
    """

    queries: np.ndarray
    gallery: np.ndarray
    hits: np.ndarray
    allowed: np.ndarray


def answerable(
    queries: np.ndarray, gallery: np.ndarray, identities: np.ndarray, allowed: np.ndarray
) -> Validation | None:
    """Keep the queries that have an allowed hit; None if there is no such query.

    Args:
        queries: `(Q,)` places.
        gallery: `(G,)` places.
        identities: Individual at each place.
        allowed: `(Q, G)` bool.
    """
    hits = identities[queries][:, None] == identities[gallery][None, :]
    kept = (hits & allowed).any(axis=1)
    if not kept.any():
        return None
    return Validation(queries[kept], gallery, hits[kept], allowed[kept])


def retrieval(scores: np.ndarray, hits: np.ndarray, allowed: np.ndarray) -> dict[str, float]:
    """Return the mean scores, 0..1, of queries that each have an allowed hit, under the names of `SCORES`.

    * `topK`: share of queries with a hit among the first K.
    * `map`: mean average precision, the precision at each hit.
    * `dynamic_top5_ap`: with n allowed hits and k' = min(5, n), the mean over ranks 1..k' of the precision at that
      rank, hit or not (leopard study, spotID).

    Args:
        scores: `(Q, G)`, higher is more alike; of equal scores the earlier column comes first.
        hits: `(Q, G)` bool.
        allowed: `(Q, G)` bool; the other candidates are left out of the ranking.
    """
    order = np.argsort(-np.where(allowed, scores, -np.inf), axis=1, kind="stable")
    ranked = np.take_along_axis(hits & allowed, order, axis=1)
    total = ranked.sum(axis=1)
    ranks = np.arange(1, ranked.shape[1] + 1)
    precision = np.cumsum(ranked, axis=1) / ranks
    average = (precision * ranked).sum(axis=1) / total
    depth = np.minimum(DYNAMIC_K, total)
    dynamic = (precision * (ranks <= depth[:, None])).sum(axis=1) / depth
    accuracies = [ranked[:, :k].any(axis=1).mean() for k in ACCURACY_RANKS]
    return dict(zip(SCORES, map(float, (*accuracies, average.mean(), dynamic.mean())), strict=True))
