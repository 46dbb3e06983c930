"""Rematching: shortlists joined, each pair matched once, and settings that name what is wrong with them."""

import copy
import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from kornia.feature import LightGlue

from pelage.common.errors import PelageError
from pelage.common.memo import Memo
from pelage.matching.learned import rematch as module
from pelage.matching.learned.features import LearnedFeatures
from pelage.matching.learned.lightglue import Effort, PairMatches
from pelage.matching.learned.rematch import rematch, shortlist
from pelage.matching.learned.rematchers import needed_weights, read_rematcher, stood_on
from pelage.matching.rankings import rankings_table

PARAMS = {
    "variants": {"net": {"part": "flank"}, "muzzle": {"part": "face"}},
    "matchers": {"sift_lnbnn": {"part": "flank"}},
    "rematchers": {
        "glue": {"part": "flank", "features": "disk", "network": "glue", "local": "sift_lnbnn", "global": "net"},
        "snout": {"part": "face", "features": "disk", "network": "snout", "local": "sift_lnbnn", "global": "muzzle"},
    },
}

EFFORT = Effort(batch=4, adaptive=True, give_up=0, glance=0, half=True)
TWO = dataclasses.replace(EFFORT, batch=2)


def ranked(protocol: str, query: str, candidates: str) -> pd.DataFrame:
    scores = np.arange(len(candidates), 0, -1)[None]
    return rankings_table(protocol, [query], list(candidates), scores, np.ones_like(scores, bool), depth=9)


def features(count: int) -> LearnedFeatures:
    return LearnedFeatures(np.zeros((count, 2), np.float32), np.zeros((count, 4), np.float16), np.zeros(count), (9, 9))


def test_shortlists_are_joined_each_pair_once():
    first = pd.concat([ranked("open", "q", "abc"), ranked("closed", "q", "ab")])
    pairs = shortlist([first, ranked("open", "q", "cad")], [2, 2], None)
    assert set(pairs[pairs["protocol"] == "open"]["candidate"]) == {"a", "b", "c"} and len(pairs) == 5


def test_a_right_candidate_that_is_told_whatever_its_rank_is_on_no_list():
    scores, may = np.arange(9, 0, -1)[None], np.ones((1, 9), bool)
    told = rankings_table("open", ["q"], list("abcdefghi"), scores, may, 3, np.arange(9)[None] == 7)
    assert told[["candidate", "rank"]].to_numpy().tolist() == [["a", 1], ["b", 2], ["c", 3], ["h", 8]]
    side = pd.Series({name: "right" if name == "b" else "left" for name in "qabcdefghi"})
    assert shortlist([told], [4], side)["candidate"].tolist() == ["a", "c"]


def test_opposite_flanks_take_no_place_on_the_list():
    side = pd.Series({"q": "left", "a": "right", "b": "left", "c": "unknown", "d": "left"})
    assert shortlist([ranked("open", "q", "abcd")], [2], side)["candidate"].tolist() == ["b", "c"]
    assert shortlist([ranked("open", "q", "abcd")], [2], None)["candidate"].tolist() == ["a", "b"]


@pytest.mark.parametrize("score", ["matches", "inliers"])
def test_pairs_are_matched_once_and_ranked_by_sure_matches(monkeypatch, tmp_path, score):
    asked = []

    def match_pairs(network, queries, candidates, effort):
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
    memo = Memo("glue", 1, {}, tmp_path)
    table, matches, placement = rematch(pairs, crops, None, score, 0.5, EFFORT, depth=9, memo=memo, workers=2)
    assert asked == [(5, 2), (5, 3)]
    assert table[["protocol", "candidate", "rank"]].to_numpy().tolist() == [
        ["closed", "b", 1], ["closed", "a", 2], ["open", "a", 1],
    ]  # fmt: skip
    expected = {"matches": [3.75, 2.75, 2.75], "inliers": [2.75, 1.75, 1.75]}[score]
    assert table["score"].tolist() == expected
    told = matches.groupby(["protocol", "query", "candidate"], sort=False).size().to_dict()
    count = {"matches": (3, 2), "inliers": (2, 1)}[score]
    assert told == {("closed", "q", "b"): count[0], ("closed", "q", "a"): count[1], ("open", "q", "a"): count[1]}
    of_three = [("closed", "q", "b")] if score == "matches" else []
    assert placement[["protocol", "query", "candidate"]].apply(tuple, axis=1).tolist() == of_three


