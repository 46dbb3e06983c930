"""Judge: a probability by hand, what is read is what was written, and a fit that prefers a middle."""

import numpy as np
import pytest

from pelage.preprocess.judge import Judge, fit_judge


def test_probability_by_hand(tmp_path):
    judge = Judge({"a": ([0, 2, 3], [-1, 1, 0.5]), "b": ([1.5], [0.75])}, 0.25, 0.6)
    # a at 0.5 is a quarter of the way from -1 to 1; beyond the last knot it adds 0.5; b adds 0.75 wherever it is
    assert judge({"a": 0.5, "b": 9}) == pytest.approx(1 / (1 + np.exp(-(0.25 - 0.5 + 0.75))))
    assert judge({"a": 7.0, "b": -9}) == pytest.approx(1 / (1 + np.exp(-(0.25 + 0.5 + 0.75))))
    (tmp_path / "judges.yaml").write_text(f"# two\n{judge.as_yaml('one')}{judge.as_yaml('other')}")
    read = Judge.read(tmp_path / "judges.yaml", "other")
    assert read.sha256 == judge.sha256 and read.least == 0.6 and read({"b": 0.1, "a": 0}) == judge({"a": 0, "b": 0.1})


def test_curves_prefer_a_middle_and_straight_lines_do_not():
    rng = np.random.default_rng(0)
    values = rng.normal(0, 2, 400)
    cases = [{"a": value, "noise": noise} for value, noise in zip(values, rng.normal(size=400), strict=True)]
    yes = np.abs(values) < 1
    curved = fit_judge(cases, ("a", "noise"), yes, 1.0, 5)
    assert curved({"a": 0, "noise": 0}) > 0.9 and max(curved({"a": a, "noise": 0}) for a in (-4, 4)) < 0.05
    straight = fit_judge(cases, ("a", "noise"), values > 0, 1.0, 2)
    odds = [straight({"a": a, "noise": 0}) for a in (-9, -1, 0, 1, 9)]
    assert odds == sorted(odds) and odds[1] < 0.4 and odds[3] > 0.6
