"""Several seeds: means and spread by hand, intervals of the means, and one seed as if there were no others."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from pelage.common.tables import write_parquet, write_table
from pelage.evaluation.intervals import leave_out
from pelage.evaluation.judging import ask, judge
from pelage.evaluation.open_set import auroc
from pelage.evaluation.scoring import MAIN, cmc_table, roc_table, score_method, seed_scores
from pelage.matching.rankings import CONTROLS, NAMED
from pelage.split.protocols import protocol_sets

ROOT = Path(__file__).resolve().parents[2]
MISSED = ["a40#0", "a41#0"]
BEFORE = {
    "closed": {"top1": 0.85, "top5": 0.9, "dynamic_top5_ap": 0.618, "map": 0.5268, "map_at_r": 0.3492,
               "balanced_accuracy": 0.85, "top1_low": 0.4623, "top1_high": 0.9739, "map_low": 0.3895,
               "map_high": 0.6602, "top1_minus_sift": 0.0, "top1_minus_sift_low": -0.2144,
               "top1_minus_sift_high": 0.2144},
    "open": {"auroc": 0.9, "threshold": 0.9967, "baks": 0.85, "baus": 1.0, "auroc_low": 0.7027, "auroc_high": 0.9716,
             "top1_minus_sift": -0.1, "top1_minus_sift_low": -0.2648},
    "disjoint": {"top1": 0.75, "map": 0.7257, "top1_minus_sift_low": None, "top1_minus_sift_high": None},
}  # fmt: skip
"""What `score_method` returned when a method had one ranking; the intervals are those by individual."""


@pytest.fixture
def questions(split):
    return {name: ask(name, rules) for name, rules in protocol_sets(split, "flank").items()}


@pytest.fixture
def perfect(split, rankings):
    return rankings(split, np.inf)


def judged_by(table, questions):
    return {name: judge(table, question, "file") for name, question in questions.items()}


def without(table):
    """Two of the twenty queries of the closed protocol get no answer, those of one encounter."""
    return table[~(table["query"].isin(MISSED) & (table["protocol"] == "closed"))]


def score(questions, *tables, baseline=None):
    answers = [judged_by(table, questions) for table in tables]
    return score_method(questions, answers, baseline and [baseline], 0.95, 0.2)


def test_mean_and_spread_by_hand(questions, perfect):
    lesser = judged_by(without(perfect), questions)
    closed = score(questions, perfect, without(perfect), perfect, baseline=lesser)["closed"]
    # 1, 0.9 and 1: mean 29/30, deviations 1/30, -2/30, 1/30, so the variance is 6/900 / 2
    for key in ("top1", "map", "map_at_r"):
        assert (closed[key], closed[f"{key}_sd"]) == (0.9667, 0.0577)
    assert closed["seeds"] == 3 and closed["auroc_sd"] is None and closed["top1_minus_sift"] == 0.0667
    assert closed["balanced_accuracy"] == 0.9667  # one of five individuals misses half of its four queries
    others = score(questions, perfect, without(perfect))
    assert others["disjoint"]["top1_sd"] == 0 and others["open"]["auroc_sd"] == 0


def test_intervals_are_those_of_the_mean_over_seeds(questions, perfect):
    queries = questions["closed"].rules.queries
    rate = np.where(queries["crop_id"].isin(MISSED), 0.5, 1.0)
    low, high = leave_out(rate, np.ones(20, bool), pd.factorize(queries["identity"])[0]).interval(0.95)
    closed = score(questions, perfect, without(perfect))["closed"]
    assert (closed["top1_low"], closed["top1_high"]) == pytest.approx((low, high), abs=1e-4)
    assert low < closed["top1"] == 0.95 < high <= 1


def test_auroc_and_what_is_decided_are_means_of_seeds(split, questions, rankings):
    tables = [rankings(split, 0.4, seed) for seed in (1, 2)]
    known = questions["open"].known
    values = [auroc(known, judge(table, questions["open"], "file").score) for table in tables]
    assert values[0] != values[1]
    both, each = score(questions, *tables)["open"], [score(questions, table)["open"] for table in tables]
    assert both["auroc"] == pytest.approx(np.mean(values), abs=1e-4)
    assert both["auroc_sd"] == pytest.approx(abs(values[0] - values[1]) / np.sqrt(2), abs=2e-4)
    for key in ("threshold", "baks", "baus", "identity_balanced_map", "top5"):
        assert both[key] == pytest.approx(np.mean([one[key] for one in each]), abs=1e-4)
    assert both["auroc_low"] <= both["auroc"] <= both["auroc_high"]


def test_one_seed_has_the_numbers_of_before_there_were_seeds(split, questions, rankings):
    table = rankings(split, 0.3)
    scores = score(questions, table[table["query"] != "a40#0"], baseline=judged_by(rankings(split, 0.2, 5), questions))
    assert {name: {key: scores[name][key] for key in expected} for name, expected in BEFORE.items()} == BEFORE
    assert all(scores[name]["seeds"] == 1 for name in scores)
    assert all(scores[name][f"{key}_sd"] is None for name in scores for key in MAIN)


def test_the_same_ranking_twice_is_the_ranking_once(split, questions, rankings):
    table = rankings(split, 0.3)
    stretched = table.assign(score=8 * table["score"])  # another network, another scale
    one, two = score(questions, table), score(questions, table, stretched)
    for name in one:
        spread = {key: two[name].pop(key) for key in [f"{key}_sd" for key in MAIN]}
        assert set(spread.values()) == ({0.0} if name == "open" else {0.0, None})
        assert (two[name].pop("seeds"), one[name].pop("seeds")) == (2, 1)
        two[name].pop("threshold")
    assert all(two[name].items() <= one[name].items() for name in one)
    answers = [judged_by(rows, questions) for rows in (table, stretched)]
    pd.testing.assert_frame_equal(cmc_table(questions, answers), cmc_table(questions, answers[:1]))
    opened = [judged["open"] for judged in answers]
    pd.testing.assert_frame_equal(roc_table(questions["open"], opened), roc_table(questions["open"], opened[:1]))


def test_curves_are_means(questions, perfect):
    answers = [judged_by(table, questions) for table in (perfect, without(perfect))]
    assert set(cmc_table(questions, answers)["closed"]) == {0.95}
    roc = roc_table(questions["open"], [judged["open"] for judged in answers])
    assert [0, 1] in roc.to_numpy().tolist() and roc.iloc[-1].tolist() == [1, 1]


def test_each_seeds_own_numbers(questions, perfect):
    answers = {"1": judged_by(perfect, questions), "20": judged_by(without(perfect), questions)}
    told = seed_scores(questions, answers)
    assert told["closed"] == {
        "1": {"top1": 1.0, "auroc": None, "map": 1.0, "map_at_r": 1.0},
        "20": {"top1": 0.9, "auroc": None, "map": 0.9, "map_at_r": 0.9},
    }
    assert told["open"]["20"]["auroc"] == 1.0


def test_the_stage_takes_files_of_seeds_and_single_files(split, rankings, perfect, tmp_path, monkeypatch):
    params = {stage: {"part": "flank"} for stage in ("naive", "mlp", "pairs")}
    params |= {"variants": {"net": {"part": "flank"}}, "matchers": {"sift_lnbnn": {"part": "flank"}}, "rematchers": {}}
    params["fusion"] = {"methods": ["net", "sift_lnbnn"]}
    params["evaluate"] = {"confidence": 0.95, "false_match_rate": 0.05}
    with open(tmp_path / "params.yaml", "w") as file:
        YAML().dump(params, file)
    write_table(tmp_path / "data/split.csv", split)
    for name, table in {
        "networks/net/2": perfect,
        "networks/net/10": without(perfect),
        "sift_lnbnn": rankings(split, 0.3),
        "random": rankings(split, 0.0, 1),
        "majority": rankings(split, 0.0, 2),
        "mlp": rankings(split, 0.1, 3),
        "random_mlp": rankings(split, 0.0, 4),
        "orb_sift_brisk_lightgbm": rankings(split, 0.2, 5),
    }.items():
        write_parquet(tmp_path / f"data/rankings/{name}.parquet", table)
    for name in ("fused", "sightings"):
        write_parquet(tmp_path / f"data/{name}.parquet", perfect)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["evaluate.py"])
    runpy.run_path(str(ROOT / "stages/evaluate.py"))["main"]()
    found = {path.stem: json.loads(path.read_text()) for path in Path("data/eval").iterdir()}
    assert set(found) == {"net", "sift_lnbnn", *NAMED}
    assert len({tuple(scores) for method in found.values() for scores in method.values()}) == 1
    net, sift = found["net"]["closed"], found["sift_lnbnn"]["closed"]
    assert (net["seeds"], net["top1"], net["top1_sd"]) == (2, 0.95, 0.0707)
    assert (sift["seeds"], sift["top1_sd"], sift["top1_minus_sift"]) == (1, None, 0)
    assert net["top1_minus_sift"] == pytest.approx(net["top1"] - sift["top1"], abs=1e-4)
    champions = json.loads(Path("data/champion.json").read_text())
    assert champions["champions"]["flank"] == {"method": "net", "validation_flank_map": 1.0}, (
        "the first of equals, and no control"
    )
    fused = champions["fused"]
    assert (fused["best_part"], fused["is_best_part"]) == ("net", False)
    difference, low, high = fused["closed_top1_minus_best"]
    assert difference == 0.05 and low < 0.05 < high, "one of two seeds has no answer to two of twenty queries"
    verdicts = pd.read_csv("data/verdicts.csv")
    assert set(verdicts["metric"]) == {"top1", "flank_map"} and set(verdicts["protocol"]) == {"closed", "disjoint"}
    assert not set(CONTROLS) & {*verdicts["method"], *verdicts["other"]} and len(verdicts) == 4 * 10
    seeds = json.loads(Path("data/seeds.json").read_text())
    assert list(seeds) == ["net"] and list(seeds["net"]["closed"]) == ["2", "10"]
    assert seeds["net"]["closed"]["10"]["top1"] == 0.9