def test_two_crops_that_ask_for_one_another_are_matched_once(monkeypatch, tmp_path):
    rng = np.random.default_rng(0)
    crops = {name: dataclasses.replace(features(4), xy=rng.random((4, 2)).astype(np.float32)) for name in "ab"}
    crops["c"], asked = features(0), []

    def match_pairs(network, queries, candidates, effort):
        asked.append(len(queries))
        return [
            PairMatches(np.array([0, 1, 3]), np.array([2, 1, 0]), np.array([0.9, 0.8, 0.7], np.float32))
            for _ in queries
        ]

    monkeypatch.setattr(module, "match_pairs", match_pairs)
    both = [("disjoint", "a", "b"), ("closed", "b", "a"), ("disjoint", "b", "a"), ("disjoint", "b", "gone")]
    pairs = pd.DataFrame(both, columns=["protocol", "query", "candidate"])
    memo = Memo("glue", 1, {}, tmp_path)
    table, matches, placement = rematch(pairs, crops, None, "matches", 0.5, EFFORT, 9, memo, workers=2)
    assert asked == [1] and table["score"].tolist() == pytest.approx([3.8] * 3)
    assert set(table[["protocol", "query", "candidate"]].itertuples(index=False, name=None)) == set(both[:3])
    ends = {key: rows.to_numpy()[:, 3:].astype(float) for key, rows in matches.groupby(["protocol", "query"])}
    np.testing.assert_allclose(ends["disjoint", "a"][:, :2], crops["a"].xy[[0, 1, 3]] / 9, rtol=1e-6)
    np.testing.assert_allclose(ends["disjoint", "b"][:, :2], crops["b"].xy[[2, 1, 0]] / 9, rtol=1e-6)
    np.testing.assert_array_equal(ends["disjoint", "b"], ends["closed", "b"])
    np.testing.assert_array_equal(ends["disjoint", "a"], ends["disjoint", "b"][:, [2, 3, 0, 1, 4]])
    assert placement.drop(columns=["protocol", "query", "candidate"]).nunique().eq(1).all() and len(placement) == 3


def test_no_pairs_give_an_empty_table(tmp_path):
    none = pd.DataFrame({"protocol": [], "query": [], "candidate": []}, dtype=str)
    tables = rematch(none, {}, None, "matches", 0.5, EFFORT, 9, Memo("glue", 1, {}, tmp_path), workers=2)
    assert all(table.empty for table in tables)


def test_a_deeper_shortlist_begins_with_a_shallower_one():
    rankings = [pd.concat([ranked("open", query, "abcdef") for query in "pqr"]), ranked("open", "q", "fedcba")]
    deep, shallow = (shortlist(rankings, [depth, depth], None) for depth in (4, 2))
    assert len(shallow) == 8 and deep.head(len(shallow)).equals(shallow)


def test_a_killed_rematch_goes_on_with_the_block_where_it_ended(monkeypatch, tmp_path):
    rng = np.random.default_rng(0)
    crops = {
        name: LearnedFeatures(rng.random((5, 2), np.float32), np.eye(5, 4, dtype=np.float16), np.ones(5), (9, 9))
        for name in "qabcdef"
    }
    pairs = pd.DataFrame({"protocol": "open", "query": "q", "candidate": list("abcdef")})
    done, last = [], 3

    def match_pairs(network, queries, candidates, effort):
        if len(done) == last:
            raise KeyboardInterrupt
        done.append(len(queries))
        found = np.arange(5)
        return [PairMatches(found, found, candidate.xy[:, 0] / 2 + 0.5) for candidate in candidates]

    def run(folder: str) -> tuple[pd.DataFrame, ...]:
        memo = Memo("glue", 1, {}, tmp_path / folder)
        return rematch(pairs, crops, None, "matches", 0.5, TWO, 9, memo, workers=1)

    monkeypatch.setattr(module, "BATCHES_AT_ONCE", 1)
    monkeypatch.setattr(module, "match_pairs", match_pairs)
    whole = run("whole")
    done, last = [], 2
    with pytest.raises(KeyboardInterrupt):
        run("killed")
    done, last = [], 3
    again = run("killed")
    assert done == [2], "two of three blocks are recalled"
    assert all(left.equals(right) for left, right in zip(whole, again, strict=True)) and len(whole[1]) == 15
    crops["f"] = dataclasses.replace(crops["f"], xy=crops["a"].xy)
    run("killed")
    assert done == [2, 2], "a block with another crop is matched anew"


