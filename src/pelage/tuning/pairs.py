"""Pairs of crops to learn from: verified ones of the same animal, and the most alike of different animals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pelage.common.errors import PelageError
from pelage.common.parallel import parallel_map
from pelage.common.seeds import generator
from pelage.matching.learned.features import LearnedFeatures
from pelage.matching.learned.lightglue import PairMatches, count_matches
from pelage.split.protocols import allowed
from pelage.tuning.correspondences import Correspondences, of_different_animals, of_same_animal

Matcher = Callable[[pd.DataFrame], Iterator[PairMatches]]
"""Matches the pairs of a table with `query` and `candidate`."""


@dataclass(frozen=True)
class LearntPair:
    """Two crops, and what is known of their keypoints.

    Attributes:
        query, candidate: Features; all of them, or the strongest, see `vary`.
        truth: What is known.
        same: Whether they show the same animal.
    """

    query: LearnedFeatures
    candidate: LearnedFeatures
    truth: Correspondences
    same: bool


def learnt_pairs(
    rows: pd.DataFrame,
    features: Mapping[str, LearnedFeatures],
    matcher: Matcher,
    settings: Mapping[str, Any],
    confidence: float,
) -> list[LearntPair]:
    """Choose pairs of training crops.

    Pairs of the same animal are drawn evenly from all individuals: a second one of an individual only when each has
    given one. They are of different encounters and not of opposite flanks. Those whose geometry cannot be verified
    teach nothing. With each that is left comes a pair of different animals, the one with most matches of
    `lookalikes` that are drawn for its query.

    Args:
        rows: Of the split table, all of which may be learnt from.
        features: By crop id; crops without take no part.
        matcher: The network as it is before. It may see fewer keypoints of each crop, the strongest ones.
        settings: `pairs`, `lookalikes`, `keypoints`, `vary` and `seed` as in `TUNING` of
            `pelage.matching.learned.rematchers`.
        confidence: Above which a match counts.

    Raises:
        PelageError: No two photos of one animal can be verified.
    """
    rows = rows[rows["crop_id"].isin(features)].sort_values("crop_id", ignore_index=True)
    rng = generator(settings["seed"], "tuning pairs")
    drawn = _pairs_of_same(rows)
    drawn = drawn.iloc[rng.permutation(len(drawn))]
    drawn = (
        drawn.assign(turn=drawn.groupby("identity").cumcount())
        .sort_values("turn", kind="stable")
        .head(settings["pairs"])
    )

    if not settings["vary"]:
        features = {name: found.only(slice(settings["keypoints"])) for name, found in features.items()}
    chosen: list[LearntPair] = []
    asked: list[str] = []

    def verified(item: tuple[Any, PairMatches]) -> LearntPair | None:
        pair, found = item
        sides = features[pair.query], features[pair.candidate]
        truth = of_same_animal(*sides, found)
        return None if truth is None else LearntPair(*sides, truth, True)

    told = parallel_map(verified, zip(drawn.itertuples(), matcher(drawn), strict=True))
    for query, pair in zip(drawn["query"], told, strict=True):
        if pair is not None:
            chosen.append(pair)
            asked.append(query)
    if not chosen:
        raise PelageError(
            f"Of {len(drawn)} pairs of one animal, of different encounters and the same flank, no geometry can be "
            "verified, so there is nothing to learn from: set tuning.epochs of the rematcher in params.yaml to 0."
        )
    table = _pairs_of_different(asked, rows, settings["lookalikes"], rng)
    table["score"] = [count_matches(found, confidence) for found in matcher(table)]
    alike = table.sort_values(["place", "score", "candidate"], ascending=[True, False, True]).groupby("place").head(1)
    for pair in alike.itertuples():
        sides = features[pair.query], features[pair.candidate]
        chosen.append(LearntPair(*sides, of_different_animals(*sides), False))
    return chosen


def _pairs_of_same(rows: pd.DataFrame) -> pd.DataFrame:
    """Return all pairs of one animal that may be compared: `query`, `candidate`, `identity`."""
    tables = []
    for identity, group in rows.groupby("identity", sort=True):
        one, two = np.nonzero(np.triu(allowed(group, group, same_side=True)))
        names = group["crop_id"].to_numpy(object)
        tables.append(pd.DataFrame({"query": names[one], "candidate": names[two], "identity": identity}))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["query", "candidate", "identity"])


def _pairs_of_different(
    asked: Sequence[str], rows: pd.DataFrame, lookalikes: int, rng: np.random.Generator
) -> pd.DataFrame:
    """Return up to `lookalikes` crops of other animals for each query: its `place` in `asked`, `query`, `candidate`."""
    by_name = rows.set_index("crop_id", drop=False)
    pairs = []
    for place, name in enumerate(asked):
        query = by_name.loc[[name]]
        drawn = rows.iloc[rng.permutation(len(rows))[: 8 * lookalikes]]
        drawn = drawn[allowed(query, drawn, same_side=True)[0] & (drawn["identity"] != query["identity"].iloc[0])]
        pairs += [(place, name, other) for other in drawn["crop_id"].head(lookalikes)]
    return pd.DataFrame(pairs, columns=["place", "query", "candidate"])
