"""Rankings: the one table that every method writes and `evaluate` reads.

A row says that `candidate` is the `rank`-th most alike gallery crop of `query` under a protocol. Equal scores are
ordered by a hash of the pair (see `ties`), so that a ranking depends neither on the order of a gallery nor on names.

Of a large gallery a query keeps its best candidates alone, and beside them all photos of its own individual: metrics
are made of the ranks of these, so they are those of the whole ranking. A row that is there for its exact rank has no
score (NaN). It must not have one: that the row stands there at all tells who it shows, so whoever combines or learns
from scores may not see it.

In memory, crops are categories (an integer a row); in files, text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from pandas.api.types import union_categoricals

from pelage.common.files import seed_files
from pelage.common.parallel import parallel_map
from pelage.common.ties import name_codes, pair_keys

PAIR = ["protocol", "query", "candidate"]
RANKING_COLUMNS = [*PAIR, "rank", "score"]
BASELINE = "sift_lnbnn"
"""The method that all others are compared with, query by query."""

FUSED = "fused"
SIGHTINGS = "fused_sightings"
"""The fusion, photos of one sighting asked together: other methods see one photo at a time."""

RECIPROCAL_RANK = "reciprocal rank"
"""What is told in the place of a calibration where there was nothing to calibrate on."""

FILES = {FUSED: "data/fused.parquet", SIGHTINGS: "data/sightings.parquet"}
"""Rankings that stand beside the folder of all others, which the fusion reads."""

NETWORKS = Path("data/rankings/networks")
"""Folder of the rankings that the stage search writes, a folder a network."""

NAMED = ("mlp", "orb_sift_brisk_lightgbm", "random_mlp", "random", "majority", FUSED, SIGHTINGS)
"""Methods that stages name themselves; no entry of the parameters may have such a name."""

CONTROLS = ("random_mlp", "random", "majority")
"""Methods that no skill went into; none of them can be the champion."""

NO_RIVALS = (*CONTROLS, SIGHTINGS)
"""Methods that are shown beside the others and compared with none: they look at nothing, or at several photos."""


def ranking_files(method: str) -> list[Path]:
    """Return the files of a method's rankings: one, or one a seed of what is trained, the lowest seed first."""
    folder = NETWORKS if (NETWORKS / method).is_dir() else NETWORKS.parent
    return seed_files(Path(FILES.get(method, folder / f"{method}.parquet")))


def kept(gallery: int, depth: int, whole: int) -> int:
    """Return how many candidates of a query are kept: all of a gallery of up to `whole` crops, else `depth`."""
    return max(gallery, 1) if gallery <= whole else depth


def rankings_table(
    protocol: str,
    queries: Sequence[str],
    gallery: Sequence[str],
    scores: np.ndarray,
    allowed: np.ndarray,
    depth: int,
    relevant: np.ndarray | None = None,
    codes: np.ndarray | None = None,
) -> pd.DataFrame:
    """Return the best `depth` allowed candidates of each query, best first, queries in the order given.

    Behind them stand the other relevant candidates with their ranks among all that are allowed, and without a score.

    Args:
        protocol: Name of the protocol, repeated in each row.
        queries: Q crop ids, each different.
        gallery: G crop ids, each different.
        scores: `(Q, G)`, higher is more alike; compared and kept as float32.
        allowed: `(Q, G)` bool; candidates that are not allowed have no row.
        depth: Most rows a query, but for relevant ones.
        relevant: `(Q, G)` bool, see `ProtocolSet.relevant`; None: none is.
        codes: `name_codes(gallery)`, for who asks a gallery more than once.

    Raises:
        ValueError: The shapes disagree or an allowed score is NaN.
    """
    queries, gallery = pd.Index(queries, dtype=str), pd.Index(gallery, dtype=str)
    scores = np.asarray(scores, np.float32)
    allowed = np.asarray(allowed, bool)
    if scores.shape != (len(queries), len(gallery)) or allowed.shape != scores.shape:
        raise ValueError(f"scores {scores.shape} and allowed {allowed.shape} must be ({len(queries)}, {len(gallery)}).")
    if np.isnan(scores, where=allowed, out=np.zeros(scores.shape, bool)).any():
        raise ValueError("a score is NaN.")
    codes = name_codes(gallery) if codes is None else codes

    def ranked(work: tuple[np.uint64, np.ndarray, np.ndarray, np.ndarray | None]) -> tuple[np.ndarray, ...]:
        own, row, permitted, asked = work
        places = np.flatnonzero(permitted)
        asked = None if asked is None else asked[places]
        order, rank, listed = _best(row[places], lambda some: pair_keys(own, codes[places[some]]), depth, asked)
        order = places[order]
        return order, rank, np.where(listed, row[order], np.float32(np.nan))

    wanted = [None] * len(queries) if relevant is None else relevant
    found = list(parallel_map(ranked, zip(name_codes(queries), scores, allowed, wanted, strict=True)))
    if not found:
        return empty_rankings()
    places, ranks, values = map(np.concatenate, zip(*found, strict=True))
    counts = [len(order) for order, *_ in found]
    return _typed(
        pd.Categorical.from_codes(np.zeros(len(places), np.int8), pd.Index([protocol], dtype=str)),
        pd.Categorical.from_codes(np.repeat(np.arange(len(queries)), counts), queries),
        pd.Categorical.from_codes(places, gallery),
        ranks,
        values,
    )


