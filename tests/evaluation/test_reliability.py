"""Reliability by hand, and the rate that a threshold promises."""

import numpy as np
import pandas as pd
import pytest

from pelage.evaluation.reliability import (
    expected_calibration_error,
    false_match_threshold,
    new_queries,
    reliability_table,
)
from pelage.split.protocols import ProtocolSet


def test_reliability_and_its_error_by_hand():
    probability = np.array([0.1, 0.1, 0.9, 1.0])
    table = reliability_table(probability, np.array([False, True, True, True]), np.array([1.0, 1, 1, 1]), bins=2)
    np.testing.assert_allclose(table, [[0.1, 0.5, 0.5, 2], [0.95, 1.0, 0.5, 2]])
    assert expected_calibration_error(table) == pytest.approx(0.5 * 0.4 + 0.5 * 0.05)


def test_weights_count():
    table = reliability_table(np.array([0.2, 0.2]), np.array([True, False]), np.array([1.0, 3.0]))
    assert table["observed"].tolist() == [0.25] and expected_calibration_error(table) == pytest.approx(0.05)


def validation(known: int, new: int) -> ProtocolSet:
    """A protocol of queries q0, q1, ..., the first ones of the gallery's animal."""
    crops = [f"q{i}" for i in range(known + new)]
    queries = pd.DataFrame({"crop_id": crops, "identity": ["a"] * known + [f"new {i}" for i in range(new)]})
    return ProtocolSet(queries, pd.DataFrame({"crop_id": ["g"], "identity": ["a"]}))


def wrong(scores) -> pd.DataFrame:
    """Each query's best wrong candidate, and a worse one."""
    return pd.DataFrame({"query": [f"q{i}" for i in range(len(scores))] * 2, "score": [*scores, *np.array(scores) / 2]})


@pytest.mark.parametrize(("rate", "accepted"), [(0, 0), (0.05, 0), (0.1, 1), (0.25, 2), (1, 10)])
def test_at_most_the_chosen_share_of_new_animals_is_accepted(rate, accepted):
    best = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05])
    assert (best >= false_match_threshold(wrong(best), validation(0, 10), rate)).sum() == accepted


def test_ties_are_not_accepted_beyond_the_rate():
    best = np.array([0.9, 0.8, 0.8, 0.8, 0.1])
    assert (best >= false_match_threshold(wrong(best), validation(0, 5), 0.5)).sum() == 1


def test_new_animals_decide_where_there_are_enough_of_them():
    best = [0.1, 0.2, 0.3, 0.4, 0.9, 0.8]
    assert false_match_threshold(wrong(best), validation(4, 2), 0.5) == np.nextafter(0.8, 1)
    assert false_match_threshold(wrong(best), validation(4, 2), 0.4) == np.nextafter(0.4, 1)
    assert new_queries(validation(4, 2))["crop_id"].tolist() == ["q4", "q5"]
