"""Rematching: shortlists joined, each pair matched once, and settings that name what is wrong with them."""

import copy

import numpy as np
import pandas as pd
import pytest

from pelage.common.errors import PelageError
from pelage.matching import rematch as module
from pelage.matching.learned_features import LearnedFeatures
from pelage.matching.lightglue import PairMatches
from pelage.matching.rankings import rankings_table
from pelage.matching.rematch import rematch, shortlist
from pelage.matching.rematchers import NEEDED, needed_weights, read_rematcher

PARAMS = {
    "variants": {"net": {"part": "flank"}, "muzzle": {"part": "face"}},
    "matchers": {"sift_lnbnn": {"part": "flank"}},
    "rematchers": {"glue": {"part": "flank", "features": "disk", "local": "sift_lnbnn", "global": "net"}},
}


def ranked(protocol: str, query: str, candidates: str) -> pd.DataFrame:
    scores = np.arange(len(candidates), 0, -1)[None]
    return rankings_table(protocol, [query], list(candidates), scores, np.ones_like(scores, bool), depth=9)


def features(count: int) -> LearnedFeatures:
    return LearnedFeatures(np.zeros((count, 2), np.float32), np.zeros((count, 4), np.float16), np.zeros(count), (9, 9))


def test_shortlists_are_joined_each_pair_once():
    first = pd.concat([ranked("open", "q", "abc"), ranked("closed", "q", "ab")])
    pairs = shortlist([first, ranked("open", "q", "cad")], [2, 2], None)
    assert set(pairs[pairs["protocol"] == "open"]["candidate"]) == {"a", "b", "c"} and len(pairs) == 5


def test_opposite_flanks_take_no_place_on_the_list():
    side = pd.Series({"q": "left", "a": "right", "b": "left", "c": "unknown", "d": "left"})
    assert shortlist([ranked("open", "q", "abcd")], [2], side)["candidate"].tolist() == ["b", "c"]
    assert shortlist([ranked("open", "q", "abcd")], [2], None)["candidate"].tolist() == ["a", "b"]


@pytest.mark.parametrize("score", ["matches", "inliers"])
def test_pairs_are_matched_once_and_ranked_by_sure_matches(monkeypatch, score):
    asked = []

    def match_pairs(network, queries, candidates, batch, adaptive, half):
        asked.extend(zip(map(len, queries), map(len, candidates), strict=True))
        places = [np.arange(len(candidate)) for candidate in candidates]
        return [PairMatches(place, place, np.full(len(place), 0.75)) for place in places]

    monkeypatch.setattr(module, "match_pairs", match_pairs)
    monkeypatch.setattr(module, "magsac_inliers", lambda query, candidate, found: np.arange(len(found.query)) % 2 == 0)
    pairs = pd.DataFrame(
        [("closed", "q", "a"), ("closed", "q", "b"), ("open", "q", "a"), ("open", "q", "gone")],
        columns=["protocol", "query", "candidate"],
    )
    crops = {"q": features(5), "a": features(2), "b": features(3)}
    table, matches = rematch(pairs, crops, None, score, confidence=0.5, batch=4, adaptive=True, half=True, depth=9)
    assert asked == [(5, 2), (5, 3)]
    assert table[["protocol", "candidate", "rank"]].to_numpy().tolist() == [
        ["closed", "b", 1], ["closed", "a", 2], ["open", "a", 1],
    ]  # fmt: skip
    expected = {"matches": [3.75, 2.75, 2.75], "inliers": [2.75, 1.75, 1.75]}[score]
    assert table["score"].tolist() == expected
    told = matches.groupby(["protocol", "query", "candidate"], sort=False).size().to_dict()
    count = {"matches": (3, 2), "inliers": (2, 1)}[score]
    assert told == {("closed", "q", "b"): count[0], ("closed", "q", "a"): count[1], ("open", "q", "a"): count[1]}


def test_no_pairs_give_an_empty_table():
    none = pd.DataFrame({"protocol": [], "query": [], "candidate": []}, dtype=str)
    assert all(table.empty for table in rematch(none, {}, None, "matches", 0.5, 4, True, True, 9))


def test_defaults_are_filled_in_and_weights_are_pinned():
    wanted = read_rematcher(PARAMS, "glue")
    assert wanted["features"] == "disk" and wanted["keypoints"] == 512
    for kind in NEEDED:
        for weight in needed_weights(kind):
            assert all(len(bytes.fromhex(digest)) == 32 for digest in (weight.member_sha256, weight.sha256))
            assert weight.licence and weight.source


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("features", "surf", "features is 'surf'"),
        ("score", "luck", "score is 'luck'"),
        ("local", "nothing", "local is 'nothing'"),
        ("global", "sift_lnbnn", "global is 'sift_lnbnn'"),
        ("global", "muzzle", "part face"),
        ("depth", 3, "unknown field 'depth'"),
    ],
)
def test_wrong_settings_are_named(field, value, message):
    params = copy.deepcopy(PARAMS)
    params["rematchers"]["glue"][field] = value
    with pytest.raises(PelageError, match=message):
        read_rematcher(params, "glue")


@pytest.mark.parametrize("name", ["net", "sift_lnbnn", "mlp"])
def test_a_name_that_another_method_has_is_refused(name):
    params = PARAMS | {"rematchers": {name: PARAMS["rematchers"]["glue"]}}
    with pytest.raises(PelageError, match="another method"):
        read_rematcher(params, name)
