"""k-reciprocal re-ranking: the authors' dense code, transcribed line by line, and short lists."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pelage.matching.search.rerank import k_reciprocal, nearest


def unit(rng, count, dim=8) -> np.ndarray:
    points = rng.normal(size=(count, dim)) + 2 * rng.normal(size=(5, dim))[rng.integers(5, size=count)]
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def dense(distance, ranks, queries, k1, k2, mix):
    """Zhong et al.'s `re_ranking` on a matrix of distances of all points to all, without its scaling of them."""
    count = len(distance)
    weights = np.zeros((count, count))

    def reciprocal(i, k):
        forward = ranks[i, : k + 1]
        backward = ranks[forward, : k + 1]
        return forward[np.where(backward == i)[0]]

    for i in range(count):
        index = reciprocal(i, k1)
        expansion = index
        for candidate in index:
            theirs = reciprocal(candidate, int(np.around(k1 / 2)))
            if len(np.intersect1d(theirs, index)) > 2 / 3 * len(theirs):
                expansion = np.append(expansion, theirs)
        expansion = np.unique(expansion)
        weight = np.exp(-distance[i, expansion])
        weights[i, expansion] = weight / weight.sum()
    if k2 != 1:
        weights = np.stack([weights[ranks[i, :k2]].mean(axis=0) for i in range(count)])
    jaccard = np.zeros((queries, count))
    for i in range(queries):
        smaller = np.minimum(weights[i], weights).sum(axis=1)
        jaccard[i] = 1 - smaller / (2 - smaller)
    return jaccard * (1 - mix) + distance[:queries] * mix


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.integers(1, 6), st.floats(0, 1))
def test_agrees_with_the_authors_code_where_lists_hold_all_points(seed, k1, k2, mix):
    points = unit(np.random.default_rng(seed), 40)
    near = nearest(points, 40)
    distance = 2 - 2 * points.astype(float) @ points.T.astype(float)
    expected = dense(distance, near, 10, k1, k2, mix)
    found = k_reciprocal(points, near, 10, k1, k2, mix)
    np.testing.assert_allclose(found, np.take_along_axis(expected, near[:10], axis=1), atol=1e-6)


def test_short_lists_give_the_same_numbers_for_what_they_hold():
    points = unit(np.random.default_rng(1), 60)
    near = nearest(points, 60)
    full = k_reciprocal(points, near, 12, k1=8, k2=3)
    np.testing.assert_allclose(k_reciprocal(points, near[:, :9], 12, k1=8, k2=3), full[:, :9], atol=1e-12)


def test_lists_that_are_too_short_are_refused():
    points = unit(np.random.default_rng(2), 20)
    with pytest.raises(ValueError, match="too short"):
        k_reciprocal(points, nearest(points, 4), 5, k1=4)


def test_a_point_comes_first_on_its_own_list_even_among_equals():
    points = np.repeat(np.eye(2, dtype=np.float32), 6, axis=0)
    near = nearest(points, 3)
    assert near[:, 0].tolist() == list(range(12))
    assert all(len(set(row)) == 3 and len({i // 6 for i in row}) == 1 for row in near.tolist())
