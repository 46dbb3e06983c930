"""Retrieval metrics of embeddings, in blocks of queries: neither a table of all cosines nor a ranking is ever made.

The rank of a hit needs no ranking of the gallery: it is the number of larger cosines, plus one. A query's cosines are
sorted as plain numbers, which takes a hundredth of the time of sorting the gallery by them.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd

from pelage.common.errors import PelageError
from pelage.evaluation.retrieval import average_precision, average_precision_at_r, dynamic_precision, first_hit

CELLS = 2**23
"""Cosines in a block: 32 MiB as float32, and as much again for the sorted ones."""

Pair = tuple[np.ndarray, np.ndarray]


def query_metrics(queries: np.ndarray, gallery: np.ndarray, identities: Pair, groups: Pair) -> pd.DataFrame:
    """Return the metrics of each query, 0..1, when the gallery is ranked by its cosines to it.

    Args:
        queries: `(Q, D)` float vectors of length 1.
        gallery: `(G, D)` float vectors of length 1. Of equal cosines the earlier one comes first.
        identities: `(Q,)` and `(G,)`, who is shown.
        groups: `(Q,)` and `(G,)`. A query's own group may not answer: its encounter, or only itself, by the number of
            the photo, where all photos both ask and answer (leave one out).

    Returns:
        A row for each query that has a right answer, its place as the index; columns `top1`, `top3`, `top5`, `top10`,
        `map`, `map_at_r` and `dynamic_top5_ap`, whose means are the metrics of these names (see `retrieval`).

    Raises:
        PelageError: A number of an embedding is not finite.
    """
    for name, points in (("queries", queries), ("gallery", gallery)):
        broken = ~np.isfinite(points).all(axis=1)
        if broken.any():
            raise PelageError(
                f"{int(broken.sum())} embeddings of the {name} have numbers that are not finite, the first of them in "
                f"row {int(broken.argmax())} (from 0). The network that made them is broken: train it again."
            )
    (asked, shown), (own, others) = _codes(identities), _codes(groups)
    right, barred = _Places(shown), _Places(others)
    size = max(1, CELLS // max(1, len(gallery)))
    tables = [_table(np.empty(0, int), np.empty(0, int), np.empty(0, int), 0)]
    for start in range(0, len(queries), size):
        block = slice(start, start + size)
        cosines = queries[block] @ gallery.T
        cosines[barred.of(own[block])] = -np.inf
        query, place = right.of(asked[block])
        may = own[block][query] != others[place]
        query, place = query[may], place[may]
        total = np.bincount(query, minlength=len(cosines))
        tables.append(_table(*_by_rank(query, _ranks(cosines, query, place)), total, start))
    return pd.concat(tables)


def _table(query: np.ndarray, rank: np.ndarray, total: np.ndarray, start: int) -> pd.DataFrame:
    """Return rows of `query_metrics` for hits sorted by query, then rank; `start` is the first query's place."""
    first = first_hit(query, rank, len(total))
    columns = {f"top{k}": (first <= k).astype(float) for k in (1, 3, 5, 10)} | {
        "map": average_precision(query, rank, total),
        "map_at_r": average_precision_at_r(query, rank, total),
        "dynamic_top5_ap": dynamic_precision(query, rank, total, 5),
    }
    return pd.DataFrame(columns, index=pd.RangeIndex(start, start + len(total)))[total > 0]


class _Places:
    """Where each code stands in a row of codes."""

    def __init__(self, codes: np.ndarray) -> None:
        self._order = np.argsort(codes, kind="stable")
        self._sorted = codes[self._order]

    def of(self, asked: np.ndarray) -> Pair:
        """Return `(number, place)` of all places that have the code `asked[number]`, sorted by number, then place."""
        first, last = (np.searchsorted(self._sorted, asked, side) for side in ("left", "right"))
        count = last - first
        number = np.repeat(np.arange(len(asked)), count)
        turn = np.arange(len(number)) - np.repeat(np.cumsum(count) - count, count)
        return number, self._order[first[number] + turn]


def _ranks(scores: np.ndarray, query: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Return the ranks, from 1, of hits in `scores` (B, G); of equal scores the earlier column comes first.

    Args:
        scores: Higher is better.
        query: `(H,)` row of each hit, sorted.
        place: `(H,)` column of each hit.
    """
    ascending, score = np.sort(scores, axis=1), scores[query, place]
    up_to = np.empty(len(query), int)
    bounds = np.searchsorted(query, np.arange(len(scores) + 1))
    for row, (start, stop) in zip(ascending, pairwise(bounds), strict=True):
        up_to[start:stop] = np.searchsorted(row, score[start:stop], "right")
    rank = scores.shape[1] - up_to + 1
    tied = (up_to > 1) & (ascending[query, up_to - 2] == score)
    for number in np.unique(query[tied]):
        hits = slice(bounds[number], bounds[number + 1])
        order = np.argsort(-scores[number], kind="stable")
        rank[hits] = np.argsort(order)[place[hits]] + 1
    return rank


def _by_rank(query: np.ndarray, rank: np.ndarray) -> Pair:
    order = np.lexsort((rank, query))
    return query[order], rank[order]


def _codes(pair: Pair) -> Pair:
    codes = np.unique(np.concatenate(pair), return_inverse=True)[1]
    return codes[: len(pair[0])], codes[len(pair[0]) :]
