"""Retrieval metrics: numbers made by hand, and agreement with libraries that everyone trusts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, balanced_accuracy_score

from pelage.evaluation.retrieval import (
    METRICS,
    Hits,
    average_precision,
    average_precision_at_r,
    dynamic_precision,
    first_hit,
    identity_means,
    without_junk,
)

# Query 0 finds 3 of 4 photos at ranks 1, 3, 6; query 1 its only photo at rank 2; query 2 none of 2; query 3 has none.
QUERY, RANK, TOTAL = np.array([0, 0, 0, 1]), np.array([1, 3, 6, 2]), np.array([4, 1, 2, 0])


def test_by_hand():
    assert first_hit(QUERY, RANK, 4).tolist() == [1, 2, np.inf, np.inf]
    dynamic = [(1 / 1 + 1 / 2 + 2 / 3 + 2 / 4) / 4, 0, 0, 0]  # k' is 4; then 1, where the first rank is a miss
    assert dynamic_precision(QUERY, RANK, TOTAL, 5) == pytest.approx(dynamic)
    assert average_precision(QUERY, RANK, TOTAL) == pytest.approx([(1 / 1 + 2 / 3 + 3 / 6) / 4, 1 / 2, 0, 0])
    assert average_precision_at_r(QUERY, RANK, TOTAL) == pytest.approx([(1 / 1 + 2 / 3) / 4, 0, 0, 0])


def test_junk_is_taken_out_before_anything_is_counted():
    query = np.array([0, 0, 0, 0, 1, 1])
    right, junk = np.array([0, 0, 1, 1, 1, 0], bool), np.array([1, 0, 0, 0, 0, 1], bool)
    hits = without_junk(query, np.array([1, 2, 3, 4, 1, 2]), right, junk, np.array([3, 1, 0]))
    assert (hits.query.tolist(), hits.rank.tolist()) == ([0, 0, 1], [2, 3, 1])
    told = hits.metrics()
    assert tuple(told) == METRICS and hits.answerable.tolist() == [True, True, False]
    assert told["top1"].tolist() == [0, 1, 0] and told["map"] == pytest.approx([(1 / 2 + 2 / 3) / 3, 1, 0])
    plain = Hits(QUERY, RANK, TOTAL).metrics()
    assert plain["map"].tolist() == average_precision(QUERY, RANK, TOTAL).tolist()


def test_no_hits_and_no_queries():
    none = np.array([], int)
    for metric in (average_precision, average_precision_at_r):
        assert metric(none, none, np.array([3])).tolist() == [0]
        assert metric(none, none, none).tolist() == []
    assert dynamic_precision(none, none, none, 5).tolist() == []
    assert identity_means(np.array([]), np.array([], object)).tolist() == []


def test_a_ranking_cut_off_early_misses_the_rest():
    query, rank, total = np.zeros(3, int), np.array([1, 2, 3]), np.array([6])
    assert average_precision_at_r(query, rank, total) == pytest.approx([3 / 6])
    assert average_precision(query, rank, total) == pytest.approx([3 / 6])
    assert dynamic_precision(query, rank, total, 5) == pytest.approx([(1 + 1 + 1 + 3 / 4 + 3 / 5) / 5])


def test_individuals_weigh_the_same():
    truth = np.array(["a", "a", "a", "b"], object)
    answer = np.array(["a", "a", "b", "c"], object)
    assert identity_means((truth == answer).astype(float), truth).tolist() == pytest.approx([2 / 3, 0])
    with pytest.warns(UserWarning, match="y_pred contains classes not in y_true"):
        expected = balanced_accuracy_score(truth, answer)
    assert identity_means((truth == answer).astype(float), truth).mean() == pytest.approx(expected)


def hits(distances, queries, gallery):
    right = queries[:, None] == gallery[np.argsort(distances, 1)]
    query, place = np.nonzero(right)
    return query, place + 1, right.sum(1)


@pytest.mark.parametrize("itself", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_agreement_with_accuracy_calculator(seed, itself):
    torch = pytest.importorskip("torch")
    from pytorch_metric_learning.distances import LpDistance
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
    from pytorch_metric_learning.utils.inference import CustomKNN

    random = np.random.default_rng(seed)
    vectors, labels = random.normal(size=(60, 3)).astype(np.float32), random.integers(0, 9, 60)
    labels[:2] = [100, 101]  # queries without a photo in the gallery: the library leaves them out
    split = 0 if itself else 20
    asked = slice(None) if itself else slice(0, 20)
    distances = np.linalg.norm(vectors[asked, None] - vectors[None, split:], axis=2)
    gallery = labels[split:]
    if itself:  # a query is no answer to itself
        keep = ~np.eye(60, dtype=bool)
        distances = distances[keep].reshape(60, 59)
        found = labels[:, None] == np.broadcast_to(gallery, (60, 60))[keep].reshape(60, 59)
        right = np.take_along_axis(found, np.argsort(distances, 1), 1)
        query, place = np.nonzero(right)
        rank, total = place + 1, right.sum(1)
    else:
        query, rank, total = hits(distances, labels[asked], gallery)
    answerable = total > 0

    for per_class in (False, True):
        expected = AccuracyCalculator(
            include=("mean_average_precision_at_r", "mean_average_precision", "precision_at_1"),
            k=len(gallery) - itself,
            avg_of_avgs=per_class,
            knn_func=CustomKNN(LpDistance(normalize_embeddings=False)),
            device=torch.device("cpu"),
        ).get_accuracy(vectors[asked], labels[asked], vectors[split:], gallery, ref_includes_query=itself)
        for name, values in {
            "mean_average_precision_at_r": average_precision_at_r(query, rank, total),
            "mean_average_precision": average_precision(query, rank, total),
            "precision_at_1": first_hit(query, rank, len(total)) <= 1,
        }.items():
            values = values[answerable].astype(float)
            if per_class:
                values = identity_means(values, labels[asked][answerable])
            assert values.mean() == pytest.approx(expected[name], abs=1e-6), (name, per_class)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(1, 8))
def test_any_ranking(right, k):
    right = np.array(right)
    rank, total = np.flatnonzero(right) + 1, np.array([right.sum()])
    query = np.zeros(len(rank), int)
    ap, at_r = average_precision(query, rank, total)[0], average_precision_at_r(query, rank, total)[0]
    dynamic = dynamic_precision(query, rank, total, k)[0]
    assert 0 <= at_r <= ap + 1e-12 <= 1 + 1e-9 and 0 <= dynamic <= 1 + 1e-9
    if right.any():
        assert ap == pytest.approx(average_precision_score(right, -np.arange(len(right))))
        depth = min(k, right.sum())
        assert dynamic == pytest.approx(np.mean([right[:r].mean() for r in range(1, depth + 1)]))
        assert first_hit(query, rank, 1)[0] == right.argmax() + 1
