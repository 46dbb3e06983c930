"""Rubin's rules by hand, and that without any disagreement nothing changes."""

import numpy as np
import pytest
from scipy.stats import t as student

from pelage.animals.closed import Estimate, log_normal, no_estimate
from pelage.animals.multiple import combine


def estimate(n, se, animals, bound=None):
    bound = animals if bound is None else bound
    return Estimate("x", n, se, *log_normal(n, se, bound), animals, "", bound)


def test_partitions_that_agree_change_nothing():
    one = estimate(30.0, 4.0, 22)
    told = combine("x", [one] * 20)
    assert [told.n, told.se, told.low, told.high] == pytest.approx([one.n, one.se, one.low, one.high])


def test_by_hand():
    # 30 and 40: within (16 + 16) / 2, between 50
    told = combine("x", [estimate(30.0, 4.0, 20), estimate(40.0, 4.0, 22, 20)])
    between = 1.5 * 50
    reach = student.ppf(0.975, (1 + 16 / between) ** 2)
    assert [told.n, told.se] == pytest.approx([35, np.sqrt(16 + between)]) and told.bound == 20
    factor = np.exp(reach * np.sqrt(np.log1p((told.se / 15) ** 2)))
    assert [told.low, told.high] == pytest.approx([20 + 15 / factor, 20 + 15 * factor])


def test_densities_have_no_bound():
    told = combine("x", [estimate(2.0, 0.2, 20, 0.0), estimate(2.2, 0.2, 21, 0.0)])
    assert told.n == pytest.approx(2.1) and told.low > 0 and told.bound == 0


def test_estimates_at_their_bound_are_no_infinities():
    sure = Estimate("x", 20.0, 0.0, 20.0, 21.0, 20, "", 20)
    told = combine("x", [sure] * 10 + [estimate(24.0, 2.0, 21)] * 10)
    assert np.isfinite([told.n, told.se, told.low, told.high]).all() and told.low >= 20
    told = combine("x", [sure] * 20)
    assert [told.n, told.low, told.high] == pytest.approx([20, 20, 21])


def test_partitions_without_an_estimate_are_told():
    good = estimate(30.0, 4.0, 22)
    told = combine("x", [good] * 15 + [no_estimate("x", 22, "none was seen again")] * 5)
    assert told.n == pytest.approx(30) and told.note == "5 of 20 partitions have no estimate"
    lost = combine("x", [good] * 5 + [no_estimate("x", 22, "none was seen again")] * 15)
    assert np.isnan(lost.n) and "none was seen again" in lost.note
    assert np.isnan(combine("x", []).n)
