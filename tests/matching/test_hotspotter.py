"""HotSpotter: WBIA's own small cases, planted animals, exclusion, and independence of order and workers."""

import faiss
import faiss.contrib.torch_utils
import numpy as np
import pandas as pd
import pytest

from pelage.common.parallel import parallel_map
from pelage.common.seeds import generator
from pelage.matching.local import hotspotter, inverted_index, lnbnn
from pelage.matching.local.hessian_affine import AffineFeatures
from pelage.matching.local.hotspotter import HotSpotter, photo_scores, shortlist
from pelage.matching.local.inverted_index import approximate_search
from pelage.matching.local.lnbnn import Index, Matches, build_index, nearest_rows
from pelage.matching.local.ranking import Scores, rank
from pelage.split.protocols import ProtocolSet

PRESETS = {name: HotSpotter(**values) for name, values in HotSpotter.presets.items()}


def matches(*photos) -> Matches:
    """Matches worth 1 of the given query keypoints with each photo."""
    crop = np.repeat(np.arange(len(photos)), list(map(len, photos)))
    query = np.concatenate([np.array(photo, int) for photo in photos])
    order = np.lexsort((crop, query))
    return Matches(crop[order], query[order], query[order], np.ones(len(query)))


def test_names_are_scored_as_in_wbia():
    """A keypoint speaks once for a name, with its best match (`name_scoring.py`)."""
    found = matches([0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3], [4, 5, 6, 3], [0, 1, 2, 3, 4])
    ranked, photo, of_name = photo_scores(found, np.array([0, 0, 1, 1, 2]), alone=False)
    assert of_name.tolist() == [4, 7, 5] and photo.tolist() == [4, 4, 4, 4, 5]
    assert ranked.tolist() == [4, 4, 7, 4, 5], "the name's score stands at its best photo"
    worth = Matches(np.array([0, 1, 1]), np.array([0, 0, 1]), np.zeros(3, int), np.array([0.2, 0.5, 0.1]))
    assert photo_scores(worth, np.array([0, 0]), alone=False)[2].tolist() == [0.6]
    assert photo_scores(worth, np.array([0, 1]), alone=True)[2].tolist() == [0.2, 0.6]
    nothing = matches([], [])
    assert photo_scores(nothing, np.array([0, 1]), alone=False)[0].tolist() == [0, 0]


def test_a_photo_matched_twice_by_a_keypoint_gets_no_more_than_its_name():
    twice = Matches(np.array([0, 0, 1]), np.zeros(3, int), np.arange(3), np.array([0.5, 0.4, 0.6]))
    ranked, photo, of_name = photo_scores(twice, np.array([0, 0]), alone=False)
    assert photo.tolist() == [0.9, 0.6] and of_name.tolist() == [0.6] and ranked.tolist() == [0.6, 0.6]


def test_the_shortlist_is_that_of_wbia():
    """Photos 11 to 17 of the names 21, 21, 21, 22, 22, 23 and 24 (`scoring.py`)."""
    name, photo = np.array([0, 0, 0, 1, 1, 2, 3]), np.array([6.0, 2, 3, 5, 6, 3, 2])
    chosen = shortlist(name, photo, np.array([8.0, 9, 5, 4]), names=3, photos=2)
    assert [11 + place for place in chosen] == [15, 14, 11, 13, 16]
    assert shortlist(name, 0 * photo, np.zeros(4), 3, 2) == []


def coat(seed, n=40) -> AffineFeatures:
    rng = np.random.default_rng(seed)
    shape = np.c_[rng.uniform(3, 8, n), rng.normal(0, 1, n), rng.uniform(3, 8, n)].astype(np.float32)
    xy = rng.uniform([0, 0], [80, 60], (n, 2)).astype(np.float32)
    weight = rng.uniform(0.2, 1, n).astype(np.float32)
    return AffineFeatures(xy, shape, weight, rng.integers(0, 90, (n, 128)).astype(np.uint8), (80, 60))


def seen_again(original, seed, scale=1.2) -> AffineFeatures:
    rng = np.random.default_rng(1000 + seed)
    noise = rng.integers(-4, 5, original.descriptors.shape)
    descriptors = np.clip(original.descriptors + noise, 0, 255).astype(np.uint8)
    size = tuple(round(scale * side) for side in original.size)
    return AffineFeatures(original.xy * scale, original.shape * scale, original.weight, descriptors, size)


GALLERY = [coat(seed) for seed in range(12)]
NAMES = np.array([f"L{seed // 2}" for seed in range(12)], object)


@pytest.mark.parametrize("preset", PRESETS)
def test_an_animal_seen_again_comes_first_and_is_verified(preset):
    queries = [seen_again(GALLERY[place], place) for place in (3, 7)]
    scores = PRESETS[preset].score(queries, GALLERY, np.ones((2, 12), bool), NAMES)
    assert scores.score.argmax(axis=1).tolist() == [3, 7]
    assert (scores.verified[[0, 1], [3, 7]] >= 40).all()
    assert ((scores.score > 1) == (scores.verified >= 4)).all() and (scores.score[scores.verified == 0] < 1).all()


