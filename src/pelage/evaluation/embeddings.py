"""Retrieval metrics of embeddings, in blocks of queries: neither a table of all cosines nor a ranking is ever made.

The rank of a hit needs no ranking of the gallery: it is the number of larger cosines, plus one. A query's cosines are
sorted as plain numbers, which takes a hundredth of the time of sorting the gallery by them.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd

from pelage.common.errors import PelageError
from pelage.common.ties import pair_keys
from pelage.evaluation.masks import Masks, Pair, Places
from pelage.evaluation.retrieval import Hits

CELLS = 2**23
"""Cosines in a block: 32 MiB as float32, and as much again for the sorted ones."""


def query_metrics(queries: np.ndarray, gallery: np.ndarray, masks: Masks) -> pd.DataFrame:
    """Return the metrics of each query, 0..1, when the gallery is ranked by its cosines to it.

    Args:
        queries: `(Q, D)` float vectors of length 1.
        gallery: `(G, D)` float vectors of length 1. Equal cosines are ordered by a hash of the two places.
        masks: Which pairs are right, and which are junk, such as a query's own encounter, or the query itself where all
            photos both ask and answer (leave one out).

    Returns:
        A row for each query that has a right answer, its place as the index; columns `retrieval.METRICS`, whose means
        are the metrics of these names.

    Raises:
        PelageError: A number of an embedding is not finite.
    """
    hits = embedding_hits(queries, gallery, masks)
    return pd.DataFrame(hits.metrics())[hits.answerable]


def embedding_hits(queries: np.ndarray, gallery: np.ndarray, masks: Masks) -> Hits:
    """Return where the right answers of each query stand; arguments and errors are those of `query_metrics`."""
    for name, points in (("queries", queries), ("gallery", gallery)):
        broken = ~np.isfinite(points).all(axis=1)
        if broken.any():
            raise PelageError(
                f"{int(broken.sum())} embeddings of the {name} have numbers that are not finite, the first of them in "
                f"row {int(broken.argmax())} (from 0). The network that made them is broken: train it again."
            )
    right = Places(masks.right[1])
    junk = [(pair[0], Places(pair[1])) for pair in (*masks.barred, masks.spared) if pair is not None]
    size = max(1, CELLS // max(1, len(gallery)))
    found = [(np.empty(0, int), np.empty(0, int))]
    total = np.zeros(len(queries), int)
    for start in range(0, len(queries), size):
        own = np.arange(start, min(start + size, len(queries)))
        cosines = queries[own] @ gallery.T
        for asked, places in junk:
            query, place = places.of(asked[own])
            query, place = (side[masks.kinds(own[query], place)[1]] for side in (query, place))
            cosines[query, place] = -np.inf
        query, place = right.of(masks.right[0][own])
        query, place = (side[masks.kinds(own[query], place)[0]] for side in (query, place))
        total[own] = np.bincount(query, minlength=len(own))
        query, rank = _by_rank(query, _ranks(cosines, query, place, start))
        found.append((query + start, rank))
    query, rank = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return Hits(query, rank, total)


def _ranks(scores: np.ndarray, query: np.ndarray, place: np.ndarray, start: int) -> np.ndarray:
    """Return the ranks, from 1, of hits in `scores` (B, G).

    Args:
        scores: Higher is better.
        query: `(H,)` row of each hit, sorted.
        place: `(H,)` column of each hit.
        start: Place of the first row among all queries, from which equals get their keys.
    """
    ascending, score = np.sort(scores, axis=1), scores[query, place]
    up_to = np.empty(len(query), int)
    bounds = np.searchsorted(query, np.arange(len(scores) + 1))
    for row, (begin, end) in zip(ascending, pairwise(bounds), strict=True):
        up_to[begin:end] = np.searchsorted(row, score[begin:end], "right")
    rank = scores.shape[1] - up_to + 1
    tied = (up_to > 1) & (ascending[query, up_to - 2] == score)
    for number in np.unique(query[tied]):
        hits = slice(bounds[number], bounds[number + 1])
        keys = pair_keys(np.array([start + number]), np.arange(scores.shape[1]))
        order = np.lexsort((keys, -scores[number]))
        rank[hits] = np.argsort(order)[place[hits]] + 1
    return rank


def _by_rank(query: np.ndarray, rank: np.ndarray) -> Pair:
    order = np.lexsort((rank, query))
    return query[order], rank[order]
