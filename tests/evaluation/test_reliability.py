"""Reliability by hand."""

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss

from pelage.evaluation.reliability import (
    expected_calibration_error,
    proper_scores,
    reliability_table,
)


def test_reliability_and_its_error_by_hand():
    probability = np.array([0.1, 0.1, 0.9, 1.0])
    table = reliability_table(probability, np.array([False, True, True, True]), np.array([1.0, 1, 1, 1]), bins=2)
    np.testing.assert_allclose(table, [[0.1, 0.5, 0.5, 2], [0.95, 1.0, 0.5, 2]])
    assert expected_calibration_error(table) == pytest.approx(0.5 * 0.4 + 0.5 * 0.05)


def test_weights_count():
    table = reliability_table(np.array([0.2, 0.2]), np.array([True, False]), np.array([1.0, 3.0]))
    assert table["observed"].tolist() == [0.25] and expected_calibration_error(table) == pytest.approx(0.05)


def test_proper_scores_agree_with_scikit_learn_and_a_constant_has_no_skill():
    rng = np.random.default_rng(0)
    probability, weight = rng.random(400), rng.uniform(0.5, 2, 400)
    same = rng.random(400) < probability
    told = proper_scores(probability, same, weight)
    base = np.average(same, weights=weight)
    brier = [brier_score_loss(same, p, sample_weight=weight) for p in (probability, np.full(400, base))]
    assert told["brier_skill"] == pytest.approx(1 - brier[0] / brier[1])
    assert told["log_loss"] == pytest.approx(log_loss(same, probability, sample_weight=weight))
    constant = proper_scores(np.full(400, base), same, weight)
    assert constant["brier_skill"] == pytest.approx(0)
    assert constant["log_loss"] == pytest.approx(told["log_loss_of_base_rate"])
    table = reliability_table(np.full(400, base), same, weight)
    assert expected_calibration_error(table) == pytest.approx(0), "by which a constant would win"
    assert proper_scores(np.ones(3), np.ones(3, bool), np.ones(3))["brier_skill"] is None
    assert proper_scores(np.zeros(3), np.array([1, 0, 0], bool), np.ones(3))["log_loss"] < 5, "one mistake is not all"
