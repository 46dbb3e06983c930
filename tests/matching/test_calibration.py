"""Calibration: synthetic scores of known truth, order kept, honest predictions of held-out individuals."""

import numpy as np
import pytest
from scipy.special import expit

from pelage.common.errors import PelageError
from pelage.evaluation.reliability import expected_calibration_error, reliability_table
from pelage.matching.calibration import KINDS, fit_curve, folds_by


def pairs(count=4000, seed=0):
    """Scores with a normal scale, the probability that each is a pair of the same animal, and whether it is one."""
    rng = np.random.default_rng(seed)
    score = rng.normal(size=count)
    probability = expit(3 * score - 2)
    return score, probability, rng.random(count) < probability


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", [lambda score: score, np.exp])  # cosines, and sums with a long tail
def test_the_true_probability_is_found_whatever_the_scores_scale(kind, scale):
    score, _, same = pairs()
    curve = fit_curve(scale(score), same, np.ones(len(score)), kind)
    new_score, new_probability, new_same = pairs(seed=1)
    predicted = curve(scale(new_score))
    assert np.abs(predicted - new_probability).mean() < 0.03
    assert expected_calibration_error(reliability_table(predicted, new_same, np.ones(len(predicted)))) < 0.03


@pytest.mark.parametrize("kind", ["logistic", "isotonic"])
def test_a_methods_own_order_is_kept(kind):
    score, _, same = pairs(300)
    curve = fit_curve(score, same, np.ones(len(score)), kind)
    grid = np.linspace(-3, 3, 200)
    assert (np.diff(curve(grid)) > 0).all()
    assert 0 < curve(grid)[0] < curve(grid)[-1] < 1
    assert curve(np.zeros(0)).shape == (0,)


def test_pchip_goes_through_the_middles_of_the_isotonic_steps_and_never_falls():
    score, same = np.array([0.0, 1, 2, 3, 4, 5]), np.array([0, 0, 1, 0, 1, 1], bool)
    curve = fit_curve(score, same, np.ones(6), "pchip")  # steps 0, 0, 1/2, 1/2, 1, 1
    np.testing.assert_allclose(curve(np.array([0.5, 2.5, 4.5])), [0, 0.5, 1], atol=1e-12)
    grid = curve(np.linspace(-2, 8, 300))
    assert (np.diff(grid) >= 0).all() and grid[0] == 0 and grid[-1] == 1
    assert (np.diff(curve(np.linspace(0.5, 4.5, 50))) > 0).all(), "no plateaus between"
    assert fit_curve(-score, score > 2, np.ones(6), "pchip")(score).tolist() == [0.5] * 6


def test_a_score_that_points_the_wrong_way_says_nothing():
    score, _, same = pairs(500)
    curve = fit_curve(-score, same, np.ones(len(score)), "logistic")
    np.testing.assert_allclose(curve(np.array([-5.0, 0.0, 5.0])), same.mean())


def test_weights_count_like_copies():
    score, _, same = pairs(200)
    weight = np.random.default_rng(1).integers(1, 4, len(score))
    copies = fit_curve(np.repeat(score, weight), np.repeat(same, weight), np.ones(weight.sum()), "isotonic")
    weighed = fit_curve(score, same, weight.astype(float), "isotonic")
    np.testing.assert_allclose(weighed(score), copies(score), atol=0.01)


@pytest.mark.parametrize("same", [np.ones(9, bool), np.zeros(9, bool), np.zeros(0, bool)])
def test_pairs_of_one_kind_are_refused_in_words(same):
    with pytest.raises(PelageError, match="validation"):
        fit_curve(np.arange(len(same), dtype=float), same, np.ones(len(same)), "logistic")


def test_no_individual_is_on_both_sides_of_a_fold():
    group = np.repeat([f"animal {i}" for i in range(7)], [9, 1, 3, 3, 3, 3, 2])
    folds = folds_by(group)
    assert len(folds) == 5
    assert sorted(np.concatenate([inside for _, inside in folds])) == list(range(len(group)))
    for outside, inside in folds:
        assert not set(group[outside]) & set(group[inside]) and len(outside) + len(inside) == len(group)
    (outside, inside), *others = folds_by(np.zeros(4))
    assert not len(outside) and len(inside) == 4 and not others
