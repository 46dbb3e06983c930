"""LNBNN: hand-made scores, agreement with brute force, exclusion before the search, and independence of order."""

from dataclasses import replace

import faiss
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pelage.matching.local.sift_lnbnn as sift_lnbnn
from pelage.common.parallel import parallel_map
from pelage.matching.local.features import LocalFeatures
from pelage.matching.local.lnbnn import SCORES, build_index, lnbnn, match, nearest_rows
from pelage.matching.local.ranking import rank, score_by_side
from pelage.matching.local.search_recall import search_recall
from pelage.matching.local.sift_lnbnn import SiftLnbnn, score_gallery
from pelage.matching.matches import TOLD
from pelage.matching.placement import LEAST
from pelage.matching.rankings import PAIR
from pelage.split.protocols import ProtocolSet

SETTINGS = {"neighbours": 4, "shortlist": 10, "min_inliers": 4}
UNIT = 512 * np.sqrt(2)

METHOD = SiftLnbnn(**SETTINGS)


def features(descriptors, xy=None, weight=1.0) -> LocalFeatures:
    descriptors = np.asarray(descriptors, np.uint8).reshape(-1, 128)
    n = len(descriptors)
    xy = np.zeros((n, 2)) if xy is None else xy
    constant = [np.full(n, value, np.float32) for value in (4, 0)]
    weight = np.broadcast_to(np.float32(weight), n)
    return LocalFeatures(np.asarray(xy, np.float32), *constant, weight, descriptors, (80, 60))


def on_a_line(*values) -> np.ndarray:
    """Descriptors that differ in one number only, so that distances can be read off."""
    descriptors = np.zeros((len(values), 128), np.uint8)
    descriptors[:, 0] = values
    return descriptors


def coat(seed, n=40) -> LocalFeatures:
    rng = np.random.default_rng(seed)
    return features(rng.integers(0, 90, (n, 128)), rng.uniform([0, 0], [80, 60], (n, 2)))


def seen_again(original, seed, noise=4, shift=3) -> LocalFeatures:
    rng = np.random.default_rng(1000 + seed)
    descriptors = np.clip(original.descriptors + rng.integers(-noise, noise + 1, original.descriptors.shape), 0, 255)
    return features(descriptors, original.xy + shift)


def test_lnbnn_by_hand():
    distances = np.array([[0.0, 9, 16, 25], [4, 4, 4, 4], [1, 49, np.inf, np.inf], [7, np.inf, np.inf, np.inf]])
    expected = np.array([[5, 2, 1, 0], [0, 0, 0, 0], [6, 0, 0, 0], [0, 0, 0, 0]]) / UNIT
    np.testing.assert_allclose(lnbnn(distances), expected, rtol=0, atol=1e-15)
    assert lnbnn(np.full((2, 3), np.inf)).tolist() == [[0, 0, 0], [0, 0, 0]]


def test_other_scores_by_hand():
    """Squared distances 1, 4 and the normaliser 16; then one neighbour only, and an exact copy, which counts as 1."""
    distances = np.array([[1.0, 4, 16], [9, np.inf, np.inf], [0, 5, np.inf]])
    expected = {
        "lnbnn_squared": np.array([[15, 12, 0], [0, 0, 0], [4, 0, 0]]) / UNIT**2,
        "ratio": [[16, 4, 0], [0, 0, 0], [5, 0, 0]],
        "lnrat": np.log([[16, 4, 1], [1, 1, 1], [5, 1, 1]]),
        "count": [[1, 1, 0], [0, 0, 0], [1, 0, 0]],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(SCORES[name](distances), values, rtol=1e-12, err_msg=name)
    assert set(expected) | {"lnbnn"} == set(SCORES)


def test_matches_by_hand():
    """Two neighbours and a normaliser: the query's keypoint at 100 is nearest to 98, 105 and then 110."""
    index = build_index([features(on_a_line(110, 98)), features([]), features(on_a_line(0, 105), weight=[1, 0.25])])
    found = match(index, features(on_a_line(100)), np.ones(3, bool), neighbours=2)
    assert found.crop.tolist() == [0, 2] and found.candidate.tolist() == [1, 1] and found.query.tolist() == [0, 0]
    np.testing.assert_allclose(found.score, np.array([8, 5 * 0.5]) / UNIT)


def test_a_crop_that_is_not_allowed_takes_no_place_and_is_no_normaliser():
    index = build_index([features(on_a_line(100, 101, 99, 102)), features(on_a_line(110)), features(on_a_line(130))])
    found = match(index, features(on_a_line(100)), np.array([False, True, True]), neighbours=1)
    assert found.crop.tolist() == [1]
    np.testing.assert_allclose(found.score, 20 / UNIT)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.sampled_from([2, 6, 200]))
