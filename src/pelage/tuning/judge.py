"""What a network is worth: the first candidates of validation queries, compared as a rematch would."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from pelage.matching.learned.features import LearnedFeatures
from pelage.matching.learned.lightglue import Effort, count_matches, match_pairs
from pelage.matching.rankings import tie_keys

if TYPE_CHECKING:
    from kornia.feature import LightGlue


def judge(
    network: LightGlue,
    pairs: pd.DataFrame,
    features: Mapping[str, LearnedFeatures],
    identity: Mapping[str, str],
    effort: Effort,
    confidence: float,
) -> dict[str, float]:
    """Rank the candidates of each query by matches.

    Args:
        network: As `load_lightglue` returns it.
        pairs: `query` and `candidate`.
        features: By crop id; pairs with a crop that has none are left out.
        identity: By crop id.
        effort: As in `match_pairs`.
        confidence: Above which a match counts.

    Returns:
        `top1`, the share of queries whose first candidate is right, and `mrr`, the mean of one over the rank of the
        first that is right (0 where none is), to 4 decimals; empty if there are no queries.
    """
    queries = pairs["query"].nunique()
    if not queries:
        return {}
    pairs = pairs[pairs["query"].isin(features) & pairs["candidate"].isin(features)]
    sides = [[features[name] for name in pairs[column]] for column in ("query", "candidate")]
    scores = [count_matches(found, confidence) for found in match_pairs(network, *sides, effort)]
    ranked = pairs.assign(fall=[-score for score in scores], key=tie_keys(pairs)).sort_values(["query", "fall", "key"])
    rank = ranked.groupby("query").cumcount() + 1
    right = rank[(ranked["query"].map(identity) == ranked["candidate"].map(identity)).to_numpy()]
    best = right.groupby(ranked["query"]).min()
    return {"top1": round(float((best == 1).sum() / queries), 4), "mrr": round(float((1 / best).sum() / queries), 4)}
