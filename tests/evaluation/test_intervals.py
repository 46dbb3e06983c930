"""Intervals by individual: by hand, and that they cover what they promise."""

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import t as student

from pelage.evaluation.intervals import LEAST_INDIVIDUALS, SIGNED, UNIT, LeftOut, leave_out

KINDS = {"hard": (0.5, 1.2), "easy": (3.5, 1.5), "apart": (1.5, 2.5), "ap": (0.3, 1), "pair": (1.5, 1)}
"""How able a method is with an animal, as log-odds: mean and standard deviation between animals."""

ROUNDS, ENCOUNTERS, PHOTOS = 1500, 6, 4


def population(rng, kind, rounds, animals):
    """Values `(rounds, animals, encounters, photos)`: animals differ, their encounters do, and photos are by chance."""
    middle, spread = KINDS[kind]
    shape = (rounds, animals, ENCOUNTERS, PHOTOS)
    able = middle + rng.normal(0, spread, (rounds, animals, 1, 1)) + rng.normal(0, 1, (rounds, animals, ENCOUNTERS, 1))
    if kind == "ap":
        return expit(able + rng.normal(0, 1, shape))
    chance = rng.random(shape)
    if kind == "pair":  # two methods on the same photos
        other = able + 0.3 + rng.normal(0, 0.5, (rounds, animals, 1, 1))
        return (chance < expit(other)).astype(float) - (chance < expit(able))
    return (chance < expit(able)).astype(float)


@pytest.mark.parametrize("animals", [8, 15, 60])
@pytest.mark.parametrize("kind", KINDS)
def test_95_percent_intervals_cover_92_to_97_percent(kind, animals):
    truth = population(np.random.default_rng(1), kind, 3000, 50).mean()
    rng = np.random.default_rng(animals)
    values = population(rng, kind, ROUNDS, animals)
    seen = np.arange(ENCOUNTERS) < rng.integers(1, ENCOUNTERS + 1, (ROUNDS, animals, 1))
    seen = seen[..., None] & (np.arange(PHOTOS) < rng.integers(1, PHOTOS + 1, (ROUNDS, animals, ENCOUNTERS, 1)))
    who = np.broadcast_to(np.arange(animals)[:, None, None], seen.shape[1:]).ravel()
    within = SIGNED if kind == "pair" else UNIT
    ends = [
        leave_out(value.ravel(), there.ravel(), who).interval(0.95, within)
        for value, there in zip(values, seen, strict=True)
    ]
    covered = np.mean([low <= truth <= high for low, high in ends])
    assert 0.92 < covered < 0.97


def test_by_hand():
    # a: 2 of 2, b: 1 of 2, c .. h: 1 of 1; so 9 of 10, and without each of them 7/8, 8/8, 8/9, ...
    who = np.array([0, 0, 1, 1, *range(2, 8)])
    values = np.array([1, 1, 1, 0, *[1] * 6])
    told = leave_out(values, np.ones(10, bool), who)
    assert told.value == 0.9 and told.without.tolist() == pytest.approx([7 / 8, 1, *[8 / 9] * 6])
    variance, freedom = told.variance()
    assert variance == pytest.approx(7 / 8 * (0.025**2 + 0.1**2 + 6 * (0.9 - 8 / 9) ** 2)) and freedom == 7
    animals, square = 0.09 / variance, student.ppf(0.975, 7) ** 2
    low, high = told.interval(0.95)
    for end in (low, high):  # Wilson: the rates from which the observed one is t standard errors away
        assert (end - 0.9) ** 2 == pytest.approx(square * end * (1 - end) / animals)
    assert low < 0.9 < high < 1
    assert told.equal == pytest.approx(100 / 14)


def test_all_right_is_no_certainty_and_no_difference_no_proof():
    eight = np.arange(8)
    square = student.ppf(0.975, 7) ** 2
    assert leave_out(np.ones(8), np.ones(8, bool), eight).interval(0.95) == (pytest.approx(8 / (8 + square)), 1)
    low, high = leave_out(np.zeros(8), np.ones(8, bool), eight).interval(0.95, SIGNED)
    assert -low == high == pytest.approx(square / (8 + square))
    many = leave_out(np.zeros(300), np.ones(300, bool), np.arange(300)).interval(0.95, SIGNED)
    assert many[1] < 0.02


def test_more_photos_of_the_same_animals_are_hardly_more_evidence():
    rng = np.random.default_rng(0)
    rate = rng.random(12)
    widths = []
    for photos in (10, 1000):
        who = np.repeat(np.arange(12), photos)
        low, high = leave_out(rng.random(len(who)) < rate[who], np.ones(len(who), bool), who).interval(0.95)
        widths.append(high - low)
    assert widths[1] > 0.8 * widths[0]


def test_too_few_individuals_have_no_interval():
    few = LEAST_INDIVIDUALS - 1
    assert leave_out(np.ones(9), np.ones(9, bool), np.arange(9) % few).interval(0.95) == (None, None)
    assert leave_out(np.ones(9), np.zeros(9, bool), np.arange(9)).interval(0.95) == (None, None)
    kinds = np.array([0] * 7 + [1])
    assert LeftOut(0.5, np.full(8, 0.4), kinds, 8.0).interval(0.95) == (None, None), "a single new individual"


def test_two_kinds_of_individuals_add_their_variances():
    without, kinds = np.array([0.5, 0.7, 0.6, 0.6, 0.55, 0.65]), np.array([0, 0, 0, 1, 1, 1])
    variance, freedom = LeftOut(0.6, without, kinds, 6.0).variance()
    parts = 2 / 3 * 0.02, 2 / 3 * 0.005
    assert variance == pytest.approx(sum(parts)) and freedom == pytest.approx(
        2 * sum(parts) ** 2 / (parts[0] ** 2 + parts[1] ** 2)
    )
