"""Sightings: photos that are known to show one animal are asked together, and its two flanks speak for one another.

A flank of an animal carries a pattern of its own, so what a left photo says of an individual and what a right one says
are two pieces of evidence: their log-odds are added. Photos of one flank from one sighting are nearly one photo: the
best of them speaks. A photo of which nobody knows the side counts as one of the flank that the others show; where they
show both it is asked alone, since what it says has been said by one of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from scipy.special import logit

from pelage.matching.rankings import PAIR, join_rankings, looked_up, rank_pairs
from pelage.split.protocols import OPPOSITE, ProtocolSet

LEAST = 1e-9
"""Probabilities are told with nine digits; smaller ones, and those as near to 1, count as these."""

FLANK = ["sighting", "flank"]
RULED = ["image_id", "group", "orientation", "identity"]
"""Columns of the split by which a protocol bars answers."""

BLOCK = 2**20
"""Rows of a ranking that are taken at a time, more where a sighting has more."""


def ask_together(
    rankings: pd.DataFrame,
    sets: Mapping[str, ProtocolSet],
    sighting: Mapping[str, str],
    side: Mapping[str, str],
    identity: Mapping[str, str],
    calibrated: bool = True,
    rows: int = BLOCK,
) -> pd.DataFrame:
    """Rank for each query what all photos of its sighting say together.

    The candidates of a query are those of all photos of its sighting that ask in the same protocol. Their score is the
    highest log-odds that a photo of the query's flank gives the candidate, and for each other flank of the sighting by
    how much the best photo pair of the candidate's individual is ahead of the individual that this flank thinks least
    of. What a flank does not list it thinks least of.

    Args:
        rankings: Table of `rankings_table` with a `score` in each row.
        sets: The protocols that are wanted, by name.
        sighting: By crop id, what photos of one animal have in common.
        side: Orientation by crop id.
        identity: Individual by crop id; only candidates' counts.
        calibrated: Whether scores are probabilities; otherwise they are added up as they are.
        rows: Rows taken at a time.

    Returns:
        The table of `rankings_table`, scores in log-odds.
    """
    tables = []
    for protocol, rules in sets.items():
        own = rankings[(rankings["protocol"] == protocol).to_numpy()]
        queries = rules.queries[["crop_id"]]
        told = (looked_up(queries["crop_id"], told) for told in (sighting, side))
        queries = _placed(queries.assign(**dict(zip(FLANK, told, strict=True))))
        place = queries.set_index("crop_id")
        gallery = rules.gallery.assign(individual=pd.factorize(looked_up(rules.gallery["crop_id"], identity))[0])
        number = pd.Series(np.arange(len(gallery)), index=gallery["crop_id"])
        asked = pd.DataFrame({
            **{column: looked_up(own["query"], place[column]).astype(int) for column in FLANK},
            "candidate": looked_up(own["candidate"], number).astype(int),
            "odds": _odds(own["score"].to_numpy(float), calibrated),
        })  # fmt: skip
        asked["individual"] = gallery["individual"].to_numpy()[asked["candidate"]]
        for block in _whole_sightings(asked, rows):
            pairs = _joint(block).merge(queries, on=FLANK)
            pairs = pairs[_may_answer(pairs, rules)]
            names = pd.Categorical.from_codes(pairs["candidate"], gallery["crop_id"])
            pairs = pairs.assign(protocol=protocol, query=pairs["crop_id"], candidate=names)
            tables.append(rank_pairs(pairs[[*PAIR, "score"]], max(len(pairs), 1)))
    return join_rankings(tables)


def _placed(queries: pd.DataFrame) -> pd.DataFrame:
    """Return `crop_id` and, as numbers, the sighting and the flank of it that each query counts for."""
    known = queries["flank"].isin(OPPOSITE)
    flanks = queries[known].groupby("sighting")["flank"].agg(["nunique", "first"])
    shown = queries["sighting"].map(flanks["nunique"]).fillna(0)
    flank = queries["flank"].where(known, queries["sighting"].map(flanks["first"]).fillna(""))
    sighting = pd.factorize(queries["sighting"])[0]
    alone = (~known & (shown == len(OPPOSITE))).to_numpy()
    sighting = np.where(alone, len(queries) + np.arange(len(queries)), sighting)
    return queries.assign(sighting=pd.factorize(sighting)[0], flank=pd.factorize(flank)[0])


def _odds(score: np.ndarray, calibrated: bool) -> np.ndarray:
    return logit(score.clip(LEAST, 1 - LEAST)) if calibrated else score


def _whole_sightings(asked: pd.DataFrame, rows: int) -> Iterator[pd.DataFrame]:
    """Yield the rows in blocks that hold whole sightings."""
    if asked.empty:
        return
    ends = np.cumsum(np.bincount(asked["sighting"]))
    block = np.searchsorted(np.arange(rows, ends[-1], rows), ends, side="left")[asked["sighting"]]
    yield from (its for _, its in asked.groupby(block, sort=True))


def _joint(asked: pd.DataFrame) -> pd.DataFrame:
    """Return the score of each candidate for each flank of its sighting."""
    best = asked.groupby([*FLANK, "candidate", "individual"], sort=False)["odds"].max().reset_index()
    of_individual = best.groupby([*FLANK, "individual"], sort=False)["odds"].max().rename("best").reset_index()
    least = of_individual.groupby(FLANK, sort=False)["best"].min().rename("least").reset_index()
    ahead = of_individual.merge(least, on=FLANK)
    ahead["ahead"] = ahead["best"] - ahead["least"]
    total = ahead.groupby(["sighting", "individual"], sort=False)["ahead"].sum().rename("total").reset_index()

    listed = best[["sighting", "candidate", "individual"]].drop_duplicates()
    pairs = listed.merge(least, on="sighting").merge(total, on=["sighting", "individual"])
    pairs = pairs.merge(best, "left", on=[*FLANK, "candidate", "individual"])
    pairs = pairs.merge(ahead[[*FLANK, "individual", "ahead"]], "left", on=[*FLANK, "individual"])
    others = pairs["total"] - pairs["ahead"].fillna(0.0)
    return pairs.assign(score=pairs["odds"].fillna(pairs["least"]) + others)[[*FLANK, "candidate", "score"]]


def _may_answer(pairs: pd.DataFrame, rules: ProtocolSet) -> np.ndarray:
    """Tell which pairs the protocol allows, `(P,)` bool: what may answer one photo may be barred for another."""
    fits = np.ones(len(pairs), bool)
    several = pairs.groupby("sighting", sort=False)["crop_id"].transform("nunique").to_numpy() > 1
    query = pd.Index(rules.queries["crop_id"]).get_indexer(pairs.loc[several, "crop_id"])
    asked, answers = rules.queries[RULED].iloc[query], rules.gallery[RULED].iloc[pairs.loc[several, "candidate"]]
    fits[several] = rules.may_answer(asked, answers, paired=True)
    return fits
