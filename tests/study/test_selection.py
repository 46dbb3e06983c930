"""Selection: encounters stay whole, training stops when told, and the grid's best is chosen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pelage.study.selection as selection
from pelage.common.errors import PelageError
from pelage.common.parallel import parallel_map
from pelage.study.network import activations, cross_entropy
from pelage.study.selection import Crops, Settings, choose_settings, cross_validate, deal, fit, initial_network

FIXED = {"epochs": 40, "patience": 5, "folds": 3, "seed": 1}
LABELS = 4


def clusters(noise=0.3, encounters=3, photos=3, seed=0) -> Crops:
    """Four labels around four corners, each seen in several encounters."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(LABELS), encounters * photos)
    visits = np.array([f"{place // photos}" for place in range(len(labels))])
    inputs = 2 * np.eye(LABELS, 6)[labels] + noise * rng.normal(size=(len(labels), 6))
    return Crops(inputs.astype(np.float32), labels, visits)


def settings(**changes) -> Settings:
    return Settings(**{"hidden": (8,), "rate": 0.01, "batch": 4, **FIXED, **changes})


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 8)), min_size=1, max_size=40), st.integers(2, 5))
def test_no_encounter_is_divided(rows, folds):
    labels, visits = np.array(rows).T
    division = deal(Crops(np.zeros((len(rows), 1)), labels, visits.astype(str)), folds, 1)
    assert division.min() >= 0 and division.max() < folds
    for visit in set(visits):
        assert len(set(division[visits == visit])) == 1


def test_the_encounters_of_a_label_go_to_different_folds():
    crops = clusters(encounters=3)
    division = deal(crops, 3, 1)
    for label in range(LABELS):
        assert sorted(set(division[crops.labels == label])) == [0, 1, 2]


def test_training_learns_and_keeps_the_weights_of_its_best_epoch():
    crops = clusters()
    fitted = fit(crops, LABELS, settings(epochs=200))
    assert (activations(fitted.network, crops.inputs)[-1].argmax(1) == crops.labels).all()
    held = crops[deal(crops, 3, 1) == 0]
    assert fitted.loss == pytest.approx(cross_entropy(activations(fitted.network, held.inputs)[-1], held.labels))
    assert fitted.loss < cross_entropy(activations(initial_network(6, 4, settings()), held.inputs)[-1], held.labels)


def test_patience_stops_what_only_learns_by_heart():
    rng = np.random.default_rng(3)
    crops = clusters()
    nonsense = Crops(rng.normal(size=(36, 6)).astype(np.float32), crops.labels, crops.groups)
    fitted = fit(nonsense, LABELS, settings(epochs=500, rate=0.1))
    assert fitted.epochs == fitted.best_epoch + 5 < 500


def test_without_a_second_encounter_nothing_can_be_held_out():
    crops = clusters(encounters=1)
    fitted = fit(crops, LABELS, settings())
    assert (fitted.epochs, fitted.best_epoch, fitted.loss) == (40, 40, None)
    assert cross_validate(crops, LABELS, settings()) == (0, 0, 0.0)
    chosen, rows = choose_settings(crops, LABELS, FIXED, {"hidden": [(8,)], "rate": [0.01], "batch": [4]})
    assert chosen.rate == 0.01 and rows[0]["accuracy"] is None


def test_the_grid_s_best_is_chosen_whatever_the_number_of_workers(monkeypatch):
    crops, grid = clusters(), {"hidden": [(8,), (6, 6)], "rate": [1e-6, 0.01], "batch": [4]}
    found = []
    for workers in (1, 3):
        monkeypatch.setattr(selection, "parallel_map", lambda f, x, n=workers: parallel_map(f, x, n))
        found.append(choose_settings(crops, LABELS, FIXED, grid))
    assert found[0] == found[1]
    chosen, rows = found[0]
    assert chosen.rate == 0.01
    assert [(row["hidden"], row["rate"]) for row in rows] == [
        ((8,), 1e-6),
        ((8,), 0.01),
        ((6, 6), 1e-6),
        ((6, 6), 0.01),
    ]
    assert [row["chosen"] for row in rows] == [(row["hidden"], row["rate"]) == (chosen.hidden, 0.01) for row in rows]
    assert all(row["asked"] == len(crops) for row in rows)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_rates_that_are_all_too_high_are_said():
    with pytest.raises(PelageError, match=r"mlp\.rates .* lower"):
        choose_settings(clusters(), LABELS, FIXED, {"hidden": [(8,)], "rate": [1e30], "batch": [4]})