def test_defaults_are_filled_in_and_weights_are_pinned():
    wanted = read_rematcher(PARAMS, "glue")
    assert wanted["features"] == "disk" and wanted["keypoints"] == 512
    for kind in ("aliked", "disk"):
        for weight in needed_weights(kind):
            assert all(len(bytes.fromhex(digest)) == 32 for digest in (weight.member_sha256, weight.sha256))
            assert weight.licence and weight.source
    assert [weight.file for weight in needed_weights("superpoint")] == ["superpoint_v1.pth", "superpoint_lightglue.pth"]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("features", "surf", "features is 'surf'"),
        ("score", "luck", "score is 'luck'"),
        ("network", None, "network is None; it must be one of glue, snout"),
        ("network", "sift_lnbnn", "network is 'sift_lnbnn'"),
        ("local", "nothing", "local is 'nothing'"),
        ("local", ["sift_lnbnn"], r"local is \['sift_lnbnn'\]"),
        ("local", "glue", "local is 'glue'; it must be one of sift_lnbnn"),
        ("local", "snout", "part face"),
        ("global", "sift_lnbnn", "global is 'sift_lnbnn'"),
        ("global", "muzzle", "part face"),
        ("depth", 3, "unknown field 'depth'"),
        ("glance", 0, "rematchers.glue.glance is 0; it must be a whole number from 1"),
        ("own_shortlist", -1, "own_shortlist is -1; it must be a whole number from 0"),
        ("give_up", 2.5, "give_up is 2.5; it must be a whole number from 0"),
        ("tuning", {"pairs": True}, "tuning.pairs is True; it must be a whole number from 1"),
        ("tuning", {"drawn_from": -1}, "tuning.drawn_from is -1; it must be a whole number from 0"),
        ("tuning", {"drawn_from": 9}, "tuning.drawn_from is 9, but without vary no keypoints are drawn"),
        ("tuning", {"vary": "often"}, "tuning.vary is 'often'; it must be true or false"),
        ("tuning", {"keep": "first"}, r"tuning\.keep is 'first'"),
        ("half", 1, "half is 1; it must be true or false"),
    ],
)
def test_wrong_settings_are_named(field, value, message):
    params = copy.deepcopy(PARAMS)
    params["rematchers"]["glue"][field] = value
    with pytest.raises(PelageError, match=message):
        read_rematcher(params, "glue")


def test_a_rematcher_may_compare_the_shortlist_of_another_but_none_that_needs_its_own():
    glue = PARAMS["rematchers"]["glue"]
    rematchers = {"glue": glue, "again": glue | {"local": "glue"}, "third": glue | {"local": "again"}, "odd": 7}
    assert stood_on(rematchers, "third") == ["third", "again", "glue", "sift_lnbnn"]
    assert read_rematcher(PARAMS | {"rematchers": rematchers}, "third")["local"] == "again"
    rematchers["glue"] = glue | {"local": "third"}
    assert stood_on(rematchers, "third") == ["third", "again", "glue"]
    for name in ("glue", "again", "third"):
        with pytest.raises(PelageError, match="it must be one of sift_lnbnn"):
            read_rematcher(PARAMS | {"rematchers": rematchers}, name)


def test_a_rematcher_may_match_by_the_network_of_another():
    glue = PARAMS["rematchers"]["glue"]
    again = glue | {"local": "glue"}
    rematchers = {"glue": glue | {"tuning": {"epochs": 2}}, "again": again, "third": again | {"network": "again"}}
    rematchers |= {"tuned": again | {"tuning": {"epochs": 1}}, "unlike": again | {"features": "aliked"}}
    wrong = {
        "third": "network is again, which itself matches by the network of glue. Name that one",
        "tuned": "by the network of glue, so its own tuning would be of no use",
        "unlike": "has aliked keypoints, which the network of glue does not know",
    }
    assert read_rematcher(PARAMS | {"rematchers": rematchers}, "again")["network"] == "glue"
    for name, message in wrong.items():
        with pytest.raises(PelageError, match=message):
            read_rematcher(PARAMS | {"rematchers": rematchers}, name)


def test_workers_change_no_digit(monkeypatch, tmp_path):
    torch.manual_seed(0)
    network = LightGlue(features=None, input_dim=128, n_layers=2, descriptor_dim=64, num_heads=2).eval()
    with torch.no_grad():
        for assignment in network.log_assignment:
            assignment.final_proj.weight *= 6
    descriptors = np.random.default_rng(0).normal(size=(56, 128)).astype(np.float16)
    xy = np.random.default_rng(1).random((56, 2), np.float32)
    crops = {
        name: LearnedFeatures(xy[:count], descriptors[:count], np.ones(count), (1, 1))
        for name, count in zip("qabcdef", (40, 40, 48, 40, 56, 32, 48), strict=True)
    }
    pairs = pd.DataFrame({"protocol": "open", "query": "q", "candidate": list("abcdef")})
    monkeypatch.setattr(module, "BATCHES_AT_ONCE", 1)
    tables = []
    for workers in (1, 3):
        memo = Memo("glue", workers, {}, tmp_path)
        tables.append(rematch(pairs, crops, network, "matches", 0.0, TWO, 9, memo, workers)[0])
    assert memo.misses == 3 and tables[0]["score"].nunique() > 1
    assert tables[0].equals(tables[1])
