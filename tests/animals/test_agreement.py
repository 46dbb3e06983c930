"""Agreement on paper, and against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from pelage.animals.agreement import adjusted_rand, agree, pairs_within


def of(truth: str, found: str, side: str):
    sides = {"l": "left", "r": "right", "u": "unknown", "b": "both"}
    return agree(np.array([*truth]), np.array([*found]), np.array([sides[one] for one in side]))


def test_what_is_right_has_no_errors():
    told = of("aabbb", "xxyyy", "lrlll")
    assert (told.precision, told.recall, told.ari) == (1.0, 1.0, 1.0)
    assert (told.ghosts, told.merges, told.flanks_apart, told.found, told.true) == (0, 0, 0, 2, 2)


def test_pairs_are_counted_by_hand():
    # animal a: units 0 1 2, animal b: units 3 4; clusters {0, 1}, {2, 3}, {4}; all left
    told = of("aaabb", "xxyyz", "lllll")
    assert told.precision == 1 / 2  # of 01 and 23 the first is right
    assert told.recall == 1 / 4  # of 01 02 12 34 the first is found
    assert (told.ghosts, told.merges, told.found) == (2, 1, 3)


def test_flanks_that_nothing_joins_are_no_ghosts():
    told = of("aaaa", "xxyy", "llrr")
    assert (told.precision, told.recall) == (1.0, 1.0)  # a left and a right one are no pair to be found
    assert (told.ghosts, told.flanks_apart, told.found, told.true) == (0, 1, 1, 1)


def test_a_flank_in_two_clusters_is_a_ghost_and_so_is_what_shows_none():
    assert of("aaa", "xyx", "llr").ghosts == 1
    assert of("aaa", "xyz", "lru").ghosts == 1
    assert of("aab", "xyz", "lll").merges == 0


def test_a_name_stands_for_both_flanks():
    told = of("aaa", "xyx", "blr")  # the name, a left unit that was not recognised, a right one that was
    assert told.ghosts == 1
    assert of("aaa", "xxx", "blr").ghosts == 0


def test_names_that_nobody_met_are_not_counted():
    told = agree(np.array([*"abb"]), np.array([*"xyy"]), np.array(["both", "both", "left"]), np.array([0, 0, 1], bool))
    assert (told.found, told.true) == (1, 1)


def test_without_units_nothing_is_told():
    told = of("", "", "")
    assert (told.precision, told.recall, told.ari, told.ghosts, told.found) == (None, None, None, 0, 0)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=30))
def test_rand_index_is_that_of_scikit_learn(pairs):
    first, second = np.array(pairs).T
    assert adjusted_rand(first, second) == pytest.approx(adjusted_rand_score(first, second))


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["left", "right", "unknown"])), max_size=20))
def test_pairs_within_are_those_that_one_counts_one_by_one(units):
    codes, side = np.array([code for code, _ in units], int), np.array([side for _, side in units])
    count = sum(
        codes[i] == codes[j] and {side[i], side[j]} != {"left", "right"} for i in range(len(units)) for j in range(i)
    )
    assert pairs_within(codes, side) == count
