"""Individuals ranked by several photos: numbers by hand, and what must hold for any ranking."""

import numpy as np
import pandas as pd
import pytest

from pelage.common.errors import PelageError
from pelage.matching.rankings import rankings_table
from pelage.matching.search.names import AGGREGATES, aggregate_names

IDENTITY = {"a1": "a", "b1": "b", "b2": "b", "b3": "b", "c1": "c"}


def ranked(scores: dict[str, float], query: str = "q") -> pd.DataFrame:
    values = np.array([list(scores.values())])
    return rankings_table("open", [query], list(scores), values, np.ones_like(values, bool), depth=9)


def listed(table: pd.DataFrame) -> list[tuple[str, float]]:
    return [(row.candidate, round(row.score, 4)) for row in table.itertuples()]


TABLE = ranked({"a1": 0.9, "b1": 0.8, "b2": 0.7, "c1": 0.6, "b3": 0.5})


def test_by_hand():
    assert aggregate_names(TABLE, IDENTITY, "max", 4).equals(TABLE)
    summed = [("b1", 1.5), ("a1", 0.9), ("b2", 0.7), ("c1", 0.6), ("b3", 0.5)]
    assert listed(aggregate_names(TABLE, IDENTITY, "nsum", 4)) == summed
    averaged = [("a1", 0.9), ("b1", 0.75), ("b2", 0.7), ("c1", 0.6), ("b3", 0.5)]
    assert listed(aggregate_names(TABLE, IDENTITY, "mean", 4)) == averaged


def test_no_photo_of_a_name_gets_above_its_mean():
    table = ranked({"b1": 0.9, "b2": 0.8, "a1": 0.7, "b3": 0.1})
    assert listed(aggregate_names(table, IDENTITY, "mean", 4)) == [("a1", 0.7), ("b1", 0.6), ("b2", 0.6), ("b3", 0.1)]


def test_negative_scores_take_nothing_away_from_a_sum():
    table = ranked({"b1": 0.3, "a1": 0.2, "b2": -0.5})
    assert listed(aggregate_names(table, IDENTITY, "nsum", 3))[0] == ("b1", 0.3)


@pytest.mark.parametrize("aggregate", AGGREGATES)
@pytest.mark.parametrize("seed", range(5))
def test_the_same_pairs_and_what_is_far_stays_behind(aggregate, seed):
    rng = np.random.default_rng(seed)
    gallery = [f"{place:02}" for place in range(40)]
    identity = {name: int(rng.integers(8)) for name in gallery}
    scores = rng.normal(size=(3, 40))
    table = rankings_table("open", list("pqr"), gallery, scores, rng.random((3, 40)) < 0.8, depth=30)
    again = aggregate_names(table, identity, aggregate, neighbours=6)
    assert again.dtypes.equals(table.dtypes)
    for query in "pqr":
        before, after = table[table["query"] == query], again[again["query"] == query]
        assert set(before["candidate"]) == set(after["candidate"])
        assert after["rank"].tolist() == list(range(1, len(after) + 1))
        assert (np.diff(after["score"]) <= 0).all()
        assert before["candidate"].tolist()[6:] == after["candidate"].tolist()[6:]


def test_unknown_ways_are_told_and_nothing_ranked_stays_nothing():
    with pytest.raises(PelageError, match="aggregate"):
        aggregate_names(TABLE, IDENTITY, "median", 4)
    assert not len(aggregate_names(TABLE.head(0), IDENTITY, "nsum", 4))
