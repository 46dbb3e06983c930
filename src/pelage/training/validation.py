"""Validation during training: does each held-out photo of a known individual find that individual again?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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


def retrieval(scores: np.ndarray, hits: np.ndarray, allowed: np.ndarray) -> tuple[float, float]:
    """Return top-1 accuracy and mean average precision of queries that each have an allowed hit.

    Args:
        scores: `(Q, G)`, higher is more alike; of equal scores the earlier column comes first.
        hits: `(Q, G)` bool.
        allowed: `(Q, G)` bool; the other candidates are left out of the ranking.
    """
    order = np.argsort(-np.where(allowed, scores, -np.inf), axis=1, kind="stable")
    ranked = np.take_along_axis(hits & allowed, order, axis=1)
    precision = np.cumsum(ranked, axis=1) / np.arange(1, ranked.shape[1] + 1)
    average = (precision * ranked).sum(axis=1) / ranked.sum(axis=1)
    return float(ranked[:, 0].mean()), float(average.mean())
