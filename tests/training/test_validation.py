"""Validation during training: the core's metrics, of individuals and of flanks."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from pelage.evaluation.judging import ask, judge
from pelage.evaluation.scoring import query_rates
from pelage.matching.rankings import rankings_table
from pelage.split.protocols import SPLIT_COLUMNS, ProtocolSet, allowed
from pelage.training.validation import SCORES, validation_of


def crops(names, sides, first=0):
    """One photo an encounter."""
    numbers = [f"{place:02}" for place in range(first, first + len(names))]
    table = pd.DataFrame({"crop_id": numbers, "image_id": numbers, "group": numbers, "encounter": numbers})
    table["identity"], table["orientation"], table["part"] = list(names), sides, "flank"
    table["label"] = table["identity"] + ":" + table["orientation"]
    return table.reindex(columns=SPLIT_COLUMNS, fill_value="")


def at(*degrees):
    angles = np.deg2rad(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_by_hand():
    queries, gallery = crops("a", ["left"]), crops("abaa", ["right", "left", "left", "unknown"], 10)
    asked = validation_of(ProtocolSet(queries, gallery), np.arange(1), np.arange(1, 5))
    told = asked.metrics(at(0), at(1, 2, 3, 4))  # the other flank, somebody else, the own flank, a side nobody told
    assert tuple(told) == SCORES
    assert told["top1"] == 1 and told["map"] == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)
    assert told["flank_top1"] == 0 and told["flank_map"] == 1 / 2, "other flank and unknown side count for nothing"
    assert told["dynamic_top5_ap"] == pytest.approx((1 + 1 / 2 + 2 / 3) / 3)


def test_the_numbers_are_those_of_the_evaluation_and_of_scikit_learn():
    rng = np.random.default_rng(0)
    queries, gallery = (
        crops(rng.choice(list("abcde"), n), rng.choice(["left", "right", "unknown"], n), first)
        for n, first in ((30, 0), (40, 50))
    )
    points = rng.normal(size=(70, 3)).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    rules = ProtocolSet(queries, gallery)
    asked = validation_of(rules, np.arange(30), np.arange(30, 70))
    told = asked.metrics(points[asked.queries], points[asked.gallery])

    cosines, question = points[:30] @ points[30:].T, ask("closed", rules)
    table = rankings_table("closed", queries["crop_id"], gallery["crop_id"], cosines, allowed(queries, gallery), 99)
    rates = query_rates(judge(table, question, "file"))
    counted = {"": question.totals["identity"] > 0, "flank_": question.totals["flank"] > 0}
    for name, value in told.items():
        kept = counted["flank_" if name.startswith("flank_") else ""]
        assert value == pytest.approx(rates[name][kept].mean()), name
    same = queries["identity"].to_numpy()[:, None] == gallery["identity"].to_numpy()
    expected = [average_precision_score(row, scores) for row, scores in zip(same, cosines, strict=True) if row.any()]
    assert told["map"] == pytest.approx(np.mean(expected), abs=1e-6)
    assert told["map"] < 0.9 and told["flank_map"] < 0.9


def test_whom_nobody_shows_is_not_asked():
    gallery = crops("ab", ["left", "left"], 10)
    asked = validation_of(ProtocolSet(crops("cab", ["left", "left", "right"]), gallery), np.arange(3), np.arange(3, 5))
    assert asked.queries.tolist() == [1, 2] and asked.gallery.tolist() == [3, 4]
    assert validation_of(ProtocolSet(crops("c", ["left"]), gallery), np.arange(1), np.arange(1, 3)) is None
    other = crops("a", ["right"])  # its flank was never seen: there is nothing to choose an epoch by
    assert validation_of(ProtocolSet(other, gallery), np.arange(1), np.arange(1, 3)) is None
    assert validation_of(ProtocolSet(gallery, gallery), np.arange(2), np.arange(2)) is None, "own photos do not answer"
