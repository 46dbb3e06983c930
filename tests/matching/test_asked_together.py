"""Photos of one sighting asked together: by hand, and what holds for any ranking."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from pelage.matching.rankings import rank_pairs
from pelage.matching.sightings import ask_together
from pelage.split.protocols import ProtocolSet

PEOPLE = {"a": "Ada", "A": "Ada", "b": "Bo", "B": "Bo", "c": "Cy", "q": "Ada", "Q": "Ada", "r": "Ada", "z": "Bo"}
SIDE = {crop: "left" if crop.islower() else "right" for crop in PEOPLE}
TOGETHER = {"q": "s", "Q": "s", "r": "s", "z": "z"}


def rows(crops: str, encounter: str | None = None) -> pd.DataFrame:
    table = pd.DataFrame({"crop_id": list(crops), "image_id": list(crops)})
    group = [encounter or f"of {crop}" for crop in crops]
    told = {"identity": table["crop_id"].map(PEOPLE), "orientation": table["crop_id"].map(SIDE)}
    return table.assign(group=group, **told)


def asked(odds: dict[str, float], gallery: str = "aAbBc", **rules: bool) -> dict[str, dict[str, float]]:
    """Return by query what each candidate scores; `odds` has a pair's log-odds by its two letters."""
    queries = "".join(sorted({pair[0] for pair in odds}))
    pairs = pd.DataFrame([("closed", *pair) for pair in odds], columns=["protocol", "query", "candidate"])
    rankings = rank_pairs(pairs.assign(score=expit(list(odds.values()))), 100)
    sets = {"closed": ProtocolSet(rows(queries), rows(gallery), **rules)}
    found = ask_together(rankings, sets, TOGETHER, SIDE, PEOPLE)
    assert (found.groupby("query", observed=True)["rank"].min() == 1).all()
    return {
        query: {row.candidate: round(row.score, 3) for row in own.itertuples()}
        for query, own in found.groupby("query", observed=True)
    }


def test_the_other_flank_adds_how_far_an_individual_is_ahead_there():
    told = asked({"qa": -1, "qb": 0, "qc": -3, "QA": 2, "QB": -2})
    # right photos think least of Bo (-2): Ada is 4 ahead. Left ones least of Cy (-3): Ada is 2 ahead, Bo 3
    assert told["q"] == {"a": 3.0, "b": 0.0, "c": -3.0, "A": 1.0, "B": -3.0}
    assert told["Q"] == {"A": 4.0, "B": 1.0, "a": 0.0, "b": 1.0, "c": -2.0}
    assert next(iter(told["q"])) == "a", "the left photo alone says Bo"


def test_of_photos_of_one_flank_the_best_speaks():
    told = asked({"qa": -1, "qb": 0, "ra": 3, "rb": -2})
    assert told["q"] == told["r"] == {"a": 3.0, "b": 0.0}


def test_a_photo_of_unknown_side_counts_for_the_flank_that_the_others_show(monkeypatch):
    monkeypatch.setitem(SIDE, "r", "unknown")
    told = asked({"qa": -1, "qb": 0, "ra": 3, "rb": -2})
    assert told["q"] == told["r"] == {"a": 3.0, "b": 0.0}, "no evidence of its own is added"
    monkeypatch.setitem(SIDE, "q", "front")
    assert asked({"qa": -1, "qb": 0, "ra": 3, "rb": -2}) == told


def test_where_both_flanks_are_shown_it_is_asked_alone(monkeypatch):
    odds = {"qa": -1, "qb": 0, "QA": 2, "QB": -2}
    told = asked(odds)
    monkeypatch.setitem(SIDE, "r", "unknown")
    with_it = asked(odds | {"ra": 3, "rb": -2})
    assert with_it.pop("r") == {"a": 3.0, "b": -2.0} and with_it == told


def test_a_photo_alone_keeps_its_own_order():
    odds = {"za": -1.5, "zb": 0.5, "zc": 0.25}
    assert asked(odds)["z"] == {"b": 0.5, "c": 0.25, "a": -1.5}


def test_what_may_not_answer_one_photo_is_not_passed_on_to_it():
    told = asked({"qa": -1, "qb": 0, "QB": 1.0, "zb": 1}, own_individual=False)
    assert "a" not in told["q"] and "A" not in told["Q"]
    assert told["q"]["b"] == 0.0 and told["q"]["B"] == -1.0


def test_scores_that_are_no_probabilities_are_added_up_as_they_are():
    pairs = pd.DataFrame({"protocol": "closed", "query": list("qqQQ"), "candidate": list("abAB")})
    rankings = rank_pairs(pairs.assign(score=[0.1, 0.2, 0.5, 0.25]), 10)
    sets = {"closed": ProtocolSet(rows("Qq"), rows("aAbB"))}
    found = ask_together(rankings, sets, TOGETHER, SIDE, PEOPLE, calibrated=False)
    first = found[found["rank"] == 1].set_index("query")
    assert {query: PEOPLE[crop] for query, crop in first["candidate"].items()} == {"Q": "Ada", "q": "Ada"}
    assert first["score"].to_dict() == pytest.approx({"Q": 0.5, "q": 0.35})


def test_neither_the_size_of_blocks_nor_the_order_of_rows_changes_anything():
    rng = np.random.default_rng(3)
    crops = [f"{animal}{side}{number}" for animal in range(6) for side in "lr" for number in range(2)]
    queries = [f"q{crop}" for crop in crops]
    people = {name: name.lstrip("q")[0] for name in (*crops, *queries)}
    side = {name: "left" if "l" in name else "right" for name in people}
    split = pd.DataFrame({"crop_id": list(people), "image_id": list(people), "group": list(people)})
    split = split.assign(identity=split["crop_id"].map(people), orientation=split["crop_id"].map(side))
    asks = split["crop_id"].isin(queries)
    sets = {"closed": ProtocolSet(split[asks].reset_index(drop=True), split[~asks].reset_index(drop=True))}
    pairs = pd.MultiIndex.from_product([["closed"], queries, crops], names=["protocol", "query", "candidate"])
    pairs = pairs.to_frame(index=False).assign(score=rng.random(len(pairs)))
    pairs = pairs[pairs["query"].map(side) == pairs["candidate"].map(side)]
    told = {"sighting": {query: query[1] for query in queries}, "side": side, "identity": people}
    whole = ask_together(rank_pairs(pairs, 100), sets, **told)
    for other, rows_at_once in ((pairs, 1), (pairs.sample(frac=1, random_state=1), 30)):
        pd.testing.assert_frame_equal(ask_together(rank_pairs(other, 100), sets, **told, rows=rows_at_once), whole)
    assert len(whole) == len(queries) * len(crops), "each flank has the other's candidates, too"


def test_nothing_asked_is_an_empty_table():
    sets = {"closed": ProtocolSet(rows("").astype(object), rows("").astype(object))}
    nothing = rank_pairs(pd.DataFrame({"protocol": [], "query": [], "candidate": [], "score": []}).astype(object), 1)
    assert ask_together(nothing, sets, {}, {}, {}).empty
