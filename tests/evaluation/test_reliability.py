"""Reliability by hand."""

import numpy as np
import pytest

from pelage.evaluation.reliability import (
    expected_calibration_error,
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
