"""Entries of `matchers`: defaults, presets, errors in words; and the ratio test by hand."""

import cv2
import numpy as np
import pandas as pd
import pytest

from pelage.common.errors import PelageError
from pelage.matching.features import told_without_mask
from pelage.matching.local.features import LocalFeatures
from pelage.matching.local.hotspotter import DogSift, HotSpotter
from pelage.matching.local.matchers import KINDS, read_matcher
from pelage.matching.local.ranking import compared_once, rank
from pelage.matching.local.ratio_test import RatioTest, passing
from pelage.split.protocols import ProtocolSet


def passed(query, candidate, ratio):
    return len(passing(query, candidate, ratio)[0])


def read(**own):
    return read_matcher({"parts": ["flank"], "variants": {"net": {}}, "matchers": {"m": {"part": "flank", **own}}}, "m")


def test_a_matcher_is_a_kind_and_what_differs():
    for name, kind in KINDS.items():
        assert read(kind=name).method == kind()
    assert read(kind="hotspotter").method == read(kind="hotspotter", preset="wbia").method == HotSpotter()
    own = read(kind="hotspotter", preset="fast", neighbours=2, same_side=False)
    assert own.method == HotSpotter(**{**HotSpotter.presets["fast"], "neighbours": 2}) and not own.same_side
    assert type(read(kind="dog_sift", preset="hotspotter2013").method) is DogSift


def test_all_methods_need_masks_but_those_that_are_told_to_leave_them():
    for name in KINDS:
        assert read(kind=name).needs_masks
        if hasattr(KINDS[name], "foreground"):
            assert not read(kind=name, foreground=False).needs_masks
    assert not read(kind="hotspotter", preset="hotspotter2013").needs_masks


def test_crops_without_a_mask_are_told():
    assert told_without_mask(["a.png", "b.png"], ["c.png"]) == (0, "")
    count, words = told_without_mask(iter(["a.png", "b.png", "c.png"]), ["c.png", "a.png", "d.png"])
    assert count == 2 and words.startswith("2 of 3 crops (67%) have no mask but the animal's box")


@pytest.mark.parametrize(
    "own, words",
    [
        ({}, "matchers.m does not say its kind"),
        ({"kind": "magic"}, "matchers.m.kind is 'magic'; it must be one of dog_sift"),
        ({"kind": "hotspotter", "preset": "slow"}, "matchers.m.preset is 'slow'"),
        ({"kind": "ratio_test", "preset": "wbia"}, "matchers.m has the unknown field 'preset'; known are descriptor"),
        ({"kind": "ratio_test", "descriptor": "surf"}, "matchers.m.descriptor is 'surf'; it must be one of brisk, orb"),
        ({"kind": "sift_lnbnn", "part": "tail"}, "matchers.m.part is 'tail'"),
    ],
)
def test_a_wrong_entry_is_named(own, words):
    with pytest.raises(PelageError, match=words):
        read(**own)


def features(descriptors) -> LocalFeatures:
    descriptors = np.asarray(descriptors, np.uint8)
    numbers = np.ones(len(descriptors), np.float32)
    return LocalFeatures(np.zeros((len(descriptors), 2)), numbers, numbers, numbers, descriptors, (80, 60))


def line(*values):
    descriptors = np.zeros((len(values), 128), np.uint8)
    descriptors[:, 0] = values
    return features(descriptors)


def test_the_ratio_test_by_hand():
    """Distances 8 and 10 from 100, 1 and 17 from 91: 8 is not below 0.8 * 10, and 0.81 lets it pass."""
    candidate = line(92, 110, 200)
    assert passed(line(100), candidate, 0.8) == 0 and passed(line(100), candidate, 0.81) == 1
    assert passed(line(100, 91), candidate, 0.8) == 1
    assert passed(line(100), line(100), 0.8) == 0, "one keypoint has no second"
    assert passed(line(), candidate, 0.8) == 0 and passed(line(100), line(), 0.8) == 0


@pytest.mark.parametrize("bytes_", [32, 64])
def test_bits_are_compared_as_opencv_does(bytes_):
    rng = np.random.default_rng(bytes_)
    candidate = rng.integers(0, 256, (60, bytes_), np.uint8)
    query = candidate[:40] ^ np.packbits(rng.random((40, 8 * bytes_)) < 0.35, axis=1)
    pairs = cv2.BFMatcher(cv2.NORM_HAMMING).knnMatch(query, candidate, k=2)
    expected = sum(first.distance < 0.85 * second.distance for first, second in pairs)
    assert 0 < expected < 40 and passed(features(query), features(candidate), 0.85) == expected


def test_no_pair_is_compared_twice_and_nothing_else_changes(monkeypatch):
    monkeypatch.setattr("pelage.matching.local.ranking.TOLD", 3)
    rng = np.random.default_rng(3)
    crops = {f"{who}{number}#0": seen for who, coat in zip("abcd", coats(rng), strict=True) for number, seen in coat}
    table = pd.DataFrame({"crop_id": list(crops)}).assign(image_id=lambda rows: rows["crop_id"], orientation="left")
    table = table.assign(identity=table["crop_id"].str[0], group=table["crop_id"])
    some = table["identity"].isin(["a", "b"])
    sets = {
        "open": ProtocolSet(table[some], table[~some]),
        "pseudo_novel": ProtocolSet(table[some], table, own_individual=False),
        "rehearsal": ProtocolSet(table[some], table, named=False),
    }
    compared = []

    def counting(queries, gallery, permitted, names):
        compared.append(int(permitted.sum()))
        return RatioTest().score(queries, gallery, permitted, names)

    plain, once = (rank(crops, sets, 50, True, way) for way in (RatioTest().score, compared_once(counting)))
    for one, other in zip(plain, once, strict=True):
        assert one.equals(other) if isinstance(one, pd.DataFrame) else one == other
    assert compared[::2] == [6 * 6, 6 * 3, 6 * 2], "the other half, the other animal of its own half, its own animal"
    assert max(compared[1::2]) <= 3 * 6


def coats(rng):
    """Four animals' coats, each seen three times."""
    for _ in range(4):
        own = rng.integers(0, 90, (30, 128))
        yield [(number, features(own + rng.integers(0, 9, own.shape))) for number in range(3)]


def test_only_permitted_pairs_are_scored_and_by_the_share_that_passes():
    rng = np.random.default_rng(0)
    coats = [features(rng.integers(0, 90, (30, 128))) for _ in range(4)]
    permitted = np.ones((2, 4), bool)
    permitted[0, 2] = False
    scores = RatioTest().score([coats[1], line()], coats, permitted, np.full(4, "a"))
    assert scores.score[0].argmax() == 1 and scores.verified[0, 1] == 30 and scores.score[0, 1] == 30 / 31
    assert scores.score[0, 2] == 0 and scores.score[1].tolist() == [0] * 4
