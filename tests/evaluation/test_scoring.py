"""All metrics of a method: the same keys everywhere, and numbers that can be checked by hand."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from pelage.evaluation.judging import ask, judge
from pelage.evaluation.scoring import DECIDED, REPORTED, auroc_left_out, cmc_table, roc_table, score_method
from pelage.split.protocols import protocol_sets


def judged_by(table, questions):
    return {name: judge(table, question, "file") for name, question in questions.items()}


@pytest.fixture
def questions(split):
    return {name: ask(name, rules) for name, rules in protocol_sets(split, "flank").items()}


def score(questions, judged, baseline=None):
    return score_method(questions, [judged], baseline and [baseline], 0.95, 0.2)


def test_a_perfect_method(split, questions, rankings):
    judged = judged_by(rankings(split, np.inf), questions)
    scores = score(questions, judged, judged)
    assert tuple(scores) == REPORTED
    counts = {
        name: [scores[name][key] for key in ("queries", "queries_with_match", "query_identities", "gallery_identities")]
        for name in REPORTED
    }
    assert counts == {
        "closed": [20, 20, 5, 5], "open": [32, 20, 7, 5], "disjoint": [12, 12, 2, 2], "validation": [16, 10, 6, 5],
    }  # fmt: skip
    for name in REPORTED:
        rates = {key: value for key, value in scores[name].items() if key[:3] in ("top", "map", "dyn", "ide", "fla")}
        assert {rates.pop(key) for key in list(rates) if key.endswith("_sd")} == {None}
        assert rates.pop("top1_minus_sift") == 0
        ends = {key: rates.pop(key) for key in list(rates) if key.endswith(("_low", "_high"))}
        assert set(rates.values()) == {1.0}
        few = counts[name][2] - (name == "validation") < 5  # one of validation's six is new, and asked nothing
        assert (set(ends.values()) == {None}) == few, "two individuals have no interval"
        assert few or (ends["top1_low"] < 0.7 and ends["top1_high"] == 1), "five that were right prove little"
    opened = scores["open"]
    assert (opened["auroc"], opened["baks"]) == (1, 1)
    assert opened["auroc_low"] < 0.1 and opened["auroc_high"] == 1, "two new animals prove nothing"
    assert 0 < opened["threshold"] <= 0.001 and opened["baus"] == pytest.approx(1 - opened["false_match_rate"])


def test_the_same_keys_whatever_the_method_and_the_protocol(split, questions, rankings):
    table = rankings(split, 0.3)
    full = score(questions, judged_by(table, questions))
    nothing = score(questions, judged_by(table.iloc[:0], questions))
    empty = {name: ask(name, rules) for name, rules in protocol_sets(split, "face").items()}
    absent = score(empty, judged_by(table.iloc[:0], empty))
    keys = [list(scores[name]) for scores in (full, nothing, absent) for name in REPORTED]
    assert all(listed == keys[0] for listed in keys)
    assert absent["closed"]["queries"] == 0 and absent["closed"]["top1"] is None and absent["open"]["auroc"] is None
    assert nothing["closed"]["top1"] == 0 and nothing["open"]["auroc"] == 0.5 and nothing["open"]["baks"] is None
    json.dumps([full, nothing, absent], allow_nan=False)


def test_open_metrics_belong_to_open_only(split, questions, rankings):
    scores = score(questions, judged_by(rankings(split, 0.3), questions))
    for name in REPORTED:
        for key in ("auroc", "auroc_low", "auroc_high", *DECIDED):
            assert (scores[name][key] is not None) == (name == "open")


def test_intervals_hold_the_value_and_differences_are_paired(split, questions, rankings):
    sift, better = (judged_by(rankings(split, strength), questions) for strength in (0.1, 0.6))
    scores = score(questions, better, sift)
    for name in ("closed", "open"):
        for key in ("top1", "map", "dynamic_top5_ap", "top1_minus_sift", *(["auroc"] if name == "open" else [])):
            assert scores[name][f"{key}_low"] <= scores[name][key] <= scores[name][f"{key}_high"], (name, key)
    closed = scores["closed"]
    assert closed["flank_map_low"] <= closed["flank_map"] <= closed["flank_map_high"]
    base = score(questions, sift, sift)["closed"]
    assert closed["top1_minus_sift"] == pytest.approx(closed["top1"] - base["top1"], abs=1e-4)
    assert base["top1_minus_sift"] == 0 > base["top1_minus_sift_low"] == -base["top1_minus_sift_high"]
    assert score(questions, better)["closed"]["top1_minus_sift"] is None
    assert scores["disjoint"]["top1_minus_sift_low"] is None


def test_repeated_and_shuffled_input_gives_the_same_numbers(split, questions, rankings):
    table = rankings(split, 0.3)
    first = score(questions, judged_by(table, questions))
    shuffled = {n: ask(n, r) for n, r in protocol_sets(split.sample(frac=1, random_state=2), "flank").items()}
    assert first == score(shuffled, judged_by(table.sample(frac=1, random_state=1), shuffled))


def test_the_threshold_comes_from_pseudo_novel_queries_alone(split, questions, rankings):
    table = rankings(split, 0.6)
    before = score(questions, judged_by(table, questions))["open"]
    table.loc[table["protocol"] != "pseudo_novel", "score"] -= 10
    after = score(questions, judged_by(table, questions))["open"]
    assert after["threshold"] == before["threshold"] and (after["baks"], after["baus"]) == (0, 1)
    assert after["false_match_rate"] == 0 and after["threshold_individuals"] == 6
    assert after["least_false_match_rate"] == 0.1429
    table.loc[table["protocol"] == "open", "score"] += 20
    assert score(questions, judged_by(table, questions))["open"]["false_match_rate"] == 1
    stricter = score_method(questions, [judged_by(table, questions)], None, 0.95, 0.1)["open"]
    assert stricter["threshold"] is stricter["baks"] is None and stricter["threshold_individuals"] == 6


def test_queries_of_their_own_encounter_are_told_apart(split, rankings):
    split["published"] = True
    leak = split["crop_id"].isin(["a40#0", "a41#0", "b40#0", "b41#0"])
    split.loc[leak, "encounter"] = split.loc[leak, "identity"] + "0"
    questions = {name: ask(name, rules) for name, rules in protocol_sets(split, "flank").items()}
    table = rankings(split, np.inf)
    asked = table["query"].isin(["c40#0", "a40#0"]) & (table["protocol"] == "closed")
    table = table[~asked]  # one miss with, one without a photo of its own encounter
    scores = score(questions, judged_by(table, questions))["closed"]
    assert (scores["queries_encounter_free"], scores["top1_encounter_free"]) == (16, 0.9375)
    assert scores["ceiling_same_flank_encounter_free"] == 1
    assert scores["top1"] == 0.9


def test_each_side_is_told(split, rankings):
    split.loc[split["identity"] == "d", "orientation"] = "unknown"
    questions = {name: ask(name, rules) for name, rules in protocol_sets(split, "flank").items()}
    table, side = rankings(split, np.inf), split.set_index("crop_id")["orientation"]
    table = table[table["query"].map(side) != "right"]  # all right flanks are missed
    scores = score(questions, judged_by(table, questions))["closed"]
    assert (scores["queries_left"], scores["top1_left"]) == (8, 1)
    assert (scores["queries_right"], scores["top1_right"]) == (8, 0)
    assert (scores["queries"], scores["top1"]) == (20, 0.6)


def test_curves(split, questions, rankings):
    table = rankings(split, np.inf)
    table = table[~((table["query"] == "a40#0") & (table["protocol"] == "closed"))]
    judged = judged_by(table, questions)
    cmc = cmc_table(questions, [judged])
    assert list(cmc.columns) == ["rank", "closed", "open", "disjoint"]
    assert cmc["rank"].tolist() == list(range(1, 21)) and set(cmc["closed"]) == {0.95} and set(cmc["open"]) == {1.0}
    roc = roc_table(questions["open"], [judged["open"]])
    assert list(roc.columns) == ["false_positive_rate", "true_positive_rate"]
    assert roc.iloc[0].tolist() == [0, 0] and roc.iloc[-1].tolist() == [1, 1] and [0, 1] in roc.to_numpy().tolist()
    empty = {name: ask(name, rules) for name, rules in protocol_sets(split, "face").items()}
    nothing = judged_by(table.iloc[:0], empty)
    assert cmc_table(empty, [nothing])["closed"].isna().all() and roc_table(empty["open"], [nothing["open"]]).empty
    assert pd.DataFrame(cmc_table(empty, [nothing])).to_csv(index=False).splitlines()[1] == "1,,,"


def test_auroc_without_each_individual():
    rng = np.random.default_rng(0)
    individual = rng.integers(0, 9, 60)
    known = individual < 5
    scores = [np.round(rng.normal(size=60) + known, 1) for _ in range(2)]
    told = auroc_left_out(known, scores, individual)
    for number, value in enumerate(told.without):
        kept = individual != number
        assert value == pytest.approx(np.mean([roc_auc_score(known[kept], score[kept]) for score in scores]))
    assert told.value == pytest.approx(np.mean([roc_auc_score(known, score) for score in scores]))
    assert told.stratum.tolist() == [1] * 5 + [0] * 4
