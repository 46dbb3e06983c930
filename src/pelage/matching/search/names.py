"""Names: an individual's photos speak together, in the ranking of a network.

A query is answered with an individual, not with a photo. How HotSpotter adds up its photos is `hotspotter`'s own; how
fused probabilities are added up, `fusion`'s.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from pelage.common.params import choose
from pelage.matching.rankings import join_rankings, looked_up, rank_pairs

AGGREGATES = ("max", "mean", "nsum")


def aggregate_names(
    rankings: pd.DataFrame, identity: Mapping[str, str], aggregate: str, neighbours: int
) -> pd.DataFrame:
    """Rank individuals by several of their photos.

    The best photo of each individual is given the score of the individual; the others keep their own, but get no higher
    one. What is not among the first candidates keeps its place behind them.

    Args:
        rankings: The table of `rankings_table`.
        identity: Individual by crop id, of the candidates.
        aggregate: `max`: its best photo alone (the table as it is); `mean`: the mean score of those of its photos that
            are among the first candidates; `nsum`: the sum of the positive ones of these scores.
        neighbours: First candidates of a query whose scores count.

    Returns:
        A table of the same form with the same pairs.
    """
    if choose(aggregate, AGGREGATES, "search.aggregate") == "max" or not len(rankings):
        return rankings
    unscored = rankings["score"].isna().to_numpy()
    unscored, rankings = rankings[unscored], rankings[~unscored].reset_index(drop=True)
    near = rankings[rankings["rank"] <= neighbours]
    near = near.assign(identity=looked_up(near["candidate"], identity), score=near["score"].astype(float))
    if aggregate == "nsum":
        near["score"] = near["score"].clip(lower=0)
    groups = near.groupby(["protocol", "query", "identity"], sort=False)["score"]
    total = groups.transform("mean" if aggregate == "mean" else "sum")
    first = groups.cumcount() == 0  # rows are in the order of ranks
    score = rankings["score"].astype(float)
    score.loc[near.index] = total.where(first, score[near.index].clip(upper=total))
    depth = int(rankings["rank"].max())
    return join_rankings([rank_pairs(rankings.assign(score=score.round(6)), depth), unscored])
