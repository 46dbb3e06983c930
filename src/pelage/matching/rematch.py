"""Rematching: the first candidates of two other methods, compared again pair by pair by learned local features.

LightGlue is too slow for a whole gallery, so a global and a local method choose whom to compare: what one of them
overlooks the other often has. Pairs that neither lists have no score, which `fuse` takes as evidence of nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pelage.common.params import choose
from pelage.common.progress import track
from pelage.matching.fusion import PAIR, drop_opposite
from pelage.matching.learned_features import LearnedFeatures
from pelage.matching.lightglue import count_matches, magsac_inliers, match_pairs
from pelage.matching.local_ranking import EXPLAINED, matches_table, placed
from pelage.matching.rankings import join_rankings, rank_pairs

if TYPE_CHECKING:
    from kornia.feature import LightGlue

PAIRS_AT_ONCE = 2048
KEPT = 4 * EXPLAINED
"""Candidates of a query whose matches are kept until all protocols are ranked; these share most candidates."""


def shortlist(rankings: Sequence[pd.DataFrame], depths: Sequence[int], side: Mapping[str, str] | None) -> pd.DataFrame:
    """Join the first candidates of several methods.

    Args:
        rankings: Tables of `rankings_table`.
        depths: Candidates of each method for a query.
        side: Orientation by crop id, to leave out pairs of opposite flanks before the lists are cut; None leaves them.

    Returns:
        `protocol`, `query`, `candidate`, each pair once.
    """
    tables = []
    for table, depth in zip(rankings, depths, strict=True):
        table = table.sort_values(["protocol", "query", "rank"], kind="stable")
        table = table if side is None else drop_opposite(table, side)
        tables.append(table[table.groupby(["protocol", "query"], sort=False, observed=True).cumcount() < depth][PAIR])
    return pd.concat(tables).astype(str).drop_duplicates(ignore_index=True)


def rematch(
    pairs: pd.DataFrame,
    features: Mapping[str, LearnedFeatures],
    network: LightGlue,
    score: str,
    confidence: float,
    batch: int,
    adaptive: bool,
    half: bool,
    depth: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score pairs by LightGlue and rank them.

    A pair that several protocols ask for is matched once.

    Args:
        pairs: As `shortlist` returns it. Pairs with a crop that has no features are left out.
        features: By crop id.
        network: As `load_lightglue` returns it.
        score: matches (`count_matches`) | inliers (the same, of the matches that MAGSAC keeps).
        confidence: Above which a match counts.
        batch, adaptive, half: As in `match_pairs`.
        depth: Most rows a query.

    Returns:
        The table of `rankings_table`, and that of `matches_table` for the first candidates of each query.
    """
    choose(score, ("matches", "inliers"), "score of a rematcher")
    pairs = pairs[pairs["query"].isin(features) & pairs["candidate"].isin(features)]
    unique = pairs[["query", "candidate"]].drop_duplicates(ignore_index=True)
    scores: list[float] = []
    sure: dict[str, list[tuple[float, str, np.ndarray]]] = {}
    for start in track(range(0, len(unique), PAIRS_AT_ONCE), "match"):
        block = unique.iloc[start : start + PAIRS_AT_ONCE]
        sides = [[features[name] for name in block[column]] for column in ("query", "candidate")]
        for pair, query, candidate, found in zip(
            block.itertuples(), *sides, match_pairs(network, *sides, batch, adaptive, half), strict=True
        ):
            if score == "inliers":
                found = found.only(magsac_inliers(query, candidate, found))
            scores.append(count_matches(found, confidence))
            found = found.only(found.confidence > confidence)
            ends = placed(query, candidate, found.query, found.candidate, found.confidence)
            best = sorted([*sure.get(pair.query, ()), (-scores[-1], pair.candidate, ends)], key=lambda entry: entry[:2])
            sure[pair.query] = best[:KEPT]
    scored = pairs.merge(unique.assign(score=scores), on=["query", "candidate"])
    rankings = join_rankings([rank_pairs(scored, depth)])
    kept = {(query, candidate): ends for query, best in sure.items() for _, candidate, ends in best}
    first = rankings.loc[rankings["rank"] <= EXPLAINED, PAIR].itertuples(index=False, name=None)
    return rankings, matches_table([(*pair, kept[pair[1:]]) for pair in first if len(kept.get(pair[1:], ()))])
