"""Rankings: the one table that every method writes and `evaluate` reads.

A row says that `candidate` is the `rank`-th most alike gallery crop of `query` under a protocol. Equal scores are
ordered by a hash of the pair (see `ties`), so that a ranking depends neither on the order of a gallery nor on names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pelage.common.files import seed_files
from pelage.common.ties import name_codes, pair_keys
from pelage.split.protocols import OPPOSITE

PAIR = ["protocol", "query", "candidate"]
RANKING_COLUMNS = [*PAIR, "rank", "score"]
BASELINE = "sift_lnbnn"
"""The method that all others are compared with, query by query."""

FUSED = "fused"
NAMED = ("mlp", "orb_sift_brisk_lightgbm", "random_mlp", "random", "majority", FUSED)
"""Methods that stages name themselves; no entry of the parameters may have such a name."""

CONTROLS = ("random_mlp", "random", "majority")
"""Methods that no skill went into; none of them can be the champion."""


def ranking_files(method: str) -> list[Path]:
    """Return the files of a method's rankings: one, or one a seed of what is trained, the lowest seed first.

    That of the fusion stands beside the folder of all others, which the fusion reads.
    """
    return seed_files(Path("data/fused.parquet" if method == FUSED else f"data/rankings/{method}.parquet"))


def rankings_table(
    protocol: str,
    queries: Sequence[str],
    gallery: Sequence[str],
    scores: np.ndarray,
    allowed: np.ndarray,
    depth: int,
) -> pd.DataFrame:
    """Return the best `depth` allowed candidates of each query, best first, queries in the order given.

    Args:
        protocol: Name of the protocol, repeated in each row.
        queries: Q crop ids.
        gallery: G crop ids, each different.
        scores: `(Q, G)`, higher is more alike; compared and kept as float32.
        allowed: `(Q, G)` bool; candidates that are not allowed have no row.
        depth: Most rows a query.

    Raises:
        ValueError: The shapes disagree or an allowed score is NaN.
    """
    queries, gallery = list(queries), list(gallery)
    scores = np.asarray(scores, np.float32)
    allowed = np.asarray(allowed, bool)
    if scores.shape != (len(queries), len(gallery)) or allowed.shape != scores.shape:
        raise ValueError(f"scores {scores.shape} and allowed {allowed.shape} must be ({len(queries)}, {len(gallery)}).")
    if np.isnan(scores[allowed]).any():
        raise ValueError("a score is NaN.")
    names, codes = np.array(gallery, object), name_codes(gallery)
    found: list[np.ndarray] = []
    values: list[np.ndarray] = []
    for own, row, permitted in zip(name_codes(queries), scores, allowed, strict=True):
        places = np.flatnonzero(permitted)
        if 0 < depth < len(places):  # all that tie with the last place stay, then the keys decide
            least = np.partition(row[places], len(places) - depth)[len(places) - depth]
            places = places[row[places] >= least]
        order = places[np.lexsort((pair_keys(own, codes[places]), -row[places]))][:depth]
        found.append(order)
        values.append(row[order])
    if not found:
        return empty_rankings()
    counts = [len(order) for order in found]
    return _typed(
        {
            "protocol": np.full(sum(counts), protocol, object),
            "query": np.repeat(np.array(queries, object), counts),
            "candidate": names[np.concatenate(found)],
            "rank": np.concatenate([np.arange(1, count + 1) for count in counts]),
            "score": np.concatenate(values),
        }
    )


def rank_pairs(pairs: pd.DataFrame, depth: int) -> pd.DataFrame:
    """Return the table of pairs that are scored one by one, best first, as `rankings_table` does for whole matrices.

    Args:
        pairs: `protocol`, `query`, `candidate`, `score`, each pair once. Protocols keep the order of their first rows.
        depth: Most rows a query.
    """
    by = pairs.assign(order=pd.factorize(pairs["protocol"])[0], fall=-pairs["score"], key=tie_keys(pairs))
    by = by.sort_values(["order", "query", "fall", "key"], ignore_index=True)
    by["rank"] = by.groupby(["order", "query"], sort=False).cumcount() + 1
    return _typed(by[by["rank"] <= depth].reset_index(drop=True))


def tie_keys(pairs: pd.DataFrame) -> np.ndarray:
    """Return the keys by which equal rows are ordered, the smallest first, `(P,)` uint64.

    Args:
        pairs: `query` and `candidate`, as text or categories.
    """
    asked, answering = (pairs[column].astype("category").cat for column in ("query", "candidate"))
    codes = [name_codes(side.categories)[side.codes] for side in (asked, answering)]
    return pair_keys(*codes)


def empty_rankings() -> pd.DataFrame:
    """Return a table without rows, with the columns and types of `rankings_table`."""
    return _typed({name: [] for name in RANKING_COLUMNS})


def join_rankings(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the tables of several protocols as one, of the right types also when none has a row."""
    filled = [table for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else empty_rankings()


def drop_opposite(rankings: pd.DataFrame, side: Mapping[str, str]) -> pd.DataFrame:
    """Return the rows whose two crops do not show opposite flanks: those carry different patterns.

    Args:
        rankings: A table with `query` and `candidate`.
        side: Orientation by crop id; all but `left` and `right` go with any.
    """
    asked, answering = (rankings[column].astype(str).map(side) for column in ("query", "candidate"))
    return rankings[(asked.map(OPPOSITE) != answering).to_numpy()]


def _typed(columns: dict | pd.DataFrame) -> pd.DataFrame:
    table = pd.DataFrame(columns, columns=RANKING_COLUMNS)
    return table.astype({"protocol": str, "query": str, "candidate": str, "rank": np.int32, "score": np.float32})
