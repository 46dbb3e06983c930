"""Where matches lie: hand-made pairs, and a fusion that learns to leave what does not lie on an animal."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pelage.matching.fusion import PLACED, POOL, fit_fusion, fuse
from pelage.matching.placement import COUNTS, FEATURES, LEAST, SURE, WIDTH, lie, placed_beside, placement_table

ON_BODY = np.array([[0.4, 0.5, 0.4, 0.5, 1.0], [0.5, 0.5, 0.5, 0.5, 1.0], [0.6, 0.5, 0.6, 0.5, 1.0]])


def moved(matches, query=(0.0, 0.0), candidate=(0.0, 0.0)):
    return matches + np.array([*query, *candidate, 0.0])


def told(values):
    """All but how sure matches are, which a matcher without probabilities does not say."""
    return pytest.approx([*values, np.nan], nan_ok=True)


def test_features_by_hand():
    scatter, off = np.sqrt(2 * 0.1**2 / 3), 2 * WIDTH**2
    here = np.log1p(1 + 2 * np.exp(-0.02 / off))
    assert lie(ON_BODY) == told([scatter, 0, 0, 0, here])
    there = np.log1p(np.exp(-(np.array([0.05, 0.09, 0.17]) / off)).sum())
    assert lie(moved(ON_BODY, query=(0.3, 0))) == told([scatter, 0, 0.09, 0.09, there])
    there = np.log1p(np.exp(-(np.array([0.17, 0.09, 0.05]) / off)).sum())
    assert lie(moved(ON_BODY, candidate=(-0.3, 0.4))) == told([scatter, 0, 0.09, 0.25, there])
    there = np.log1p(np.exp(-(np.array([0.02, 0.08, 0.18]) / off)).sum())
    assert lie(moved(ON_BODY, query=(0.2, 0), candidate=(0.2, 0))) == told([scatter, 0, 0.04, 0, there])


def test_a_match_counts_by_its_score():
    far = np.array([[0.9, 0.9, 0.1, 0.1, 1e-6]])
    assert lie(np.vstack([ON_BODY, far]))[:4] == pytest.approx(lie(ON_BODY)[:4], abs=1e-3)


def test_matches_of_a_neighbour_at_the_edge_count_for_less_than_as_many_in_the_middle():
    neighbour = moved(np.repeat(ON_BODY, 20, axis=0) * [0.5, 1, 1, 1, 1], query=(0.7, 0))
    alone, both = (lie(matches)[4] for matches in (ON_BODY, np.vstack([ON_BODY, neighbour])))
    crowd = lie(np.repeat(ON_BODY, 21, axis=0))[4]
    assert alone < both < crowd - 1


def test_few_sure_matches_count_for_more_than_many_that_are_barely_believed():
    def sure(*likely):
        matches = np.repeat(ON_BODY[:1], len(likely), axis=0)
        matches[:, 4] = likely
        return lie(matches, likely=True)[FEATURES.index("sure")]

    assert sure(0.9, 0.5, 1.0) == pytest.approx(np.log1p(0.9**SURE + 0.5**SURE + 1))
    assert sure(0.99, 0.99, 0.99) > sure(*[0.6] * 60) > 0


@pytest.mark.parametrize("swap", [[2, 3, 0, 1, 4]])
def test_it_is_the_same_which_of_the_two_asks_and_however_matches_are_ordered(swap):
    matches = np.random.default_rng(1).random((20, 5))
    assert lie(matches[:, swap], likely=True) == pytest.approx(lie(matches, likely=True))
    assert lie(matches[::-1], likely=True) == pytest.approx(lie(matches, likely=True))


def test_few_matches_tell_nothing():
    assert lie(ON_BODY[: LEAST - 1]) is None
    assert len(placement_table([("open", "a", "b", None)])) == 0
    assert list(placement_table([]).columns) == ["protocol", "query", "candidate", *FEATURES]


def test_what_methods_tell_stands_beside_pairs():
    tables = {
        "one": placement_table([("open", "a", "b", lie(ON_BODY)), ("open", "a", "z", lie(ON_BODY))]),
        "two": placement_table([("open", "a", "c", lie(ON_BODY)), ("other", "a", "b", lie(ON_BODY))]),
        "none": placement_table([]),
    }
    pairs = pd.DataFrame({"protocol": ["open"] * 3, "query": ["a"] * 3, "candidate": ["c", "d", "b"]})
    beside = placed_beside(pairs.astype("category"), tables)
    assert len(beside) == 3 and len(beside.columns) == 3 + 3 * len(FEATURES)
    assert beside["one:scatter_x"].notna().tolist() == [False, False, True]
    assert beside["two:scatter_x"].notna().tolist() == [True, False, False]
    assert beside["none:shift"].isna().all()
    assert beside.loc[2, [f"one:{name}" for name in FEATURES]].tolist() == pytest.approx(lie(ON_BODY), nan_ok=True)


def herd(seed, individuals=24):
    """Rankings of a matcher that neighbours at the edge of crops take in as often as not, and where its matches lie."""
    rng = np.random.default_rng(seed)
    names = [f"L{number:02d}" for number in range(individuals)]
    rows, where, identity = [], [], {}
    for protocol in ("validation", "disjoint"):
        for number, name in enumerate(names):
            query = f"{protocol}-{name}-q"
            identity[query] = name
            for other in (name, names[(number + 1) % individuals], names[(number + 2) % individuals]):
                candidate = f"{other}-g"
                identity[candidate] = other
                score = rng.normal(3.0 if other == name else 2.6, 1.0)
                rows.append((protocol, query, candidate, score))
                aside = (0.0, 0.0) if other == name else (rng.choice([-0.35, 0.35]), 0.0)
                matches = moved(ON_BODY + rng.normal(0, 0.02, (3, 5)), query=aside)
                where.append((protocol, query, candidate, lie(matches)))
    table = pd.DataFrame(rows, columns=["protocol", "query", "candidate", "score"])
    table["rank"] = table.groupby(["protocol", "query"])["score"].rank(ascending=False).astype(int)
    return table.astype({"protocol": "category", "query": "category", "candidate": "category"}), where, identity


def test_a_fusion_learns_that_an_animal_is_in_the_middle():
    table, where, identity = herd(1)
    placement = {"matcher": placement_table(where)}

    def right(rule):
        made = fuse({"matcher": table, "again": table}, identity, 40, "logistic", 1, rule, placement)
        first = made.rankings[(made.rankings["rank"] == 1) & (made.rankings["protocol"] == "disjoint")]
        return np.mean([identity[a] == identity[b] for a, b in zip(first["query"], first["candidate"], strict=True)])

    assert right(PLACED) > 0.9 > 0.7 > right(POOL)


def test_where_no_matches_lie_there_are_none_to_count_and_the_rest_is_unknown():
    """What is taken where nothing is told: no count, and the mean of what says where."""
    rng = np.random.default_rng(3)
    scores = pd.DataFrame({f"matcher:{name}": rng.random(80) + 1 for name in FEATURES})
    scores["matcher"] = rng.random(80)
    scores.loc[:9, [f"matcher:{name}" for name in FEATURES]] = np.nan
    same, means = rng.random(80) < 0.5, scores.mean()
    fusion = fit_fusion(scores, same, np.ones(80), ["matcher"], "logistic", rule=PLACED)
    for name in FEATURES:
        assert fusion.place[f"matcher:{name}"][1] == (0 if name in COUNTS else pytest.approx(means[f"matcher:{name}"]))
    usual = scores.iloc[:1].assign(**{column: value for column, (_, value) in fusion.place.items()})
    assert fusion.probability(usual) == pytest.approx(fusion.probability(scores.iloc[:1]))


def test_where_nothing_lies_the_pool_is_what_it_was():
    table, _, identity = herd(2)
    made = [fuse({"matcher": table, "b": table}, identity, 40, "logistic", 1, rule) for rule in (POOL, PLACED)]
    pd.testing.assert_frame_equal(made[0].rankings, made[1].rankings)
