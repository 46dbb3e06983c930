"""Placement: where on the two crops the matches of a pair lie, and how sure they are.

The coat of an animal is one compact place in the middle of both crops. A log that both crops show, or a neighbour of
the herd at the edge of one, is not, and what chance makes similar is scattered over all. Many matches that are barely
believed say less than as many that are sure. How much each of this says of each method's matches is learnt in the
fusion (rule `placed`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pelage.common.tables import read_parquet
from pelage.matching.rankings import PAIR

FEATURES = ["scatter_x", "scatter_y", "aside", "shift", "central", "sure"]
"""Of a pair's matches, in shares of a crop's width and height: how far they are scattered across and down (standard
deviation, of both crops the smaller one); as squares, since what is a little off says nothing, how far their middle is
from that of the crop, across (of both the greater one), and how far from that on the other crop. And two counts, each
as the logarithm of one more: how many there are in the middle of both crops (of two animals on a crop, each counts for
where it stands), and, of a matcher that says how likely each match is, how many if each counts by the power `SURE` of
that."""

COUNTS = ("central", "sure")
"""Those of `FEATURES` of which a pair with fewer than `LEAST` matches has none, where the others are unknown."""

WIDTH = 0.25
"""How far from the middle of the crop, across, a match counts `exp(-1/2)` there. On nyalas .2 and .3 tell as much."""

SURE = 8
"""A match that is right by .9 counts .43, one by .5 next to nothing. On nyalas thresholds from .8 to .95, and the power
16, tell as much."""

LEAST = 3
"""Matches from which on their scatter says something."""


def lie(matches: np.ndarray, likely: bool = False) -> np.ndarray | None:
    """Return `FEATURES` of a pair, `(6,)`; but in `central`, a match counts by its score. None of fewer than `LEAST`.

    Args:
        matches: `(M, 5)`, as `placed` returns them.
        likely: Scores are the probabilities of matches; otherwise `sure` is NaN.
    """
    if len(matches) < LEAST:
        return None
    weight = np.maximum(matches[:, 4].astype(float), 1e-9)
    sure = np.log1p((weight**SURE).sum()) if likely else np.nan
    weight /= weight.sum()
    middle = weight @ matches[:, :4]
    scatter = np.sqrt(weight @ (matches[:, :4] - middle) ** 2)
    aside = max((middle[0] - 0.5) ** 2, (middle[2] - 0.5) ** 2)
    shift = (middle[0] - middle[2]) ** 2 + (middle[1] - middle[3]) ** 2
    away = (matches[:, [0, 2]].astype(float) - 0.5) ** 2
    central = np.log1p(np.exp(-away.sum(axis=1) / (2 * WIDTH**2)).sum())
    return np.array([min(scatter[0], scatter[2]), min(scatter[1], scatter[3]), aside, shift, central, sure])


def placement_table(found: Iterable[tuple[str, str, str, np.ndarray | None]]) -> pd.DataFrame:
    """Return `PAIR` and `FEATURES` (float32), a row a pair.

    Args:
        found: Protocol, query, candidate, and what `lie` returns of their matches; nothing is told of None.
    """
    told = [pair for pair in found if pair[3] is not None]
    values = np.array([pair[3] for pair in told], np.float32).reshape(-1, len(FEATURES))
    names = {column: pd.Categorical([pair[place] for pair in told]) for place, column in enumerate(PAIR)}
    return pd.DataFrame(names).join(pd.DataFrame(values, columns=FEATURES))


def read_placements(methods: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Return the tables of those of some methods that tell where their matches lie."""
    paths = {method: Path(f"data/placements/{method}.parquet") for method in methods}
    return {method: read_parquet(path, categories=PAIR) for method, path in paths.items() if path.exists()}


def placed_beside(pairs: pd.DataFrame, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return pairs with a column `METHOD:FEATURE` for each method and feature, NaN where a method tells nothing.

    Args:
        pairs: `PAIR`, of categories.
        tables: By method, as `placement_table` returns them.
    """
    for method, table in tables.items():
        own, known = np.zeros(len(pairs), np.int64), np.ones(len(table), bool)
        told = np.zeros(len(table), np.int64)
        for column in PAIR:
            names = pairs[column].cat.categories
            codes = names.get_indexer(table[column].cat.categories)[table[column].cat.codes]
            own = own * max(len(names), 1) + pairs[column].cat.codes.to_numpy(np.int64)
            told, known = told * max(len(names), 1) + codes, known & (codes >= 0)
        at = pd.Index(told[known]).get_indexer(own)
        values = np.vstack([table.loc[known, FEATURES].to_numpy(float), np.full((1, len(FEATURES)), np.nan)])[at]
        pairs = pairs.assign(**{f"{method}:{name}": values[:, place] for place, name in enumerate(FEATURES)})
    return pairs
