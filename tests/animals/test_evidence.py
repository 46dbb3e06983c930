"""Evidence from photo pairs made by hand, and learnt from surveys whose law is known."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit
from survey import draw, seen_of

from pelage.animals.evidence import (
    LEAST_INDIVIDUALS,
    START,
    Evidence,
    count_comparable,
    learn,
    possible_pairs,
    shown_sides,
    side_pairs,
)
from pelage.animals.links import count_asked, nodes_of
from pelage.animals.units import GALLERY, PRACTICE, units_of
from pelage.evaluation.reliability import expected_calibration_error, proper_scores, reliability_table

CROPS = pd.DataFrame(
    [("a1", "a", "left"), ("a2", "a", "right"), ("b1", "b", "left"), ("b2", "b", "unknown"), ("c1", "c", "right")],
    columns=["crop_id", "node", "side"],
)


def pairs_of(*rows):
    return pd.DataFrame(rows, columns=["query", "candidate", "score"])


def test_photo_pairs_are_gathered_by_node():
    found = side_pairs(pairs_of(("a1", "b1", 0.9), ("a1", "b2", 0.5), ("b2", "c1", 0.2)), CROPS)
    assert found[["first", "second", "pairs", "possible"]].values.tolist() == [["a", "b", 2, 3], ["b", "c", 1, 1]]
    assert found["best"].tolist() == pytest.approx([logit(0.9), logit(0.2)])
    assert found["top"].tolist() == pytest.approx([logit(0.9) / 2, logit(0.2)])
    assert found[["query", "candidate"]].values.tolist() == [["a1", "b1"], ["b2", "c1"]]


def test_opposite_flanks_and_photos_of_one_node_say_nothing():
    assert side_pairs(pairs_of(("a1", "c1", 0.99), ("a1", "a2", 0.99)), CROPS).empty


def test_what_was_asked_both_ways_counts_once():
    found = side_pairs(pairs_of(("a1", "b1", 0.9), ("b1", "a1", 0.5)), CROPS)
    assert found[["pairs"]].values.tolist() == [[1]]
    assert found["best"].tolist() == pytest.approx([logit(0.9) / 2])


def test_photos_that_are_not_of_these_units_are_left_out():
    assert side_pairs(pairs_of(("a1", "z9", 0.9)), CROPS).empty
    assert side_pairs(pairs_of(), CROPS).empty


def test_the_order_of_rows_does_not_matter():
    rows = [("a1", "b1", 0.9), ("a1", "b2", 0.9), ("b2", "c1", 0.2), ("a2", "b2", 0.9), ("a2", "c1", 0.3)]
    one = side_pairs(pairs_of(*rows), CROPS)
    other = side_pairs(pairs_of(*rows[::-1]), CROPS.iloc[::-1])
    pd.testing.assert_frame_equal(one, other)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=12))
def test_comparable_pairs_are_those_that_one_counts(crops):
    node, side = np.array(crops).T
    node = np.unique(node, return_inverse=True)[1]
    shown = shown_sides(node, side, node.max() + 1)
    able = [
        any(
            node[a] == i and node[b] == j and {side[a], side[b]} != {1, 2}
            for a in range(len(side))
            for b in range(len(side))
        )
        for i in range(len(shown))
        for j in range(i)
    ]
    assert count_comparable(shown) == sum(able)
    assert count_comparable(shown[:1], shown[1:]) == sum(possible_pairs(shown, 0, j) > 0 for j in range(1, len(shown)))


def practised(seed, **more):
    tables, split, pairs, _ = draw(seed, **more)
    units = units_of(seen_of(tables, split), GALLERY, PRACTICE)
    nodes = nodes_of(units)
    found = side_pairs(pairs[pairs["protocol"] == PRACTICE], nodes.crops)
    unlisted = sum(count_asked(nodes)) - len(found)
    same = (found["first"].map(nodes.identity) == found["second"].map(nodes.identity)).to_numpy()
    return learn(found, nodes.identity, nodes.asked, unlisted), found, same


def test_learnt_probabilities_mean_what_they_say_on_another_survey():
    evidence, _, _ = practised(1, known=24, practised=24)
    _, found, same = practised(2, known=24, practised=24)
    probability = expit(evidence.log_odds(found))
    scores = proper_scores(probability, same, np.ones(len(same)))
    assert scores["brier_skill"] > 0.8
    assert expected_calibration_error(reliability_table(probability, same, np.ones(len(same)))) < 0.01


def test_few_individuals_can_vouch_for_little():
    few, many = (practised(3, known=24, practised=count, missed=0)[0] for count in (6, 24))
    assert few.learnt and few.individuals == 6
    assert many.least < few.least < 0 < few.most < many.most
    sure = pd.DataFrame({"top": [50.0, -50.0], "best": [50.0, -50.0], "possible": [1, 1]})
    assert few.log_odds(sure).tolist() == [few.most, few.least]  # whatever a pair looks like


def test_with_hardly_any_individuals_the_best_pairs_are_believed():
    evidence, _, _ = practised(4, practised=LEAST_INDIVIDUALS - 1, missed=0)
    assert not evidence.learnt
    assert evidence.weights.tolist() == START.tolist()
    assert evidence.intercept == 0.0


def test_a_score_that_says_nothing_is_found_out():
    evidence, found, _ = practised(5, known=16, practised=16, alike=0.0)
    assert expit(evidence.log_odds(found)).max() < 0.2


def test_the_share_of_pairs_of_one_animal_is_found_in_what_looks_alike():
    evidence = Evidence(START, 0.0, alike=0.1, least=-5.0, most=5.0, missed=0.1, individuals=9, learnt=True)
    odds = np.r_[np.full(9, 3.0), np.full(81, -3.0)]
    assert evidence.shift(odds, 0) == pytest.approx(0.0)  # as in practice
    assert evidence.shift(odds, 910) == pytest.approx(np.log(0.1), abs=0.02)  # ten times as many that look unlike
    assert evidence.shift(np.full(1000, -3.0), 0) < -4  # everybody is new
    assert evidence.shift(np.full(100, 3.0), 0) > 2  # everything is one animal
    assert evidence.shift(np.zeros(0), 0) == pytest.approx(0.0)  # nothing is known


def test_what_resembles_nothing_is_new_only_as_far_as_little_is_missed():
    evidence = Evidence(START, 0.0, alike=0.1, least=-5.0, most=5.0, missed=0.2, individuals=9, learnt=True)
    assert evidence.alone_share(20, 100) < 0.1  # so many are missed anyway
    assert evidence.alone_share(60, 100) == pytest.approx((0.6 - 0.2) / 0.8 / 0.6, abs=0.01)
    assert evidence.alone_share(100, 100) > 0.98  # everybody is new
