"""k-reciprocal re-ranking: the authors' dense code line by line, and short lists."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pelage.matching.search.rerank import k_reciprocal, nearest


def unit(rng, count, dim=8) -> np.ndarray:
    points = rng.normal(size=(count, dim)) + 2 * rng.normal(size=(5, dim))[rng.integers(5, size=count)]
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def re_ranking(points, query_num, k1, k2, lambda_value):
    """The authors' code (Zhong et al., CVPR 2017, its version in Python) as it stands, of Euclidean distances.

    Only what their copies of matrices save is left out, and their 32 bits are 64.
    """
    original_dist = np.linalg.norm(points[:, None].astype(float) - points[None].astype(float), axis=2)
    original_dist = np.power(original_dist, 2)
    original_dist = np.transpose(1.0 * original_dist / np.max(original_dist, axis=0))
    V = np.zeros_like(original_dist)
    initial_rank = np.argsort(original_dist, kind="stable")
    all_num = len(points)
    for i in range(all_num):
        forward_k_neigh_index = initial_rank[i, : k1 + 1]
        backward_k_neigh_index = initial_rank[forward_k_neigh_index, : k1 + 1]
        fi = np.where(backward_k_neigh_index == i)[0]
        k_reciprocal_index = forward_k_neigh_index[fi]
        k_reciprocal_expansion_index = k_reciprocal_index
        for j in range(len(k_reciprocal_index)):
            candidate = k_reciprocal_index[j]
            candidate_forward_k_neigh_index = initial_rank[candidate, : int(np.around(k1 / 2.0)) + 1]
            candidate_backward_k_neigh_index = initial_rank[
                candidate_forward_k_neigh_index, : int(np.around(k1 / 2.0)) + 1
            ]
            fi_candidate = np.where(candidate_backward_k_neigh_index == candidate)[0]
            candidate_k_reciprocal_index = candidate_forward_k_neigh_index[fi_candidate]
            if len(np.intersect1d(candidate_k_reciprocal_index, k_reciprocal_index)) > 2.0 / 3 * len(
                candidate_k_reciprocal_index
            ):
                k_reciprocal_expansion_index = np.append(k_reciprocal_expansion_index, candidate_k_reciprocal_index)
        k_reciprocal_expansion_index = np.unique(k_reciprocal_expansion_index)
        weight = np.exp(-original_dist[i, k_reciprocal_expansion_index])
        V[i, k_reciprocal_expansion_index] = 1.0 * weight / np.sum(weight)
    original_dist = original_dist[:query_num,]
    if k2 != 1:
        V_qe = np.zeros_like(V)
        for i in range(all_num):
            V_qe[i, :] = np.mean(V[initial_rank[i, :k2], :], axis=0)
        V = V_qe
    invIndex = [np.where(V[:, i] != 0)[0] for i in range(all_num)]
    jaccard_dist = np.zeros_like(original_dist)
    for i in range(query_num):
        temp_min = np.zeros(shape=[1, all_num])
        indNonZero = np.where(V[i, :] != 0)[0]
        indImages = [invIndex[ind] for ind in indNonZero]
        for j in range(len(indNonZero)):
            temp_min[0, indImages[j]] = temp_min[0, indImages[j]] + np.minimum(
                V[i, indNonZero[j]], V[indImages[j], indNonZero[j]]
            )
        jaccard_dist[i] = 1 - temp_min / (2.0 - temp_min)
    return jaccard_dist * (1 - lambda_value) + original_dist * lambda_value


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.integers(1, 6), st.floats(0, 1))
def test_agrees_with_the_authors_code_where_lists_hold_all_points(seed, k1, k2, mix):
    points = unit(np.random.default_rng(seed), 40)
    near = nearest(points, 40)
    expected = re_ranking(points, 10, k1, k2, mix)
    found = k_reciprocal(points, near, 10, k1, k2, mix)
    np.testing.assert_allclose(found, np.take_along_axis(expected, near[:10], axis=1), atol=1e-6)


def test_orders_the_gallery_as_the_authors_code_does():
    points = unit(np.random.default_rng(4), 200)
    near, queries = nearest(points, 200), 40
    ours = k_reciprocal(points, near, queries)
    theirs = re_ranking(points, queries, 20, 6, 0.3)
    own = [row[np.argsort(distance, kind="stable")][:11] for row, distance in zip(near, ours, strict=False)]
    np.testing.assert_array_equal(own, np.argsort(theirs, axis=1, kind="stable")[:, :11])


@pytest.mark.parametrize("mix", [0.0, 0.3, 1.0])
def test_distances_lie_between_0_and_1_and_nought_is_ones_own(mix):
    points = unit(np.random.default_rng(3), 50)
    found = k_reciprocal(points, nearest(points, 50), 20, 5, 3, mix)
    assert found.min() >= -1e-6 and found.max() <= 1 + 1e-6
    np.testing.assert_allclose(found[:, 0], 0, atol=1e-6)


def test_points_that_are_all_the_same_are_no_further_than_that():
    points = np.repeat(np.eye(1, 4, dtype=np.float32), 12, axis=0)
    assert not k_reciprocal(points, nearest(points, 12), 3, k1=3, k2=2, mix=1.0).any()


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
