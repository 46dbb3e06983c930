"""Known or new: AUROC, ROC, BAKS, BAUS and the threshold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import auc, roc_auc_score

from pelage.evaluation import open_set
from pelage.evaluation.open_set import (
    at_most,
    auroc,
    baks_baus,
    false_match_threshold,
    least_rate,
    nearly_at_most,
    pairs_in_order,
    roc_curve,
)

KNOWN = np.array([1, 1, 1, 1, 0, 0, 0], bool)
RIGHT = np.array([1, 1, 0, 1, 0, 0, 0], bool)
SCORE = np.array([0.9, 0.7, 0.8, 0.3, 0.6, 0.2, 0.1])
IDENTITY = np.array(["a", "a", "b", "b", "x", "x", "y"], object)


def test_by_hand():
    assert auroc(KNOWN, SCORE) == pytest.approx(11 / 12)  # only 0.3 against 0.6 is the wrong way round
    assert baks_baus(KNOWN, RIGHT, SCORE, IDENTITY, 0.5) == pytest.approx((0.5, 0.75))
    assert baks_baus(KNOWN, RIGHT, SCORE, IDENTITY, 0.0) == pytest.approx((0.75, 0.0))
    assert baks_baus(KNOWN, RIGHT, SCORE, IDENTITY, 1.0) == pytest.approx((0.0, 1.0))


def test_where_known_or_new_are_missing():
    assert np.isnan(auroc(np.ones(3, bool), SCORE[:3]))
    assert roc_curve(np.ones(3, bool), SCORE[:3]).shape == (0, 2)
    assert baks_baus(KNOWN[:4], RIGHT[:4], SCORE[:4], IDENTITY[:4], 0.0)[1] is None
    assert auroc(KNOWN, np.ones(7)) == 0.5


def animals(count, photos=1):
    return np.repeat([f"animal {number}" for number in range(count)], photos)


def test_a_rate_that_so_few_individuals_cannot_vouch_for_cannot_be_had():
    assert least_rate(9) == 0.1 and least_rate(19) == 0.05
    for count, rate in ((18, 0.05), (8, 0.1), (0, 0.5)):
        assert false_match_threshold(np.arange(5.0 * count), animals(count, 5), rate) is None
    assert false_match_threshold(np.full(30, -np.inf), animals(30), 0.05) is None


@pytest.mark.parametrize(("count", "rate", "reached"), [(19, 0.05, 1), (9, 0.1, 1), (9, 0.3, 3), (99, 0.05, 5)])
def test_of_one_photo_each_it_is_an_order_statistic(count, rate, reached):
    score = np.random.default_rng(0).permutation(count) + 1.0
    assert false_match_threshold(score, animals(count), rate) == pytest.approx(count + 1 - reached)
    between = false_match_threshold(score, animals(count), rate + 0.5 / (count + 1))
    assert between == pytest.approx(count + 1 - reached - 0.5)


def test_copies_of_photos_change_nothing():
    rng = np.random.default_rng(1)
    score, times = rng.random(40), rng.integers(1, 9, 40)
    names = animals(40)
    repeated = false_match_threshold(np.repeat(score, times), np.repeat(names, times), 0.05)
    assert repeated == pytest.approx(false_match_threshold(score, names, 0.05))


@pytest.mark.parametrize("photos", [1, 2, 12])
def test_of_many_animals_the_threshold_is_that_of_all_chances_worked_out(photos, monkeypatch):
    rng = np.random.default_rng(photos)
    who = np.repeat(np.arange(900), rng.integers(1, photos + 1, 900))
    score = np.exp(rng.normal(size=900)[who] + rng.normal(size=len(who)))
    exact = false_match_threshold(score, who.astype(str), 0.05)
    chances = at_most(*levels(score, who))
    assert np.abs(nearly_at_most(*levels(score, who)) - chances).max() < 0.002
    monkeypatch.setattr(open_set, "EXACT", 10)
    monkeypatch.setattr(open_set, "at_most", None)
    nearly = false_match_threshold(score, who.astype(str), 0.05)
    between = (score >= min(exact, nearly)) & (score < max(exact, nearly))
    assert between.sum() <= 1


def levels(score, who):
    """What `at_most` takes, of photos whose scores all differ: the first 500, and the 45-th highest of a draw."""
    order = np.argsort(-score)[:500]
    return (1 / np.bincount(who)[who])[order], who[order], np.arange(len(order)), np.array([44, 45])


@pytest.mark.parametrize("alike", [0.05, 0.4, 0.8])  # share of the variance that the photos of an animal share
@pytest.mark.parametrize("count", [8, 15, 19, 25, 40, 60])
def test_the_asked_rate_is_kept_on_animals_that_nobody_saw_or_cannot_be_had(count, alike):
    def population(rng, count):
        who = np.repeat(np.arange(count), rng.integers(2, 16, count))
        of_animal, of_encounter = rng.normal(size=count)[who], rng.normal(size=(count, 5))
        rest = of_encounter[who, rng.integers(0, 5, len(who))] + rng.normal(size=len(who))
        return np.exp(np.sqrt(alike) * of_animal + np.sqrt((1 - alike) / 2) * rest), who.astype(str)

    realised = []
    for seed in range(30):
        threshold = false_match_threshold(*population(np.random.default_rng([seed, count]), count), 0.05)
        if threshold is None:
            continue
        score, who = population(np.random.default_rng([seed, 1000]), 800)
        names, codes, photos = np.unique(who, return_inverse=True, return_counts=True)
        realised.append(float((score >= threshold) @ (1 / photos)[codes]) / len(names))
    if count < 19:
        assert not realised, "it cannot be had"
    else:
        assert len(realised) == 30 and 0.03 < np.mean(realised) < 0.07


score_lists = st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=2, max_size=40)


@settings(max_examples=100, deadline=None)
@given(score_lists.filter(lambda rows: 0 < sum(row[0] for row in rows) < len(rows)))
def test_agreement_with_scikit_learn(rows):
    known, score = (np.array(column) for column in zip(*rows, strict=True))
    assert auroc(known, score) == pytest.approx(roc_auc_score(known, score))
    rightly = pairs_in_order(known, score)
    assert rightly[known].sum() == pytest.approx(rightly[~known].sum()), "each pair counts once for either"
    curve = roc_curve(known, score)
    assert auc(*curve.T) == pytest.approx(roc_auc_score(known, score))
    assert curve[0].tolist() == [0, 0] and curve[-1].tolist() == [1, 1] and (np.diff(curve, axis=0) >= 0).all()


def test_the_curve_is_thinned():
    random = np.random.default_rng(1)
    known, score = random.random(3000) < 0.5, random.random(3000)
    score[0] = -np.inf
    assert len(roc_curve(known, score)) == 200
