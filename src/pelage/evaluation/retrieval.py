"""The metric core: retrieval metrics, each a number per query, from the ranks at which right answers stand.

Training, the search of parameters, evaluation and benchmarks all use it, and nothing else. A ranking is given by its
hits: `query[i]` (0..Q-1) found a right photo at `rank[i]` (from 1), sorted by query, then rank. `total` (Q,) tells how
many right photos the gallery has; those that are not listed count as missed, so a ranking cut off early is judged as it
stands. What is right, and what is junk and has been taken out of the ranking before, is told by `masks`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

TOP = (1, 3, 5, 10)
DYNAMIC_K = 5
METRICS = (*(f"top{k}" for k in TOP), "map", "map_at_r", f"dynamic_top{DYNAMIC_K}_ap")
"""What `Hits.metrics` returns, in its order."""


@dataclass(frozen=True)
class Hits:
    """Where the right answers of Q queries stand.

    Attributes:
        query: `(H,)` int, the query of each hit, sorted.
        rank: `(H,)` int from 1, its rank without junk, ascending within a query.
        total: `(Q,)` int, right photos that the gallery has.
    """

    query: np.ndarray
    rank: np.ndarray
    total: np.ndarray

    @property
    def answerable(self) -> np.ndarray:
        """Which queries the gallery could answer, `(Q,)` bool. Means are over these."""
        return self.total > 0

    def first(self) -> np.ndarray:
        """Return the rank of each query's first right answer, `(Q,)` float, infinity where there is none."""
        return first_hit(self.query, self.rank, len(self.total))

    def metrics(self) -> dict[str, np.ndarray]:
        """Return the metrics `METRICS` of each query, `(Q,)` float from 0 to 1."""
        first, own = self.first(), (self.query, self.rank, self.total)
        rates = [(first <= k).astype(float) for k in TOP]
        values = (*rates, average_precision(*own), average_precision_at_r(*own), dynamic_precision(*own, DYNAMIC_K))
        return dict(zip(METRICS, values, strict=True))


def without_junk(query: np.ndarray, rank: np.ndarray, right: np.ndarray, junk: np.ndarray, total: np.ndarray) -> Hits:
    """Return the hits of rankings that are given row by row.

    A right answer moves up by the junk that stands before it in the ranking of its query. So these two kinds of rows
    are all that is needed; wrong ones may be left out.

    Args:
        query: `(P,)` int, the query of each row, sorted.
        rank: `(P,)` int from 1, ascending within a query.
        right: `(P,)` bool, the row is a right answer.
        junk: `(P,)` bool, the row counts for nothing: those after it move up.
        total: `(Q,)` int, right photos that the gallery has.
    """
    gone = np.concatenate([[0], np.cumsum(junk)])
    before = gone[:-1] - gone[np.searchsorted(query, query)]
    return Hits(query[right], (rank - before)[right], total)


def first_hit(query: np.ndarray, rank: np.ndarray, queries: int) -> np.ndarray:
    """Return the rank of the first right answer of each query, `(Q,)` float, infinity where there is none.

    Top-k accuracy (rank-k match rate, CMC) is the share of queries with `first_hit <= k`.
    """
    first = np.full(queries, np.inf)
    np.minimum.at(first, query, rank)
    return first


def dynamic_precision(query: np.ndarray, rank: np.ndarray, total: np.ndarray, k: int) -> np.ndarray:
    """Return the dynamic top-k average precision of each query, `(Q,)`, 0..1.

    With k' = min(k, total): the mean over ranks 1..k' of the precision at that rank, hit or not (leopard study,
    spotID). A hit at rank h adds 1/r to the precision of each rank r = h..k'.
    """
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, k + 1))])
    depth = np.minimum(k, total)
    near = rank <= depth[query]
    gain = harmonic[depth[query[near]]] - harmonic[rank[near] - 1]
    return _per_query(np.bincount(query[near], gain, len(total)), depth)


def average_precision(query: np.ndarray, rank: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Return the average precision of each query, `(Q,)`: the precision at each right photo, 0 for unlisted ones."""
    return _per_query(np.bincount(query, _ordinal(query) / rank, len(total)), total)


def average_precision_at_r(query: np.ndarray, rank: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Return the average precision at R of each query, `(Q,)`: as `average_precision`, but hits beyond rank R add none.

    R is `total` (Musgrave et al. 2020, "A metric learning reality check", section 3.2; its mean is MAP@R).
    """
    near = rank <= total[query]
    return _per_query(np.bincount(query[near], (_ordinal(query) / rank)[near], len(total)), total)


def identity_means(values: np.ndarray, identity: np.ndarray) -> np.ndarray:
    """Return the mean of `values` (Q,) for each individual, in the order of their names.

    The mean of these weighs each individual alike, however often it was photographed: balanced accuracy when `values`
    tell whether the first answer is right, identity-balanced mAP when they are average precisions.
    """
    _, codes = np.unique(identity.astype(str), return_inverse=True)
    return np.bincount(codes, values) / np.bincount(codes)


def _ordinal(query: np.ndarray) -> np.ndarray:
    """1, 2, ... within each run of equal queries."""
    start = np.searchsorted(query, query, side="left")
    return np.arange(1, len(query) + 1) - start


def _per_query(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.divide(sums, counts, out=np.zeros(len(counts)), where=counts > 0)