def test_scores_by_hand():
    """Seven keypoints meet their partners exactly and miss the next ones by 10 of 512 sqrt 2 each, at weight 1/4."""
    steps = np.zeros((7, 128), np.uint8)
    steps[:, 0] = np.arange(7) * 30
    xy = np.array([[x, y] for x in (10, 40) for y in (10, 20, 40)] + [[60, 50]], np.float32)
    shape, weight = np.tile(np.float32([4, 0, 4]), (7, 1)), np.full(7, 0.25, np.float32)
    query = AffineFeatures(xy, shape, weight, steps, (80, 60))
    near = AffineFeatures(
        xy[::-1], shape, weight, steps + np.uint8(10) * (np.arange(128) == 0).astype(np.uint8), (80, 60)
    )
    method = HotSpotter(neighbours=1)
    scores = method.score([query], [near, query], np.ones((1, 2), bool), np.array(["a", "b"], object))
    total = 1000 / (7 * 0.25) * 7 * 10 / (512 * np.sqrt(2)) * 0.25
    np.testing.assert_allclose(scores.score, [[0, 1 + total]])
    few = [features.take(np.arange(6)) for features in (query, near)]
    scores = method.score(few[:1], [few[1], few[0]], np.ones((1, 2), bool), np.array(["a", "b"], object))
    assert scores.verified.tolist() == [[0, 0]] and 0 < scores.score[0, 1] < 1, "six keep a place, below all verified"


def test_keypoints_off_the_animal_ask_nothing():
    query = seen_again(GALLERY[3], 0)
    off = np.arange(40) < 20
    half = AffineFeatures(query.xy, query.shape, np.where(off, 0, query.weight), query.descriptors, query.size)
    found, other = (
        PRESETS["wbia"].score([some], GALLERY, np.ones((1, 12), bool), NAMES) for some in (half, query.take(~off))
    )
    assert (found.score == other.score).all() and found.verified[0, 3] >= 20


def test_blank_crops_match_nothing():
    blank = GALLERY[0].take(np.zeros(0, int))
    for method in PRESETS.values():
        assert method.score([blank], GALLERY, np.ones((1, 12), bool), NAMES).score.max() == 0
        assert method.score(GALLERY[:1], [blank], np.ones((1, 1), bool), NAMES[:1]).score.tolist() == [[0]]
        assert method.score([], [], np.ones((0, 0), bool), NAMES[:0]).score.shape == (0, 0)


@pytest.mark.parametrize("flat", [inverted_index.FLAT, 0], ids=["one level", "two levels"])
def test_the_inverted_file_finds_what_brute_force_does_when_all_cells_are_searched(flat, monkeypatch):
    lnbnn._stacked.cache_clear()
    monkeypatch.setattr(inverted_index, "FLAT", flat)
    monkeypatch.setattr(inverted_index, "CELL", 10)
    index = build_index(GALLERY)
    assert index.inverted.nlist == pytest.approx(len(index.crop) / 10 if flat == 0 else 2 * len(index.crop) ** 0.5, 0.1)
    allowed = np.arange(12) % 3 != 1
    queries = seen_again(GALLERY[4], 1).descriptors
    everywhere = approximate_search(index, probes=10_000, small=0)
    exact, found = (search(index, queries, allowed, 5) for search in (nearest_rows, everywhere))
    assert (found[0] == exact[0]).all() and (found[1] == exact[1]).all()
    some = approximate_search(index, probes=4, small=0)(index, queries, allowed, 5)
    again = approximate_search(index, probes=4, small=0)(index, queries, allowed, 5)
    assert (some[0] == again[0]).all() and not np.isin(
        index.crop[some[0][some[0] >= 0]], np.flatnonzero(~allowed)
    ).any()
    none = everywhere(index, queries, np.zeros(12, bool), 5)
    assert (none[0] == -1).all() and np.isinf(none[1]).all()


def test_cells_of_a_large_gallery_are_as_full_whatever_its_size_and_the_same_in_every_run(monkeypatch):
    monkeypatch.setattr(inverted_index, "FLAT", 0)
    monkeypatch.setattr(inverted_index, "CELL", 128)
    monkeypatch.setattr(inverted_index, "BLOCK", 500)
    spots = generator(0, "spots").integers(0, 200, (300, 128))
    noise = generator(0, "noise").integers(0, 40, (9600, 128))
    rows = (spots[np.arange(9600) % 300] + noise).astype(np.uint8)
    one, two, small = (inverted_index.sort_into_cells(some) for some in (rows, rows, rows[:4800]))
    assert (one.nlist, small.nlist) == (pytest.approx(75, abs=4), pytest.approx(37, abs=4))
    for cell in range(one.nlist):
        size = one.invlists.list_size(cell)
        ids = [faiss.rev_swig_ptr(file.invlists.get_ids(cell), size).tolist() for file in (one, two)]
        assert ids[0] == ids[1] == sorted(ids[0]), "the same whoever sorts first"
    assert sum(one.invlists.list_size(cell) for cell in range(one.nlist)) == 9600, "no row is lost"
    alone = Index(rows, np.arange(9600), np.zeros(9600, int), np.ones(9600, np.float32))
    search = approximate_search(alone, probes=4)
    allowed = np.arange(9600) >= 300
    found, exact = (way(alone, rows[:300], allowed, 5)[0] for way in (search, nearest_rows))
    assert (found >= 300).all() and (found[:, :, None] == exact[:, None]).any(1).mean() > 0.9


