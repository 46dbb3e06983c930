"""Fusion: by hand, on synthetic methods of known truth, and what a missing score may not do."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from pelage.evaluation.reliability import expected_calibration_error, reliability_table
from pelage.matching.fusion import (
    COMBINED,
    Fusion,
    add_up_photos,
    by_identity,
    candidates,
    fit_fusion,
    fit_listwise,
    fit_pool,
    fuse,
    in_own_order,
    join_scores,
    learn_fusion,
    query_weights,
    read_methods,
    reciprocal_rank,
)
from pelage.matching.rankings import drop_opposite, rank_pairs


def table(rows) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["protocol", "query", "candidate", "rank", "score"])


def half(score: np.ndarray) -> np.ndarray:
    return np.asarray(score) / 2


FUSION = Fusion({"near": half, "far": half}, {"near": 0.75, "far": 0.25}, -2.0, 0.1, np.asarray)


def synthetic(seed: int, queries=240, candidates=10):
    """Two methods that each see a part of what tells a pair of the same animal; `local` knows half of the pairs."""
    rng = np.random.default_rng(seed)
    count = queries * candidates
    same = rng.random(count) < 0.2
    clue = rng.normal(size=(2, count)) + 1.5 * same
    pairs = pd.DataFrame(
        {
            "protocol": "validation",
            "query": np.repeat([f"q{i:03}" for i in range(queries)], candidates),
            "candidate": np.tile([f"c{i}" for i in range(candidates)], queries),
            "global": np.tanh(clue[0]),
            "local": np.where(rng.random(count) < 0.5, np.exp(clue[1]), np.nan),
        }
    )
    return pairs, same, np.repeat(np.arange(queries) // 4, candidates).astype(str)


def test_log_odds_are_weighted_and_a_missing_score_changes_nothing():
    scores = pd.DataFrame({"near": [0.8, np.nan, np.nan], "far": [0.4, 0.4, np.nan]})
    near, far = (logit(0.8 * probability + 0.2 * 0.1) - logit(0.1) for probability in (0.4, 0.2))
    expected = expit([0.75 * near + 0.25 * far - 2, 0.25 * far - 2, -2])
    np.testing.assert_allclose(FUSION.evidence(scores), expected)


def test_no_method_can_veto_another():
    never = replace(FUSION, curves={"near": half, "far": np.zeros_like}, weights={"near": 1.0, "far": 1.0})
    told = never.evidence(pd.DataFrame({"near": [1.9, 1.9], "far": [np.nan, 0.0]}))
    assert told[1] > 0.2 * told[0]


def test_not_compared_counts_as_what_it_was_worth_in_validation():
    """A shortlist that holds nearly all pairs of one animal: what is not on it is hardly one."""
    rng = np.random.default_rng(4)
    pairs, same, _ = synthetic(4)
    pairs["local"] = np.where(same | (rng.random(len(same)) < 0.3), rng.normal(size=len(same)) + same, np.nan)
    fusion = fit_fusion(pairs, same, np.ones(len(same)), ["global", "local"], "logistic")
    assert fusion.absent["local"] < -1 and fusion.absent["global"] == pytest.approx(0, abs=1e-6)
    vain, absent = fusion.evidence(pd.DataFrame({"global": [0.0, 0.0], "local": [-2.0, np.nan]}))
    assert absent < vain, "the pair that no shortlist held is not above one that was compared in vain"


def rankings_of(pairs, methods):
    tables = {}
    for method in methods:
        seen = pairs.dropna(subset=[method])
        tables[method] = rank_pairs(seen.assign(score=seen[method])[["protocol", "query", "candidate", "score"]], 99)
    return tables


def test_candidates_are_each_method_in_its_own_order_and_what_combines_them():
    pairs, identity = named_pairs(5)
    tables = rankings_of(pairs, ["global", "local"])
    tables["local"]["score"] = tables["local"]["score"].round(0)  # many ties
    tables["local"] = rank_pairs(tables["local"], 99)
    found = candidates(tables, tables, identity, 40, "logistic", 1)
    assert list(found) == ["global", "local", *COMBINED]
    keys = ["query", "rank", "candidate"]
    for method, table in tables.items():
        ranked = found[method].rankings
        expected = table.sort_values(["query", "rank"])[keys].to_numpy().tolist()
        assert ranked.sort_values(["query", "rank"])[keys].to_numpy().tolist() == expected
        assert ranked["score"].between(0, 1).all()
    assert found["pool"].held_out and found["pool"].rankings["score"].between(0, 1).all()
    mean = found["mean"].fusion
    scores = pd.DataFrame({"global": [0.9, 0.9], "local": [2.0, np.nan]})
    near = mean.curves["global"](np.array([0.9, 0.9]))
    far = mean.curves["local"](np.array([2.0]))[0]
    np.testing.assert_allclose(mean.evidence(scores), [(near[0] + far) / 2, near[1] / 2])


def named_pairs(seed: int) -> tuple[pd.DataFrame, pd.Series]:
    """Return pairs of 60 queries, each with candidates of its own, and the individual by name of query or candidate."""
    pairs, same, asked = synthetic(seed, queries=60)
    pairs["candidate"] = pairs["query"] + " " + pairs["candidate"]
    identity = pd.Series(asked, pairs["query"]).groupby(level=0).first()
    return pairs, pd.concat([identity, pd.Series(np.where(same, asked, "other"), pairs["candidate"])])


def test_what_evidence_is_learnt_on_is_scored_by_a_fusion_of_other_individuals():
    pairs, identity = named_pairs(6)
    asked = pd.concat([pairs.assign(protocol=name) for name in ("validation", "practice", "survey")])
    made = fuse(rankings_of(asked, ["global", "local"]), identity, 40, "logistic", 1)
    score = made.rankings.astype(str).pivot(index=["query", "candidate"], columns="protocol", values="score")
    assert made.held_out and (score["practice"] == score["validation"]).all()
    assert (score["survey"] != score["validation"]).mean() > 0.9, "the survey is scored by the fusion of all of them"
    assert (made.learnt["protocol"] == "validation").all() and made.learnt["score"].between(0, 1).all()


def test_where_it_is_asked_who_is_who_each_pair_speaks_for_itself():
    pairs, identity = named_pairs(7)
    both = pd.concat([pairs, pairs.assign(protocol="rehearsal")])
    tables = rankings_of(both, ["global", "local"])
    made = fuse(tables, identity, 40, "logistic", 3)
    joined = join_scores(tables)
    alone = joined[joined["protocol"] == "rehearsal"]
    single = replace(made.fusion, photos=1).probability(alone)
    told = made.rankings[made.rankings["protocol"] == "rehearsal"].sort_values(["query", "candidate"])
    np.testing.assert_allclose(told["score"], single.round(9), rtol=1e-6)
    judged = made.fusion.evidence(made.learnt)
    assert (judged > replace(made.fusion, photos=1).evidence(made.learnt)).any()


def test_weights_are_those_of_a_logistic_regression():
    rng = np.random.default_rng(0)
    odds = rng.normal(size=(4000, 2))
    same = rng.random(4000) < expit(1.2 * odds[:, 0] + 0.6 * odds[:, 1] - 1)
    weight = rng.uniform(0.5, 2, 4000)
    weights, intercept = fit_pool(odds, same, weight)
    reference = LogisticRegression(C=np.inf).fit(odds, same, weight)
    np.testing.assert_allclose(weights, reference.coef_[0], atol=0.02)
    assert intercept == pytest.approx(reference.intercept_[0], abs=0.02)


def test_a_method_that_misleads_or_repeats_gets_no_say_and_separable_pairs_no_endless_weight():
    rng = np.random.default_rng(1)
    clue = rng.normal(size=3000)
    same = rng.random(3000) < expit(2 * clue)
    odds = np.c_[clue, -clue + rng.normal(size=3000)]
    weights, _ = fit_pool(odds, same, np.ones(3000))
    assert weights[1] == 0 and weights[0] > 1
    weights, _ = fit_pool(np.c_[clue, clue], clue > 0, np.ones(3000))
    assert weights[0] == pytest.approx(weights[1], rel=0.01) and weights.max() < 30


def test_the_fused_probability_ranks_better_than_each_part_and_is_honest():
    pairs, same, asked = synthetic(0)
    fusion, folds = learn_fusion(pairs, same, asked, ["global", "local"], "logistic")
    held_out = np.full(len(pairs), np.nan)
    for individuals, fitted in folds:
        own = np.isin(asked, individuals)
        held_out[own] = fitted.probability(pairs[own])
    others, truth, _ = synthetic(1)

    def auroc(score) -> float:
        return (score[truth][:, None] > score[~truth][None]).mean()

    fused = fusion.probability(others)
    assert auroc(fused) > auroc(others["global"].to_numpy()) + 0.02
    assert auroc(fused) > auroc(others["local"].fillna(others["local"].min()).to_numpy()) + 0.02
    for probability, seen in ((fused, truth), (held_out, same)):
        error = expected_calibration_error(reliability_table(probability, seen, np.ones(len(seen))))
        assert error < 0.05
    np.testing.assert_array_equal(np.argsort(fused), np.argsort(fusion.evidence(others)))


def test_a_query_counts_once_however_many_candidates_it_has():
    pairs, same, _ = synthetic(2, queries=40)
    weights = query_weights(pairs)
    assert weights.tolist() == [0.1] * 400
    few = pd.DataFrame({"protocol": "closed", "query": ["a", "a", "b"], "candidate": ["x", "y", "x"]})
    assert query_weights(few).tolist() == [0.5, 0.5, 1]
    assert fit_fusion(pairs, same, weights, ["global"], "logistic").base_rate == pytest.approx(same.mean())


def test_without_pairs_of_the_same_animal_there_is_nothing_to_learn():
    pairs, same, asked = synthetic(3, queries=8)
    assert learn_fusion(pairs, np.zeros_like(same), asked, ["global", "local"], "logistic") == (None, [])
    assert learn_fusion(pairs.iloc[:0], same[:0], asked[:0], ["global"], "logistic") == (None, [])
    few = np.arange(len(same)) % 4
    assert learn_fusion(pairs, same, few, ["global"], "logistic") == (None, []), "four individuals are too few"
    five = learn_fusion(pairs, same, np.arange(len(same)) % 5, ["global"], "logistic")
    assert five[0] is not None and len(five[1]) == 5


def test_tables_are_laid_side_by_side_and_ranked():
    first = table([("closed", "q", "a", 1, 0.9), ("closed", "q", "b", 2, 0.5)])
    second = table([("closed", "q", "c", 1, 7.0), ("closed", "q", "b", 2, 3.0)])
    joined = join_scores({"near": first, "far": second})
    assert joined["candidate"].tolist() == ["a", "b", "c"] and joined["nearest"].tolist() == [1, 2, 1]
    np.testing.assert_array_equal(joined[["near", "far"]], [[0.9, np.nan], [0.5, 3.0], [np.nan, 7.0]])
    summed = reciprocal_rank(joined, ["near", "far"])
    np.testing.assert_allclose(summed, [1 / 61, 1 / 62 + 1 / 62, 1 / 61])
    ranked = rank_pairs(joined.assign(score=summed), depth=2)
    assert ranked[["candidate", "rank"]].to_numpy().tolist() == [["b", 1], ["a", 2]]


def test_equal_scores_both_have_a_rank_and_protocols_stay_apart():
    pairs = pd.DataFrame(
        [("open", "q", "b", 1.0), ("open", "q", "a", 1.0), ("closed", "q", "c", 0.5), ("open", "p", "a", 0.0)],
        columns=["protocol", "query", "candidate", "score"],
    )
    ranked = rank_pairs(pairs, depth=5)
    assert ranked["protocol"].tolist() == ["open", "open", "open", "closed"]
    assert sorted(ranked["candidate"][1:3]) == ["a", "b"] and ranked["candidate"].tolist()[::3] == ["a", "c"]
    assert ranked["rank"].tolist() == [1, 1, 2, 1]


def test_opposite_flanks_are_left_out_and_unknown_ones_stay():
    side = pd.Series({"l": "left", "r": "right", "u": "unknown", "m": "left"})
    rows = table([("open", "l", other, 1, 1.0) for other in "rmu"] + [("open", "u", "r", 1, 1.0)])
    assert drop_opposite(rows, side)["candidate"].tolist() == ["m", "u", "r"]


def test_identities_of_pairs():
    asked, same = by_identity(
        pd.DataFrame({"query": ["x", "x"], "candidate": ["y", "z"]}), pd.Series({"x": "Ayo", "y": "Ayo", "z": "Bo"})
    )
    assert asked.tolist() == ["Ayo", "Ayo"] and same.tolist() == [True, False]
    nobody = by_identity(pd.DataFrame({"query": ["x"], "candidate": ["y"]}), dict.fromkeys("xy", "unknown"))
    assert nobody[1].tolist() == [False], "two that nobody named are not the same for that"


def test_what_is_fused_is_read():
    params = {
        "variants": {"net": {"part": "flank"}},
        "matchers": {"sift_lnbnn": {"part": "flank"}, "any_side": {"part": "flank", "same_side": False}},
        "rematchers": {},
        "fusion": {"methods": ["sift_lnbnn", "any_side", "net"], "photos": 1},
    }
    assert read_methods(params) == ("flank", ["sift_lnbnn", "any_side", "net"], ["sift_lnbnn"])


def test_the_best_photos_of_an_individual_speak_together():
    rows = [("q", "a", 0.5), ("q", "b", 0.4), ("q", "b", 0.3), ("q", "b", 0.2), ("q", "b", 0.1), ("r", "b", 0.3)]
    pairs = pd.DataFrame(rows, columns=["query", "identity", "score"]).assign(protocol="open")
    score = pairs.pop("score").to_numpy()
    np.testing.assert_allclose(add_up_photos(score, pairs, 3), [0.5, 0.9, 0.3, 0.2, 0.1, 0.3])
    np.testing.assert_allclose(add_up_photos(score, pairs, 1), score)
    turned = np.random.default_rng(1).permutation(len(pairs))
    np.testing.assert_allclose(
        add_up_photos(score[turned], pairs.iloc[turned], 3), add_up_photos(score, pairs, 3)[turned]
    )
    fusion = replace(FUSION, photos=3)
    scores = pd.DataFrame({method: np.linspace(0, 1, 6) for method in FUSION.curves}).join(pairs)
    np.testing.assert_allclose(fusion.evidence(scores), add_up_photos(FUSION.evidence(scores), pairs, 3))


def test_a_single_methods_probabilities_rise_with_its_scores_to_the_last():
    own = np.array([-3.0, 0.0, 1.0, 2.0, 12.0, 60.0, 61.0, 80.0])
    plateau = np.array([0.01, 0.01, 0.4, 0.9, 0.9975, 0.9975, 0.9975, 0.9975])
    kept = in_own_order(plateau, own, own)
    assert (
        (np.diff(kept) > 1e-8).all() and np.abs(kept - plateau).max() <= 0.002 and (kept >= 0).all() and kept.max() <= 1
    )
    assert in_own_order(np.full(3, 0.5), np.ones(3), np.ones(3)).tolist() == [0.5] * 3


def test_listwise_of_one_right_and_one_wrong_candidate_is_a_logistic_regression_of_their_difference():
    rng = np.random.default_rng(3)
    queries = 400
    right, wrong = rng.normal(0.6, 1, (queries, 2)), rng.normal(0, 1, (queries, 2))
    odds = np.stack([right, wrong], 1).reshape(-1, 2)
    same, query = np.tile([True, False], queries), np.repeat(np.arange(queries), 2)
    apart = np.r_[right - wrong, wrong - right]
    reference = LogisticRegression(fit_intercept=False, C=np.inf).fit(apart, np.repeat([1, 0], queries))
    np.testing.assert_allclose(fit_listwise(odds, same, query), reference.coef_[0], atol=0.01)


def test_listwise_asks_nothing_of_what_all_candidates_of_a_query_share():
    pairs, same, _ = synthetic(6)
    odds = np.c_[pairs["global"], np.repeat(np.random.default_rng(1).normal(0, 50, 240), 10)]
    weights = fit_listwise(odds, same, pairs["query"].to_numpy(), free=1)
    alone = fit_listwise(odds[:, :1], same, pairs["query"].to_numpy())
    assert weights[0] == pytest.approx(alone[0], rel=1e-3) and weights[1] == pytest.approx(0, abs=1e-3)


def test_listwise_keeps_the_very_sure_above_the_sure():
    """A local score of 60 and one of 12 are both all but certain; what a weaker method says does not turn them."""
    rng = np.random.default_rng(8)
    count = 4000
    same = rng.random(count) < 0.1
    local = np.where(same, rng.gamma(4, 8, count), rng.gamma(1.5, 1.5, count))
    pairs = pd.DataFrame({"query": np.repeat(np.arange(400), 10), "local": local, "global": rng.normal(same * 1.0, 1)})
    asked = pd.DataFrame({"local": [60.0, 14.0], "global": [0.0, 1.0]})
    listwise = fit_fusion(pairs, same, np.ones(count), ["local", "global"], "logistic", rule="listwise")
    evidence = listwise.evidence(asked)
    assert evidence[0] > evidence[1]