def _best(
    values: np.ndarray, keys: Callable[[np.ndarray], np.ndarray], depth: int, relevant: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the places of the best `depth` of `values` `(N,)`, best first, then those of other relevant ones.

    Args:
        values: Scores.
        keys: Of some places; the smallest goes first among equals.
        depth: Most places, but for relevant ones.
        relevant: `(N,)` bool, or None.

    Returns:
        Places, their ranks from 1, and whether they are among the best.
    """
    count = len(values)
    if count <= depth:
        order = np.lexsort((keys(np.arange(count)), -values))
        return order, np.arange(1, count + 1), np.ones(count, bool)
    lowest = values.min()
    higher = values[values > lowest]  # partition is slow among many equals, such as those that nothing speaks for
    least = np.partition(higher, len(higher) - depth)[len(higher) - depth] if len(higher) >= depth else lowest
    above, level = np.flatnonzero(values > least), np.flatnonzero(values == least)
    wanted = depth - len(above)
    if wanted < len(level):
        level = level[np.argpartition(keys(level), wanted - 1)[:wanted]]
    best = np.concatenate([above, level])
    best = best[np.lexsort((keys(best), -values[best]))]
    rank = np.arange(1, depth + 1)
    if relevant is None:
        return best, rank, np.ones(depth, bool)
    behind = relevant.copy()
    behind[best] = False
    behind = np.flatnonzero(behind)
    ahead = np.zeros(len(behind), int)
    for score in np.unique(values[behind]):
        own = values[behind] == score
        ahead[own] = np.count_nonzero(values > score)
        if np.count_nonzero(values == score) > 1:
            tied = keys(np.flatnonzero(values == score))
            ahead[own] += [np.count_nonzero(tied < key) for key in keys(behind[own])]
    order = np.argsort(ahead)
    listed = np.arange(depth + len(behind)) < depth
    return np.concatenate([best, behind[order]]), np.concatenate([rank, 1 + ahead[order]]), listed


def rank_pairs(
    pairs: pd.DataFrame, depth: int, by: str = "score", codes: Mapping[str, np.ndarray] | None = None
) -> pd.DataFrame:
    """Return the table of pairs that are scored one by one, best first, as `rankings_table` does for whole matrices.

    Args:
        pairs: `protocol`, `query`, `candidate`, `score`, each pair once. Protocols keep the order of their first rows,
            queries are in that of their ids.
        depth: Most rows a query.
        by: Column whose highest values are the best.
        codes: `category_codes(pairs)`, for who ranks pairs of the same categories again and again.
    """
    protocol, query, candidate = (categories(pairs[column]) for column in PAIR)
    asked = pd.factorize(protocol.codes)[0].astype(np.int64) * max(len(query.categories), 1) + query.codes
    order = np.lexsort((tie_keys(pairs, codes), -pairs[by].to_numpy(), asked))
    rank = np.arange(1, len(order) + 1) - np.searchsorted(asked[order], asked[order])
    order, rank = order[rank <= depth], rank[rank <= depth]
    return _typed(protocol[order], query[order], candidate[order], rank, pairs["score"].to_numpy()[order])


def tie_keys(pairs: pd.DataFrame, codes: Mapping[str, np.ndarray] | None = None) -> np.ndarray:
    """Return the keys by which equal rows are ordered, the smallest first, `(P,)` uint64.

    Args:
        pairs: `query` and `candidate`, as text or categories.
        codes: As in `rank_pairs`.
    """
    if codes is None:
        used = {column: pairs[column].astype("category").cat.remove_unused_categories() for column in PAIR[1:]}
        pairs = pd.DataFrame(used)
        codes = category_codes(pairs)
    return pair_keys(*(codes[column][pairs[column].cat.codes] for column in PAIR[1:]))


def category_codes(pairs: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return `name_codes` of the categories of `query` and of `candidate`."""
    return {column: name_codes(pairs[column].cat.categories) for column in PAIR[1:]}


def categories(column: pd.Series, names: pd.Index | None = None) -> pd.Categorical:
    """Return a column of text or categories as categories in the order of their names.

    Args:
        column: Text or categories.
        names: Sorted categories that are wanted, which hold those of the column; its own by default.
    """
    own = column.astype("category").array
    if names is None:
        if own.categories.dtype == "str" and own.categories.is_monotonic_increasing:
            return own
        names = own.categories.astype(str).sort_values()
    places = names.get_indexer(own.categories.astype(str)).astype(np.int32)
    return pd.Categorical.from_codes(places[own.codes] if len(own) else [], names)


def looked_up(column: pd.Series, told: Mapping[str, object] | Callable[[str], object]) -> np.ndarray:
    """Return what `told` says of each crop of a column of text or categories, `(P,)` object, NaN if it does not."""
    names = column.astype("category").array
    values = pd.Series(names.categories.astype(object), dtype=object).map(told).to_numpy(object)
    return values[names.codes] if len(names) else np.empty(0, object)


def empty_rankings() -> pd.DataFrame:
    """Return a table without rows, with the columns and types of `rankings_table`."""
    nothing = pd.Categorical.from_codes([], pd.Index([], dtype=str))
    return _typed(nothing, nothing, nothing, [], [])


def join_rankings(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return several tables as one, of the right types also when none has a row."""
    filled = [table for table in tables if len(table)]
    if not filled:
        return empty_rankings()
    columns = [union_categoricals([table[column] for table in filled]) for column in PAIR]
    return _typed(*columns, *(np.concatenate([table[column] for table in filled]) for column in ("rank", "score")))


def drop_opposite(rankings: pd.DataFrame, side: Mapping[str, str]) -> pd.DataFrame:
    """Return the rows whose two crops do not show opposite flanks: those carry different patterns.

    Args:
        rankings: A table with `query` and `candidate`.
        side: Orientation by crop id; all but `left` and `right` go with any.
    """
    query, candidate = (_turned(rankings[column], side) for column in ("query", "candidate"))
    return rankings[query * candidate != -1]


def _turned(column: pd.Series, side: Mapping[str, str]) -> np.ndarray:
    """Return -1 for crops of the left flank, 1 for those of the right one, and 0 for all others, `(P,)` int8."""
    names = column.astype("category").array
    told = pd.Series(names.categories.astype(object), dtype=object).map(side).to_numpy(object)
    return ((told == "right").astype(np.int8) - (told == "left"))[names.codes]


def _typed(
    protocol: pd.Categorical, query: pd.Categorical, candidate: pd.Categorical, rank: ArrayLike, score: ArrayLike
) -> pd.DataFrame:
    columns = (protocol, query, candidate, np.asarray(rank, np.int32), np.asarray(score, np.float32))
    return pd.DataFrame(dict(zip(RANKING_COLUMNS, columns, strict=True)))
