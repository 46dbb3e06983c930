"""Known or new: AUROC, ROC, BAKS, BAUS and the threshold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import auc, roc_auc_score

from pelage.evaluation.open_set import auroc, baks_baus, find_threshold, roc_curve

KNOWN = np.array([1, 1, 1, 1, 0, 0, 0], bool)
RIGHT = np.array([1, 1, 0, 1, 0, 0, 0], bool)
SCORE = np.array([0.9, 0.7, 0.8, 0.3, 0.6, 0.2, 0.1])
IDENTITY = np.array(["a", "a", "b", "b", "x", "x", "y"], object)


def test_by_hand():
    assert auroc(KNOWN, SCORE)[0] == pytest.approx(11 / 12)  # only 0.3 against 0.6 is the wrong way round
    assert baks_baus(KNOWN, RIGHT, SCORE, IDENTITY, 0.5) == pytest.approx((0.5, 0.75))
    assert baks_baus(KNOWN, RIGHT, SCORE, IDENTITY, 0.0) == pytest.approx((0.75, 0.0))
    assert baks_baus(KNOWN, RIGHT, SCORE, IDENTITY, 1.0) == pytest.approx((0.0, 1.0))
    # at 0.65 BAKS is 0.5 and BAUS 1; at 0.25 they are 0.75 and 0.75, whose geometric mean is greater
    assert find_threshold(KNOWN, RIGHT, SCORE, IDENTITY) == pytest.approx(0.25)


def test_without_new_individuals_95_percent_of_the_known_are_accepted():
    known, score = np.ones(101, bool), np.linspace(0, 1, 101)
    assert find_threshold(known, known, score, np.array(["a"] * 101, object)) == pytest.approx(0.05)
    assert baks_baus(known, known, score, np.array(["a"] * 101, object), 0.0)[1] is None


def test_without_known_individuals_there_is_no_threshold():
    nobody = np.array([], bool)
    assert find_threshold(nobody, nobody, np.array([]), np.array([], object)) is None
    assert find_threshold(~KNOWN[:4], RIGHT[:4], SCORE[:4], IDENTITY[:4]) is None
    assert find_threshold(KNOWN, RIGHT, np.full(7, -np.inf), IDENTITY) is None
    assert np.isnan(auroc(np.ones(3, bool), SCORE[:3])[0])
    assert roc_curve(np.ones(3, bool), SCORE[:3]).shape == (0, 2)


def test_a_method_that_cannot_tell_gets_one_half():
    assert auroc(KNOWN, np.ones(7))[0] == 0.5
    threshold = find_threshold(KNOWN, RIGHT, np.ones(7), IDENTITY)
    assert sorted(baks_baus(KNOWN, RIGHT, np.ones(7), IDENTITY, threshold)) in ([0, 0.75], [0, 1])


def test_the_threshold_is_the_best_of_all():
    random = np.random.default_rng(0)
    for _ in range(30):
        known, right = random.random(40) < 0.6, random.random(40) < 0.7
        score, identity = (
            random.integers(0, 12, 40) / 10 + 0.5 * known,
            random.choice(list("abcdef"), 40).astype(object),
        )
        thresholds = [*np.unique(score), 3]
        quality = [np.prod(baks_baus(known, right & known, score, identity, value)) for value in thresholds]
        found = find_threshold(known, right & known, score, identity)
        assert np.prod(baks_baus(known, right & known, score, identity, found)) == pytest.approx(max(quality))


score_lists = st.lists(st.tuples(st.booleans(), st.integers(0, 8), st.integers(0, 3)), min_size=2, max_size=40)


@settings(max_examples=100, deadline=None)
@given(score_lists.filter(lambda rows: 0 < sum(row[0] for row in rows) < len(rows)))
def test_agreement_with_scikit_learn(rows):
    known, score, weight = (np.array(column) for column in zip(*rows, strict=True))
    assert auroc(known, score)[0] == pytest.approx(roc_auc_score(known, score))
    curve = roc_curve(known, score)
    assert auc(*curve.T) == pytest.approx(roc_auc_score(known, score))
    assert curve[0].tolist() == [0, 0] and curve[-1].tolist() == [1, 1] and (np.diff(curve, axis=0) >= 0).all()
    repeated = np.repeat(known, weight), np.repeat(score, weight)
    weighted = auroc(known, score, weight[None])[0]
    if 0 < repeated[0].sum() < weight.sum():
        assert weighted == pytest.approx(roc_auc_score(*repeated))
    else:
        assert np.isnan(weighted)


def test_the_curve_is_thinned():
    random = np.random.default_rng(1)
    known, score = random.random(3000) < 0.5, random.random(3000)
    score[0] = -np.inf
    assert len(roc_curve(known, score)) == 200
