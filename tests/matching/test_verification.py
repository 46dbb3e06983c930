"""Spatial verification: hand-made cases and a planted placement among outliers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pelage.matching.local.features import LocalFeatures
from pelage.matching.local.verification import inliers

SQUARE = np.array([[20, 20], [60, 20], [20, 50], [60, 50]], float)


def features(xy, scale=4.0, angle=0.0) -> LocalFeatures:
    """Keypoints in a crop of 80 x 60 pixels, whose diagonal is 100."""
    n = len(xy)
    return LocalFeatures(
        xy=np.asarray(xy, np.float32).reshape(n, 2),
        scale=np.broadcast_to(np.float32(scale), n),
        angle=np.broadcast_to(np.float32(angle), n),
        weight=np.ones(n, np.float32),
        descriptors=np.zeros((n, 128), np.uint8),
        size=(80, 60),
    )


def agreeing(query, candidate, score=None, **limits) -> list[bool]:
    pairs = np.arange(len(query))
    score = np.ones(len(query)) if score is None else np.asarray(score, float)
    return inliers(query, candidate, pairs, pairs, score, **limits).tolist()


def test_the_same_crop_agrees_in_all_matches():
    assert agreeing(features(SQUARE), features(SQUARE)) == [True] * 4


def test_a_point_may_be_off_by_less_than_a_tenth_of_the_diagonal():
    for shift, good in [(9.9, True), (10.1, False)]:
        moved = SQUARE.copy()
        moved[3, 0] -= shift
        assert agreeing(features(SQUARE), features(moved)) == [True, True, True, good]


def test_areas_may_differ_by_less_than_a_factor_of_two():
    for size, good in [(1.41, True), (1.42, False), (1 / 1.41, True), (1 / 1.42, False)]:
        candidate = features(SQUARE, 4 * np.array([1, 1, 1, size]))
        assert agreeing(features(SQUARE), candidate) == [True, True, True, good]


def test_directions_may_differ_by_less_than_a_right_angle():
    for degrees, good in [(89, True), (91, False), (271, True), (-89, True)]:
        candidate = features(SQUARE, angle=np.radians([0, 0, 0, degrees]))
        assert agreeing(features(SQUARE), candidate) == [True, True, True, good]


def test_of_two_placements_the_one_with_the_higher_score_is_taken_and_of_equal_ones_the_first():
    moved = SQUARE + np.array([[0, 0], [0, 0], [30, 0], [30, 0]])
    assert agreeing(features(SQUARE), features(moved), [1, 1, 1, 1.5]) == [False, False, True, True]
    assert agreeing(features(SQUARE), features(moved), [1, 1, 1, 1]) == [True, True, False, False]


def test_no_match_and_one_match():
    assert agreeing(features(SQUARE[:0]), features(SQUARE[:0])) == []
    assert agreeing(features(SQUARE[:1]), features(SQUARE[2:3])) == [True]


@settings(deadline=None, max_examples=40)
@given(
    scale=st.floats(0.4, 2.5),
    degrees=st.floats(-180, 180),
    shift=st.tuples(st.floats(-50, 50), st.floats(-50, 50)),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_planted_similarity_is_found_among_as_many_outliers(scale, degrees, shift, seed):
    rng = np.random.default_rng(seed)
    xy = rng.uniform([0, 0], [80, 60], (30, 2))
    turn = np.radians(degrees)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    end = scale * xy @ rotation.T + shift
    planted = np.arange(30) < 15
    end[~planted] += 200 + 200 * np.arange(15)[:, None]  # each outlier far from where any placement puts it
    size = rng.uniform(2, 8, 30)
    query, candidate = features(xy, size), features(end, size * scale, turn)
    order = rng.permutation(30)
    found = inliers(query, candidate, order, order, np.ones(30))
    assert found.tolist() == planted[order].tolist()


def test_limits_can_be_set():
    moved = SQUARE.copy()
    moved[3, 0] -= 15
    assert agreeing(features(SQUARE), features(moved), distance=0.2) == [True] * 4
    assert agreeing(features(SQUARE), features(SQUARE, [4, 4, 4, 8]), area=5) == [True] * 4


def test_the_result_does_not_depend_on_memory_layout():
    query, candidate = features(SQUARE), features(SQUARE + 1)
    pairs = np.arange(8)[::2] // 2
    assert inliers(query, candidate, pairs, pairs, np.ones(4)).all()


@pytest.mark.parametrize("name", ["xy", "scale", "angle"])
def test_a_proposal_uses_position_size_and_direction_of_its_match(name):
    """One match alone places everything: changing what it says moves the other matches out."""
    query = features(SQUARE)
    candidate = {
        "xy": features(SQUARE + np.array([[40, 0], [0, 0], [0, 0], [0, 0]])),
        "scale": features(SQUARE, [16, 4, 4, 4]),
        "angle": features(SQUARE, angle=[np.pi, 0, 0, 0]),
    }[name]
    assert agreeing(query, candidate, [10, 1, 1, 1]) == [True, False, False, False]
