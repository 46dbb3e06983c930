"""Retrieval metrics, each a number per query, from nothing but the ranks at which right answers stand.

A ranking is given by its hits: `query[i]` (0..Q-1) found a photo of its own individual at `rank[i]` (from 1), sorted
by query, then rank. `total` (Q,) tells how many right photos the gallery has; those that are not listed count as
missed, so a ranking cut off early is judged as it stands.
"""

from __future__ import annotations

import numpy as np


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
