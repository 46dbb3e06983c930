import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from pelage.evaluation import retrieval as evaluation
from pelage.training.validation import SCORES, answerable, retrieval


def test_scores_by_hand():
    scores = np.array([[0.9, 0.8, 0.7, 0.1], [0.9, 0.8, 0.7, 0.1]])
    hits = np.array([[True, False, True, False], [False, False, True, True]])
    allowed = np.array([[True, True, True, True], [False, True, True, True]])
    # first: hits at 1 and 3: average (1/1 + 2/3) / 2, and of ranks 1 and 2 (1/1 + 1/2) / 2
    # second, without the barred one: hits at 2 and 3: average (1/2 + 2/3) / 2, and of ranks 1 and 2 (0 + 1/2) / 2
    assert retrieval(scores, hits, allowed) == pytest.approx(
        {"top1": 0.5, "top3": 1.0, "top5": 1.0, "top10": 1.0, "map": (5 / 6 + 7 / 12) / 2}
        | {"dynamic_top5_ap": (3 / 4 + 1 / 4) / 2}
    )


def test_dynamic_precision_looks_at_five_ranks_and_counts_misses_too():
    hits = np.array([[False, True, True, False, True, True, True]])  # 5 hits: precisions 0, 1/2, 2/3, 2/4, 3/5
    scores = -np.arange(7.0)[None]
    expected = (0 + 1 / 2 + 2 / 3 + 2 / 4 + 3 / 5) / 5
    assert retrieval(scores, hits, np.ones_like(hits))["dynamic_top5_ap"] == pytest.approx(expected)


def test_a_barred_hit_counts_for_nothing():
    told = retrieval(np.array([[0.9, 0.5]]), np.array([[True, True]]), np.array([[False, True]]))
    assert told == dict.fromkeys(SCORES, 1.0)


def test_agrees_with_scikit_learn_and_with_the_final_evaluation():
    rng = np.random.default_rng(0)
    scores, hits, allowed = rng.random((40, 30)), rng.random((40, 30)) < 0.2, rng.random((40, 30)) < 0.8
    kept = (hits & allowed).any(axis=1)
    scores, hits, allowed = scores[kept], hits[kept], allowed[kept]
    told = retrieval(scores, hits, allowed)
    rows = list(zip(scores, hits, allowed, strict=True))
    assert told["map"] == pytest.approx(np.mean([average_precision_score(h[a], s[a]) for s, h, a in rows]))

    ranked = [h[a][np.argsort(-s[a])] for s, h, a in rows]
    query, rank = np.concatenate([[(q, r + 1) for r in np.flatnonzero(row)] for q, row in enumerate(ranked)]).T
    total = np.array([row.sum() for row in ranked])
    first = evaluation.first_hit(query, rank, len(ranked))
    assert [told[f"top{k}"] for k in (1, 3, 5, 10)] == pytest.approx([(first <= k).mean() for k in (1, 3, 5, 10)])
    dynamic = evaluation.dynamic_precision(query, rank, total, 5).mean()
    assert told["dynamic_top5_ap"] == pytest.approx(dynamic)
    assert 0.1 < told["top1"] < told["top3"] < told["top5"] < told["top10"]


def test_queries_without_an_allowed_hit_are_left_out():
    identities = np.array(["a", "b", "a", "b", "c"])
    allowed = np.array([[True, True], [True, False], [True, True]])
    kept = answerable(np.array([2, 3, 4]), np.array([0, 1]), identities, allowed)
    assert kept.queries.tolist() == [2] and kept.hits.tolist() == [[True, False]]
    assert answerable(np.array([3, 4]), np.array([0, 1]), identities, allowed[1:]) is None
    assert answerable(np.array([], int), np.array([0, 1]), identities, allowed[:0]) is None