def test_neighbours_are_those_of_brute_force_also_with_ties_and_barred_crops(seed, k, levels):
    rng = np.random.default_rng(seed)
    crops = [features(rng.integers(0, levels, (rng.integers(0, 12), 128)) * (np.arange(128) < 3)) for _ in range(8)]
    queries = rng.integers(0, levels, (15, 128)) * (np.arange(128) < 3)
    allowed = rng.random(8) < 0.6
    index = build_index(crops)
    rows, distances = nearest_rows(index, queries, allowed, k)
    for query, found, distance in zip(queries, rows, distances, strict=True):
        exact = ((query - index.descriptors.astype(int)) ** 2).sum(axis=1)
        order = [row for row in np.argsort(exact, kind="stable") if allowed[index.crop[row]]][:k]
        assert found[: len(order)].tolist() == order and (found[len(order) :] == -1).all()
        assert distance[: len(order)].tolist() == exact[order].tolist() and np.isinf(distance[len(order) :]).all()


def test_many_equal_descriptors_end_the_search():
    index = build_index([features(on_a_line(*[7] * 300)), features(on_a_line(9))])
    rows, distances = nearest_rows(index, on_a_line(7), np.ones(2, bool), 3)
    assert rows.tolist() == [[0, 1, 2]] and distances.tolist() == [[0, 0, 0]]


def test_distances_do_not_depend_on_blocking_and_are_those_of_faiss():
    queries, index = coat(1, 64).descriptors, build_index([coat(seed, 100) for seed in range(5)])
    together = nearest_rows(index, queries, np.ones(5, bool), 5)
    alone = [nearest_rows(index, queries[i : i + 1], np.ones(5, bool), 5) for i in range(64)]
    assert (np.concatenate([rows for rows, _ in alone]) == together[0]).all()
    assert (np.concatenate([far for _, far in alone]) == together[1]).all()
    far, _ = faiss.knn(queries.astype(np.float32), index.descriptors.astype(np.float32), 5)
    assert (far == together[1]).all()


def test_an_animal_seen_again_comes_first_and_is_verified():
    gallery = [coat(seed) for seed in range(12)]
    queries = [seen_again(gallery[i], i) for i in (3, 7)]
    scores = score_gallery(queries, gallery, np.ones((2, 12), bool), **SETTINGS)
    assert scores.score.argmax(axis=1).tolist() == [3, 7]
    assert (scores.verified[[0, 1], [3, 7]] >= 40).all()
    assert (scores.score[[0, 1], [3, 7]] > 1).all() and ((scores.score > 1) == (scores.verified >= 4)).all()


@pytest.mark.parametrize("least, inlying", [(4, 4), (5, 0)])
def test_scores_by_hand(least, inlying):
    """Each of four keypoints is met exactly and misses the next one by 20: together 80 from 4, so 20,000 for 1000."""
    corners = np.array([[20, 20], [60, 20], [20, 50], [60, 50]])
    query = features(on_a_line(10, 60, 110, 160), corners)
    gallery = [features(on_a_line(30, 80, 130, 180), corners), query]
    scores = score_gallery([query], gallery, np.ones((1, 2), bool), neighbours=1, shortlist=2, min_inliers=least)
    total = 20_000 / UNIT
    np.testing.assert_allclose(scores.score, [[0, 1 + total if inlying else total / (1 + total)]])
    assert scores.verified.tolist() == [[0, inlying]]


