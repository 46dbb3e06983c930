"""Closed populations: values of secr, Rcapture and textbooks, by hand, properties, and where nothing can be told."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pelage.animals.closed import (
    NO_RECAPTURE,
    Captures,
    chao,
    chao_modified,
    chapman,
    closed_estimates,
    jackknife,
    jackknife_weights,
    m0,
    mt,
    summarise,
)

HARES = Captures(np.array([16, 28, 20, 26, 23, 32]), np.array([25, 22, 13, 5, 1, 2]))
DEER_MICE = Captures(np.array([15, 20, 16, 19, 25, 25]), np.array([9, 6, 7, 6, 6, 4]))
WOODLAND_MICE = Captures(np.array([41, 21, 30, 32, 27, 27]), np.array([9, 9, 10, 8, 8, 7]))
DEMONSTRATION = Captures(np.array([48, 46, 47, 47, 47]), np.array([17, 10, 15, 17, 17]))


def told(estimate):
    return [getattr(estimate, name) for name in ("n", "se", "low", "high")]


def test_snowshoe_hares():
    """Rcapture's example data; M0, Mt, Chao and the jackknife as secr's `closedN` has them."""
    assert told(m0(HARES)) == pytest.approx([74.702, 3.374, 70.64, 85.01], abs=5e-3)
    assert told(mt(HARES))[:2] == pytest.approx([74.338, 3.271], abs=1e-3)
    assert told(chao(HARES)) == pytest.approx([82.205, 7.461, 73.40, 105.37], abs=5e-3)
    assert told(chao_modified(HARES))[:2] == pytest.approx([82.25, 7.48], abs=5e-3)
    assert told(jackknife(HARES))[:2] == pytest.approx([87.32, 6.76], abs=5e-3)


def test_the_hares_of_rcapture(shared_photos):
    rdata = pytest.importorskip("rdata")
    histories = np.asarray(rdata.read_rda(shared_photos("reference") / "closed/hare.rda")["hare"])
    captures = summarise(histories)
    assert captures.per_occasion.tolist() == HARES.per_occasion.tolist()
    assert captures.frequencies.tolist() == HARES.frequencies.tolist()


def test_rabbits_whose_number_is_known_teach_that_m0_and_mt_are_too_low(shared_photos):
    """Edwards and Eberhardt (1967): 135 rabbits. The intervals of M0 and Mt leave the truth out; Mh's hold it."""
    text = (shared_photos("reference") / "closed/edwardsandeberhardt.inp").read_text()
    captures = summarise(np.array([[int(c) for c in row] for row in re.findall(r"([01]{18}) 1;", text)]))
    assert (captures.animals, captures.occasions) == (76, 18) and (captures.per_occasion == 0).sum() == 1
    assert captures.frequencies[:7].tolist() == [43, 16, 8, 6, 0, 2, 1]
    assert told(m0(captures)) == pytest.approx([96.26, 6.85, 86.6, 114.6], abs=0.05)
    assert told(mt(captures))[:2] == pytest.approx([95.08, 6.58], abs=5e-3)
    assert told(chao(captures))[:2] == pytest.approx([133.78, 24.02], abs=5e-3)
    assert told(chao_modified(captures))[:2] == pytest.approx([136.43, 25.07], abs=5e-3)
    assert told(jackknife(captures)) == pytest.approx([143.87, 21.24, 113.3, 199.6], abs=0.05)
    inside = {e.estimator: e.low <= 135 <= e.high for e in closed_estimates(captures)}
    assert inside == {"jackknife": True, "chao": True, "chao_modified": True, "m0": False, "mt": False}


def test_stoats():
    """A first test that is passed at once: the jackknife is interpolated between M and its first order."""
    captures = Captures(np.array([4, 4, 8, 3, 4, 5, 2]), np.array([12, 6, 2, 0, 0, 0, 0]))
    assert told(m0(captures)) == pytest.approx([29.48, 6.02, 23.03, 49.68], abs=5e-3)
    assert told(chao(captures))[:2] == pytest.approx([32.0, 9.17], abs=5e-3)
    assert told(jackknife(captures))[:2] == pytest.approx([30.01, 5.94], abs=5e-3)


def test_deer_mice_at_the_boundary_have_an_interval():
    """M0 and Mt say that all animals were seen, where the log-normal interval has no width."""
    for estimate in (m0(DEER_MICE), mt(DEER_MICE)):
        assert estimate.n == 38 and 0 < estimate.se < 1
        assert estimate.low == 38 < estimate.high < 41 and "all animals" in estimate.note
    assert told(chao(DEER_MICE))[:2] == pytest.approx([44.75, 5.88], abs=5e-3)
    assert told(chao_modified(DEER_MICE))[:2] == pytest.approx([50.6, 10.5], abs=0.05)
    assert told(jackknife(DEER_MICE))[:2] == pytest.approx([43.63, 4.05], abs=5e-3)
    assert told(chao(WOODLAND_MICE))[:2] == pytest.approx([55.5, 3.97], abs=5e-3)
    assert told(jackknife(WOODLAND_MICE))[:2] == pytest.approx([55.89, 3.84], abs=5e-3)


def test_two_occasions_by_hand():
    # 10 seen first, 15 then, 5 both times: 11 * 16 / 6 - 1 = 28.33, variance 11 * 16 * 5 * 10 / (36 * 7)
    captures = Captures(np.array([10, 15]), np.array([15, 5]))
    assert told(chapman(captures))[:2] == pytest.approx([11 * 16 / 6 - 1, np.sqrt(11 * 16 * 5 * 10 / (36 * 7))])
    assert closed_estimates(captures)[0].estimator == "chapman"


def test_chao_by_hand_where_none_was_seen_twice():
    captures = Captures(np.array([2, 2, 1, 1]), np.array([3, 0, 1, 0]))
    assert chao(captures).n == 4 + 3 * 2 / 2


def test_the_jackknife_of_first_order_by_hand():
    assert jackknife_weights(5)[0].tolist() == pytest.approx([1 + 4 / 5, 1, 1, 1, 1])
    assert jackknife_weights(3).shape == (3, 3)


def test_nobody_seen_again():
    captures = summarise(np.eye(5, dtype=bool))
    estimates = closed_estimates(captures)
    assert all(np.isnan(e.n) for e in estimates) and {e.note for e in estimates} >= {NO_RECAPTURE}


def test_nothing_seen_and_one_occasion():
    assert closed_estimates(summarise(np.zeros((0, 5), bool)))[0].note == "no animal was seen"
    assert "occasion_days" in closed_estimates(summarise(np.ones((3, 1), bool)))[0].note


def test_one_animal_and_one_recapture():
    always = summarise(np.ones((1, 6), bool))
    assert all(e.n == 1 or np.isnan(e.n) for e in closed_estimates(always))
    once_again = np.vstack([np.eye(6, dtype=bool), [[True, True, *[False] * 4]]])
    for estimate in closed_estimates(summarise(once_again)):
        assert np.isnan(estimate.n) or estimate.low >= 7


def test_everybody_seen_on_one_occasion():
    histories = np.array([[1, 1, 0], [1, 0, 1], [1, 0, 0]], bool)
    assert mt(summarise(histories)).n == 3


@given(st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=1, max_size=12))
def test_no_estimate_is_below_what_was_seen(rows):
    captures = summarise(np.array(rows))
    for estimate in closed_estimates(captures):
        if not np.isnan(estimate.n):
            if estimate.estimator != "jackknife":  # an order's weights of animals seen often may be below one
                assert estimate.n >= captures.animals - 1e-9
            assert estimate.low <= estimate.high and np.isfinite(estimate.high)