def test_a_gallery_is_sorted_into_cells_once_whatever_is_asked_of_it(monkeypatch):
    """Three sides of two protocols, whose galleries are the same and whose permitted pairs are not."""
    lnbnn._stacked.cache_clear()
    built, sort_into_cells = [], inverted_index.sort_into_cells
    monkeypatch.setattr(
        inverted_index, "sort_into_cells", lambda rows: built.append(len(rows)) or sort_into_cells(rows)
    )
    monkeypatch.setattr(
        hotspotter, "approximate_search", lambda index, probes: approximate_search(index, probes, small=0)
    )
    sides = [GALLERY[:9], GALLERY[2:], GALLERY]

    def asked() -> list[Scores]:
        return [
            PRESETS["fast"].score([seen_again(GALLERY[3], 0)], list(side), may[None, : len(side)], NAMES[: len(side)])
            for may in (np.ones(12, bool), np.arange(12) % 2 == 0)
            for side in sides
        ]

    found = asked()
    assert built == [40 * len(side) for side in sides]
    monkeypatch.setattr(lnbnn, "_stacked", lnbnn._stacked.__wrapped__)
    for kept, anew in zip(found, asked(), strict=True):
        assert (kept.score == anew.score).all() and (kept.verified == anew.verified).all()
    assert len(built) == 3 + 6


CROPS = {
    f"{encounter}{photo}#0": coat(photo if encounter in "ab" else 50 + photo)
    for encounter in "abc"
    for photo in range(4)
}
A, B, C = (sorted(name for name in CROPS if name[0] == encounter) for encounter in "abc")


def ranked(queries, gallery, method):
    def rows(names):
        table = pd.DataFrame({"crop_id": names, "image_id": [name[:2] for name in names]})
        return table.assign(group=table["crop_id"].str[0], identity=table["crop_id"].str[1], orientation="left")

    return rank(CROPS, {"open": ProtocolSet(rows(queries), rows(gallery))}, 100, True, method.score)[:3:2]


@pytest.mark.parametrize("preset", PRESETS)
def test_a_ranking_does_not_depend_on_row_order_or_workers_and_leaves_out_the_own_encounter(preset, monkeypatch):
    search = approximate_search
    monkeypatch.setattr(hotspotter, "approximate_search", lambda index, probes: search(index, probes, small=0))
    table, matches = ranked(A, A + B + C, PRESETS[preset])
    assert set(table["candidate"]) == set(B + C) and len(table) == 4 * 8
    first = table[table["rank"] == 1]
    assert (first["candidate"] == "b" + first["query"].str[1:]).all()
    told = set(matches[["query", "candidate"]].itertuples(index=False, name=None))
    assert told >= set(first[["query", "candidate"]].itertuples(index=False, name=None))
    pd.testing.assert_frame_equal(table, ranked(A, (A + B + C)[::-1], PRESETS[preset])[0])
    for workers in (1, 3):
        monkeypatch.setattr(hotspotter, "parallel_map", lambda f, x, n=workers: parallel_map(f, x, n))
        again = ranked(A, A + B + C, PRESETS[preset])
        pd.testing.assert_frame_equal(table, again[0])
        pd.testing.assert_frame_equal(matches, again[1])


def test_photos_without_a_name_are_not_added_up_as_one_animal():
    """With names `b` is one animal; as what asks, each photo of it is somebody of its own, and so is an unknown one."""

    def ranked(named: bool, **identity) -> pd.DataFrame:
        crops = pd.DataFrame({"crop_id": A + B + C}).assign(group=lambda rows: rows["crop_id"], orientation="left")
        crops = crops.assign(image_id=crops["group"], identity=crops["group"].str[0]).assign(**identity)
        sets = {"survey": ProtocolSet(crops[crops["group"].isin(A + B)], crops, named=named)}
        table = rank(CROPS, sets, 100, True, PRESETS["wbia"].score)[0]
        return table[table["candidate"].isin(A + B)].set_index(["query", "candidate"])["score"].sort_index()

    told, asked, unknown = ranked(True), ranked(False), ranked(True, identity="unknown")
    pd.testing.assert_series_equal(asked, unknown)
    assert (told != asked).any()
