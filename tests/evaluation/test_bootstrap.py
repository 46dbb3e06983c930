"""Bootstrap over encounters."""

import numpy as np
import pytest

from pelage.evaluation.bootstrap import encounter_draws, interval, resampled_means


def test_encounters_are_drawn_whole():
    encounter = np.array(["e1", "e2", "e1", "e3", "e2"], object)
    draws = encounter_draws(encounter, 200, 1, "closed")
    assert (draws[:, 0] == draws[:, 2]).all() and (draws[:, 1] == draws[:, 4]).all()
    assert (draws[:, [0, 1, 3]].sum(1) == 3).all()
    assert draws[:, 0].std() > 0
    assert encounter_draws(np.array([], object), 5, 1, "closed").shape == (5, 0)


def test_draws_follow_seed_and_protocol_and_not_the_order_of_queries():
    encounter = np.array([f"e{n}" for n in range(30)], object)
    draws = encounter_draws(encounter, 10, 1, "closed")
    assert (draws == encounter_draws(encounter, 10, 1, "closed")).all()
    assert (draws[:, ::-1] == encounter_draws(encounter[::-1], 10, 1, "closed")).all()
    assert (draws != encounter_draws(encounter, 10, 2, "closed")).any()
    assert (draws != encounter_draws(encounter, 10, 1, "open")).any()


def test_means_by_hand():
    values, counted = np.array([1.0, 0.0, 1.0, 9.0]), np.array([True, True, True, False])
    draws = np.array([[1, 1, 1, 1], [2, 0, 1, 0], [0, 3, 0, 0], [0, 0, 0, 3]])
    assert resampled_means(values, counted, draws)[:3] == pytest.approx([2 / 3, 1, 0])
    assert np.isnan(resampled_means(values, counted, draws)[3])


def test_intervals():
    assert interval(np.arange(101.0), 0.9) == pytest.approx((5, 95))
    assert interval(np.array([np.nan, 2.0]), 0.95) == (2, 2)
    assert interval(np.array([np.nan]), 0.95) == (None, None)


def test_bursts_widen_the_interval():
    """Twenty encounters of ten alike photos tell as much as twenty photos, not as two hundred."""
    values = np.repeat(np.arange(20) % 2, 10).astype(float)
    all_queries = np.ones(200, bool)
    bursts = np.repeat([f"e{n}" for n in range(20)], 10)
    singles = np.array([f"e{n}" for n in range(200)])
    widths = [
        np.ptp(interval(resampled_means(values, all_queries, encounter_draws(names, 2000, 1, "closed")), 0.95))
        for names in (bursts, singles)
    ]
    assert widths[0] == pytest.approx(2 * 1.96 * 0.5 / np.sqrt(20), rel=0.1)
    assert widths[1] == pytest.approx(2 * 1.96 * 0.5 / np.sqrt(200), rel=0.1)
