"""The classifier of pairs: fair judging, deterministic trees, and rankings that never see a test label."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import pelage.study.pair_classifier as pair_classifier
from pelage.common.errors import PelageError
from pelage.split.protocols import ProtocolSet, protocol_sets
from pelage.study.pair_classifier import best_threshold, comparable, judge, learn, rank_pairs
from pelage.study.pair_features import FEATURES

SETTINGS = {"rounds": 40, "patience": 5, "learning_rate": 0.2, "num_leaves": 7, "min_data_in_leaf": 5, "seed": 1}


def survey() -> pd.DataFrame:
    """Ten animals; the last two are novel, the others have encounters in train (two), val and test."""
    rows = []
    for animal in range(10):
        novel = animal >= 8
        for visit, subset in enumerate(["test"] * 4 if novel else ["train", "train", "val", "test"]):
            for side in ("left", "right"):
                image, name = f"{animal}{visit}{side}", f"L{animal}"
                rows.append({
                    "crop_id": f"{image}#0", "image_id": image, "part": "flank", "identity": name,
                    "label": f"{name}:{side}", "encounter": f"{animal}-{visit}", "group": f"{animal}-{visit}",
                    "orientation": side, "subset": subset, "known": not novel, "gallery": subset == "train",
                })  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture
def pairs_that_tell(monkeypatch):
    """Stand in for keypoints: a crop is its label's number, and features say noisily whether two are equal."""

    def compare_all(described, wanted):
        asked.append(int(wanted.sum()))
        first, second = np.nonzero(wanted)
        labels = np.array(described)
        noise = np.random.default_rng(0).normal(size=(len(labels), len(labels), len(FEATURES)))
        return ((labels[first] == labels[second])[:, None] + 0.4 * noise[first, second]).astype(np.float32)

    asked = []
    monkeypatch.setattr(pair_classifier, "compare_all", compare_all)
    return asked


def ranked(split, **changes):
    codes = pd.factorize(survey()["label"])[0]
    described = dict(zip(survey()["crop_id"], codes, strict=True))
    return rank_pairs(described, protocol_sets(split, "flank"), 100, **SETTINGS | changes)


def test_a_constant_model_wins_accuracy_and_nothing_else():
    same = np.arange(100) < 4
    constant, good = judge(same, np.full(100, 0.04), 0.5), judge(same, np.where(same, 0.9, np.arange(100) / 150), 0.5)
    assert constant == {"average_precision": 0.04, "roc_auc": 0.5, "accuracy": 0.96, "f1": 0.0}
    assert good["average_precision"] == good["roc_auc"] == 1.0
    assert good["accuracy"] < constant["accuracy"]


def test_judged_by_hand():
    found = judge(np.array([True, False, True, False]), np.array([0.9, 0.8, 0.7, 0.1]), 0.75)
    assert found == {"average_precision": 0.8333, "roc_auc": 0.75, "accuracy": 0.5, "f1": 0.5}


def test_the_threshold_has_the_highest_f1():
    same, scores = np.array([1, 0, 1, 1, 0, 0], bool), np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.1])
    assert best_threshold(same, scores) == 0.6
    assert best_threshold(np.array([False, True]), np.array([0.5, 0.5])) == 0.5


def test_pairs_of_opposite_sides_and_of_one_encounter_are_not_compared(pairs_that_tell):
    split = survey()
    train = split[split["subset"] == "train"]
    may = comparable(ProtocolSet(train, train))
    sides, visits = train["orientation"].to_numpy(), train["encounter"].to_numpy()
    assert np.array_equal(may, (sides[:, None] == sides) & (visits[:, None] != visits))
    rankings, metrics = ranked(split)
    sides = split.set_index("crop_id")["orientation"]
    across = sides[rankings["query"]].to_numpy() != sides[rankings["candidate"]].to_numpy()
    assert across.any() and (rankings.loc[across, "score"] == 0).all() and (rankings.loc[~across, "score"] > 0).all()
    assert metrics["pairs"] == may.sum() == 32 * 15 and metrics["same"] == 32


def test_a_pair_of_several_protocols_is_compared_once(pairs_that_tell):
    split = survey()
    ranked(split)
    training, validation, known_and_novel, disjoint = 32 * 15, 16 * 16, (16 + 16) * 16, 16 * 7
    assert pairs_that_tell == [training + validation + known_and_novel + disjoint]


def test_it_beats_the_constant_model_and_repeats_to_the_bit(pairs_that_tell):
    rankings, metrics = ranked(survey())
    for protocol in ("validation", "closed", "disjoint"):
        found = metrics[protocol]
        assert found["average_precision"] > 0.8 > 1.5 * found["average_precision_constant"]
        assert found["roc_auc"] > 0.9 and found["roc_auc_constant"] == 0.5
        assert found["average_precision_constant"] == pytest.approx(found["same"] / found["pairs"], abs=1e-4)
    again, same = ranked(survey())
    pd.testing.assert_frame_equal(rankings, again)
    assert metrics == same


def test_labels_of_test_photos_are_not_looked_at(pairs_that_tell):
    split, rankings = survey(), ranked(survey())[0]
    test = split["subset"] == "test"
    split.loc[test, "identity"] = split.loc[test, "identity"].to_numpy()[::-1]
    pd.testing.assert_frame_equal(ranked(split)[0], rankings)


def test_crops_that_are_not_there_take_no_part(pairs_that_tell):
    sets = protocol_sets(survey(), "flank")
    codes = dict(zip(survey()["crop_id"], pd.factorize(survey()["label"])[0], strict=True))
    gone = {"03left#0", "00left#0"}
    rankings, _ = rank_pairs({k: v for k, v in codes.items() if k not in gone}, sets, 100, **SETTINGS)
    assert not (set(rankings["query"]) | set(rankings["candidate"])) & gone


def test_nothing_to_learn_is_said_and_nothing_stops_training_without_validation(pairs_that_tell):
    split = survey()
    rankings, metrics = ranked(split.assign(identity="L0", label="L0:left", orientation="left"))
    assert rankings.empty and metrics["trained"] is False and "pairs of two" in metrics["reason"]
    _, metrics = ranked(split[split["subset"] != "val"])
    assert metrics["trees"] == SETTINGS["rounds"] and metrics["threshold"] == 0.5
    assert metrics["validation"] == {"pairs": 0, "same": 0}


def test_a_parameter_that_lightgbm_refuses_is_named():
    lesson = np.random.default_rng(0).normal(size=(60, 3)), np.arange(60) % 2 == 0
    with pytest.raises(PelageError, match=r"section pairs: .*num_leaves"):
        learn(lesson, None, 5, 5, num_leaves=1)