def test_matches_that_agree_on_no_placement_do_not_verify():
    gallery = [coat(seed) for seed in range(6)]
    scattered = np.random.default_rng(5).permutation(gallery[2].xy) * 1000
    query = features(gallery[2].descriptors, scattered)
    scores = score_gallery([query], gallery, np.ones((1, 6), bool), **SETTINGS)
    assert scores.verified.sum() == 0 and scores.score.max() < 1 and scores.score.argmax() == 2


def test_only_the_shortlist_is_verified():
    gallery = [seen_again(coat(1), seed) for seed in range(6)]
    scores = score_gallery([coat(1)], gallery, np.ones((1, 6), bool), **{**SETTINGS, "shortlist": 2})
    assert (scores.verified > 0).sum() == 2


def test_a_crop_without_keypoints_scores_nothing():
    gallery = [coat(1), features([]), coat(2)]
    scores = score_gallery([features([]), coat(1)], gallery, np.ones((2, 3), bool), **SETTINGS)
    assert scores.score[0].tolist() == [0, 0, 0] and scores.score[1, 1] == 0
    assert score_gallery([coat(1)], [features([])], np.ones((1, 1), bool), **SETTINGS).score.tolist() == [[0]]
    assert score_gallery([], [], np.ones((0, 0), bool), **SETTINGS).score.shape == (0, 0)


def test_opposite_flanks_never_match_and_unknown_ones_may():
    gallery = [seen_again(coat(1), seed) for seed in range(4)]
    sides = np.array(["right", "unknown"], object), np.array(["left", "right", "unknown", "front"], object)
    scores = score_by_side(METHOD.score, [coat(1)] * 2, gallery, sides, np.ones((2, 4), bool), np.full(4, "L1"))
    assert (scores.score > 0).tolist() == [[False, True, True, True], [True, True, True, True]]


def protocol(queries, gallery, same_encounter=False) -> ProtocolSet:
    def rows(names):
        table = pd.DataFrame({"crop_id": names}, dtype=str)
        table["image_id"] = table["crop_id"].str.split("#").str[0]
        table["group"] = table["crop_id"].str[0]
        table["orientation"] = "left"
        table["identity"] = table["crop_id"].str[1]
        return table

    return ProtocolSet(rows(queries), rows(gallery), same_encounter)


CROPS = {
    f"{encounter}{photo}#0": coat(photo if encounter in "ab" else 50 + photo)
    for encounter in "abc"
    for photo in range(4)
}
A, B, C = (sorted(name for name in CROPS if name[0] == encounter) for encounter in "abc")


def ranked(sets, features=CROPS, depth=100, same_side=True):
    table, summary, *_ = rank(features, sets, depth, same_side, METHOD.score)
    return table.astype(dict.fromkeys(PAIR, str)), summary


def test_own_photo_and_own_encounter_are_no_candidates():
    table, summary = ranked({"disjoint": protocol(A, A + B), "closed": protocol(A, A + B, same_encounter=True)})
    disjoint, closed = (table[table["protocol"] == name] for name in ("disjoint", "closed"))
    assert set(disjoint["candidate"]) == set(B) and len(disjoint) == 16
    first = disjoint[disjoint["rank"] == 1]
    assert (first["candidate"].str[1:] == first["query"].str[1:]).all(), "own encounter took no place"
    assert not (closed["query"] == closed["candidate"]).any() and len(closed) == 4 * 7
    assert summary["disjoint"]["verified"] == 1.0 and 40 <= summary["disjoint"]["inliers"] < 44


def test_a_ranking_does_not_depend_on_row_order_or_workers(monkeypatch):
    table, _ = ranked({"open": protocol(A, B + C)})
    turned, _ = ranked({"open": protocol(A, (B + C)[::-1])})
    pd.testing.assert_frame_equal(table, turned)
    for workers in (1, 3):
        monkeypatch.setattr(sift_lnbnn, "parallel_map", lambda f, x, n=workers: parallel_map(f, x, n))
        pd.testing.assert_frame_equal(table, ranked({"open": protocol(A, B + C)})[0])


