"""HotSpotter's verification: the literal specification, planted placements, and each limit by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from literal_verification import literal_verify

from pelage.matching.local.affine_verification import Rules, fit_homography, verify
from pelage.matching.local.hessian_affine import AffineFeatures

GRID = np.array([[x, y] for y in (10, 30, 50) for x in (10, 40, 70)], float)


def features(xy, shape=(4.0, 0.0, 4.0)) -> AffineFeatures:
    """Regions in a chip of 80 x 60 pixels, whose diagonal is 100."""
    n = len(xy)
    shapes = np.broadcast_to(np.asarray(shape, np.float32), (n, 3))
    return AffineFeatures(
        np.asarray(xy, np.float32), shapes, np.ones(n, np.float32), np.zeros((n, 128), np.uint8), (80, 60)
    )


def agreeing(query, candidate, vote=None, **rules) -> list[bool]:
    pairs = np.arange(len(query))
    return verify(
        query, candidate, pairs, pairs, np.ones(len(query)) if vote is None else vote, Rules(**rules)
    ).tolist()


def scene(seed, matches, planted):
    """Random regions, of which a share is moved by one affine map that keeps what is upright, and jittered."""
    rng = np.random.default_rng(seed)
    xy = rng.uniform([0, 0], [80, 60], (matches, 2))
    shape = np.c_[rng.uniform(2, 8, matches), rng.normal(0, 2, matches), rng.uniform(2, 8, matches)]
    move = np.array([[rng.uniform(0.6, 1.6), 0], [rng.normal(0, 0.2), rng.uniform(0.6, 1.6)]])
    end, to = rng.uniform([0, 0], [80, 60], (matches, 2)), shape[rng.permutation(matches)]
    same = rng.random(matches) < planted
    end[same] = xy[same] @ move.T + rng.normal(0, 2, (same.sum(), 2))
    a, c, d = shape[same].T
    to[same] = np.c_[move[0, 0] * a, move[1, 0] * a + move[1, 1] * c, move[1, 1] * d] * rng.uniform(0.9, 1.1)
    first = np.sort(rng.integers(0, matches, matches))
    return features(xy, shape), features(end, to), first, first.copy(), rng.random(matches).astype(np.float32)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.sampled_from([0.0, 0.3, 0.7, 1.0]))
def test_it_is_the_literal_specification(seed, matches, planted):
    query, candidate, first, second, vote = scene(seed, matches, planted)
    second = np.where(np.arange(matches) % 7 == 3, second[::-1], second)  # some wrong partners
    expected = literal_verify(query, candidate, first, second, vote[first])
    assert verify(query, candidate, first, second, vote[first], Rules()).tolist() == expected.tolist()


def test_the_literal_specification_accepts_and_rejects():
    told = [literal_verify(*scene(seed, 30, 0.7)) for seed in range(5)]
    assert all(7 <= some.sum() < 30 for some in told)
    assert not literal_verify(*scene(1, 30, 0.0)).any()


def test_blocks_of_proposals_change_nothing(monkeypatch):
    inputs = scene(3, 60, 0.6)
    whole = verify(*inputs, Rules())
    monkeypatch.setattr("pelage.matching.local.affine_verification.BLOCK", 150)
    assert whole.any() and (verify(*inputs, Rules()) == whole).all()


def test_six_that_agree_are_dropped_and_seven_kept():
    assert agreeing(features(GRID[:6]), features(GRID[:6])) == [False] * 6
    assert agreeing(features(GRID[:7]), features(GRID[:7])) == [True] * 7


def test_a_planted_placement_stands_out_of_outliers():
    query, candidate = features(np.r_[GRID, GRID]), features(np.r_[GRID + 5, GRID[::-1] * 3 + 300])
    assert agreeing(query, candidate) == [True] * 9 + [False] * 9


def test_areas_may_differ_by_less_than_two_so_lengths_by_its_root():
    for factor, good in [(1.41, True), (1.42, False), (1 / 1.41, True), (1 / 1.42, False)]:
        shapes = np.full((9, 3), [4.0, 0.0, 4.0])
        shapes[4] *= factor
        assert agreeing(features(GRID), features(GRID, shapes))[4] is good
    shapes[4] = [8.0, 0.0, 2.0]  # another shape of the same area
    assert agreeing(features(GRID), features(GRID, shapes)) == [True] * 9


def test_points_may_be_off_by_less_than_a_tenth_of_the_diagonal():
    for off, good in [(9.5, True), (11.5, False)]:  # the homography follows an inlier a little
        moved = GRID.copy()
        moved[4, 1] += off
        found = agreeing(features(GRID), features(moved))
        assert found[4] is good and sum(found) >= 8


def test_the_homography_turns_away_what_only_an_affine_would_take():
    """A region the wrong way up agrees in place, but not in direction."""
    homography = np.diag([1.0, -1.0, 1.0]) + np.array([[0, 0, 0], [0, 0, 60.0], [0, 0, 0]])
    turned = np.c_[GRID, np.ones(9)] @ homography.T
    loose = {"distance": 10.0}
    assert agreeing(features(GRID), features(turned[:, :2]), **loose) == [False] * 9
    assert agreeing(features(GRID), features(turned[:, :2]), **loose, refined_shape=False) == [True] * 9


def test_votes_weigh_and_unique_counts_each_query_keypoint_once():
    apart = np.r_[GRID[:7], GRID[:7]]
    query, candidate = features(apart), features(np.r_[GRID[:7], GRID[:7] + 40])
    assert agreeing(query, candidate, np.r_[np.ones(7), np.full(7, 1.1)]) == [False] * 7 + [True] * 7
    assert agreeing(query, candidate) == [True] * 7 + [False] * 7, "of equal ones the first"
    first = np.r_[np.zeros(7, int), np.arange(1, 8)]  # seven matches of one keypoint, against those of seven
    query = features(np.r_[GRID[:1], GRID[:7]])
    candidate = features(np.r_[np.repeat(GRID[:1], 7, axis=0), GRID[:7] + 40])
    for unique, chosen in [(False, [True] * 7 + [False] * 7), (True, [False] * 7 + [True] * 7)]:
        vote = np.r_[np.full(7, 2.0), np.ones(7)]
        rules = Rules(unique=unique, refined_shape=False)
        found = verify(query, candidate, first, np.arange(14), vote, rules)
        assert found[7:].all() == unique and (unique or not found[7:].any())
        assert not unique or found.tolist() == chosen


def test_the_diagonal_of_keypoints_is_that_of_their_regions():
    """Nine regions of radius 4 span 68 x 48 pixels, 83.2 across: 8.3 are allowed instead of 10."""
    moved = GRID.copy()
    moved[4, 1] += 9
    assert agreeing(features(GRID), features(moved), refined_shape=False)[4]
    assert not agreeing(features(GRID), features(moved), extent="keypoints", refined_shape=False)[4]


@pytest.mark.parametrize("n", [4, 5, 20])
def test_a_homography_is_recovered(n):
    rng = np.random.default_rng(n)
    points = rng.uniform(0, 100, (n, 2))
    planted = np.array([[1.1, 0.2, 5], [-0.1, 0.9, -3], [0.001, 0.0005, 1]])
    moved = np.c_[points, np.ones(n)] @ planted.T
    np.testing.assert_allclose(fit_homography(points, moved[:, :2] / moved[:, 2:]), planted, atol=1e-8)


def test_points_on_one_spot_have_no_homography_and_no_match_is_no_trouble():
    assert agreeing(features(np.full((9, 2), 20.0)), features(np.full((9, 2), 30.0))) == [False] * 9
    assert agreeing(features(GRID[:0]), features(GRID[:0])) == []
