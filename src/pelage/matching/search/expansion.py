"""Alpha query expansion (Radenovic et al., TPAMI 2019, section 3.3): a query joined by what it found first."""

from __future__ import annotations

import numpy as np


def expand_queries(queries: np.ndarray, gallery: np.ndarray, nearest: np.ndarray, alpha: float = 3.0) -> np.ndarray:
    """Return queries that are weighted means of themselves and of their nearest gallery points.

    A gallery point weighs its cosine to the power of `alpha`, the query itself 1; opposite points weigh nothing. With
    `alpha` 0 it is average query expansion.

    Args:
        queries: `(Q, D)` of length 1.
        gallery: `(G, D)` of length 1.
        nearest: `(Q, n)` int, places in the gallery of points that may answer the query; -1 where there are fewer.
        alpha: How fast weights fall with the cosine.

    Returns:
        `(Q, D)` float32 of length 1.
    """
    found = gallery[nearest].astype(float)
    cosine = np.einsum("qd,qnd->qn", queries, found)
    weight = np.where((nearest >= 0) & (cosine > 0), np.clip(cosine, 0, None) ** alpha, 0)
    joined = queries + np.einsum("qn,qnd->qd", weight, found)
    return (joined / np.linalg.norm(joined, axis=1, keepdims=True)).astype(np.float32)
