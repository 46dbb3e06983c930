import numpy as np
import pytest

from pelage.training.validation import answerable, retrieval


def test_top1_and_map_by_hand():
    scores = np.array([[0.9, 0.8, 0.7, 0.1], [0.9, 0.8, 0.7, 0.1]])
    hits = np.array([[True, False, True, False], [False, False, True, True]])
    allowed = np.array([[True, True, True, True], [False, True, True, True]])
    # first: hits at 1 and 3: (1/1 + 2/3) / 2; second, without the barred one: hits at 2 and 3: (1/2 + 2/3) / 2
    assert retrieval(scores, hits, allowed) == pytest.approx((0.5, (5 / 6 + 7 / 12) / 2))


def test_a_barred_hit_counts_for_nothing():
    assert retrieval(np.array([[0.9, 0.5]]), np.array([[True, True]]), np.array([[False, True]])) == (1.0, 1.0)


def test_queries_without_an_allowed_hit_are_left_out():
    identities = np.array(["a", "b", "a", "b", "c"])
    allowed = np.array([[True, True], [True, False], [True, True]])
    kept = answerable(np.array([2, 3, 4]), np.array([0, 1]), identities, allowed)
    assert kept.queries.tolist() == [2] and kept.hits.tolist() == [[True, False]]
    assert answerable(np.array([3, 4]), np.array([0, 1]), identities, allowed[1:]) is None
    assert answerable(np.array([], int), np.array([0, 1]), identities, allowed[:0]) is None
