"""Verdicts: corrected as SciPy's and by hand, and the champion has not seen the test."""

import numpy as np
import pytest
from scipy.stats import ttest_rel

from pelage.evaluation.intervals import leave_out
from pelage.evaluation.verdicts import champion, chance, compare_all, holm


def test_holm_by_hand():
    assert holm([0.01, 0.04, np.nan, 0.03]).tolist() == pytest.approx([0.03, 0.06, np.nan, 0.06], nan_ok=True)
    assert holm([0.6, 0.5]).tolist() == [1, 1] and holm([]).tolist() == []


def test_of_one_query_each_it_is_the_paired_t_test():
    rng = np.random.default_rng(0)
    one, two = rng.normal(size=(2, 20))
    told = leave_out(one - two, np.ones(20, bool), np.arange(20))
    assert chance(told) == pytest.approx(ttest_rel(one, two).pvalue)


def test_the_photos_of_one_animal_prove_nothing_and_those_of_many_do():
    rng = np.random.default_rng(1)
    who, everyone = np.repeat(np.arange(12), 20), np.ones(240, bool)
    base = rng.random(240)
    lucky = base + 0.5 * (who == 3)  # better, by far, on a single animal
    better = base + 0.2 + 0.05 * rng.normal(size=240)
    table = compare_all({"base": base, "lucky": lucky, "better": better}, everyone, who, 0.95).set_index(
        ["method", "other"]
    )
    assert table.loc[("base", "lucky"), "verdict"] == "open" and table.loc[("base", "better"), "verdict"] == "worse"
    assert (table["p_holm"] >= table["p"]).all() and (table["low"] <= table["difference"]).all()


def test_chance_alone_is_seldom_called_better():
    """Four equal methods, six comparisons: one of them or more is called better in 5 % of surveys, or fewer."""
    who, everyone, wrong = np.repeat(np.arange(12), 4), np.ones(48, bool), 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        hard = rng.normal(size=12)[who]
        values = {name: (hard + rng.normal(size=12)[who] + rng.normal(size=48) > 0).astype(float) for name in "abcd"}
        wrong += (compare_all(values, everyone, who, 0.95)["verdict"] != "open").any()
    assert wrong <= 0.09 * 150


def test_equal_methods_and_few_individuals():
    same = {"a": np.ones(8), "b": np.ones(8)}
    row = compare_all(same, np.ones(8, bool), np.arange(8), 0.95).iloc[0]
    assert (row["difference"], row["p"], row["verdict"]) == (0, 1, "open") and row["low"] < 0 < row["high"]
    few = compare_all(same, np.ones(8, bool), np.arange(8) % 3, 0.95).iloc[0]
    assert np.isnan(few["p"]) and np.isnan(few["low"]) and few["verdict"] == "open"


def test_the_champion_is_the_best_of_validation():
    assert champion({"a": 0.5, "b": None, "c": 0.7, "d": 0.7}) == "c"
    assert champion({"a": None}) is None and champion({}) is None