def test_a_query_of_two_protocols_is_scored_once(monkeypatch):
    asked = []
    plain = sift_lnbnn.score_gallery

    def counting(queries, *rest):
        asked.append(len(queries))
        return plain(queries, *rest)

    monkeypatch.setattr(sift_lnbnn, "score_gallery", counting)
    table, summary = ranked({"closed": protocol(A[:2], C), "open": protocol(A, C)})
    assert asked == [4]
    alone, _ = ranked({"open": protocol(A, C)})
    pd.testing.assert_frame_equal(table[table["protocol"] == "open"].reset_index(drop=True), alone)
    assert summary["open"]["queries"] == 4


@pytest.mark.parametrize("queries, gallery", [([], []), ([], B), (A, [])])
def test_empty_protocols(queries, gallery):
    table, summary = ranked({"disjoint": protocol(queries, gallery)})
    assert len(table) == 0 and summary["disjoint"]["queries"] == len(queries)


def test_crops_without_a_file_take_no_part_and_blank_ones_rank_last():
    some = {name: found for name, found in CROPS.items() if name != A[0]} | {B[1]: features([])}
    table, _ = ranked({"open": protocol(A, B)}, some)
    assert set(table["query"]) == set(A[1:])
    assert (table[table["candidate"] == B[1]]["score"] == 0).all() and (table[table["score"] == 0]["rank"] > 1).all()


def test_matches_of_the_first_candidates_add_up_to_their_scores():
    table, summary, matches, placement = rank(CROPS, {"open": protocol(A, B + C)}, 100, True, METHOD.score)
    told = matches.groupby(["query", "candidate"], sort=False)["score"].agg(["sum", "size"])
    first = table[table["rank"] == 1].set_index(["query", "candidate"])["score"]
    np.testing.assert_allclose(1 + told["sum"].loc[first.index], first, rtol=1e-5)
    assert told["size"].loc[first.index].mean() == pytest.approx(summary["open"]["inliers"])
    assert matches.groupby("query")["candidate"].nunique().max() <= 3
    enough = told.index[told["size"] >= LEAST]
    assert set(enough) <= set(placement[["query", "candidate"]].itertuples(index=False, name=None))
    assert placement.groupby("query", observed=True).size().max() <= TOLD
    for row in matches.iloc[::7].itertuples():
        for name, place in (
            (row.query, (row.query_x, row.query_y)),
            (row.candidate, (row.candidate_x, row.candidate_y)),
        ):
            shares = CROPS[name].xy / np.array(CROPS[name].size)
            assert np.abs(shares - np.array(place)).max(axis=1).min() < 1e-6


def test_matches_keep_their_crops_when_sides_are_scored_apart():
    gallery = [coat(5), seen_again(coat(1), 0), coat(6)]
    sides = np.array(["left", "right"], object), np.array(["left", "right", "left"], object)
    scores = score_by_side(METHOD.score, [coat(9), coat(1)], gallery, sides, np.ones((2, 3), bool), np.arange(3))
    assert (1, 1) in scores.agreed and set(scores.agreed) <= {(0, 0), (0, 2), (1, 1)}
    assert all(len(found) == scores.verified[pair] > 0 for pair, found in scores.agreed.items())


def test_the_recall_of_a_search_is_the_share_of_the_nearest_that_it_finds():
    crops = list(CROPS.values())
    assert search_recall(crops, METHOD.nearest) == 1.0

    def blind(_index):
        def nearest(index, descriptors, allowed, k):
            rows, squared = nearest_rows(index, descriptors, allowed, k)
            rows[:, 3:] = -1  # of five
            return rows, squared

        return nearest

    assert search_recall(crops, blind) == pytest.approx(3 / 5)
    cells = SiftLnbnn(exact=0, probes=2)
    assert 0.3 < search_recall(crops, cells.nearest) < search_recall(crops, replace(cells, probes=20).nearest)
