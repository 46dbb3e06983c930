"""Pair features: by hand, on crops that were moved, and the same again from the memo."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from packing import pack_images

from pelage.common.tables import crop_file
from pelage.study.pair_features import (
    FEATURES,
    KINDS,
    Keypoints,
    _median,
    _nearest_by_product,
    compare,
    compare_all,
    describe,
    new_detectors,
    read_described,
)

FULL = np.full((120, 240), 255, np.uint8)


def texture(seed: int) -> np.ndarray:
    """Blotches of a coat, `(120, 240, 3)`."""
    noise = np.random.default_rng(seed).integers(0, 255, (30, 60), np.uint8)
    grey = cv2.GaussianBlur(cv2.resize(noise, (240, 120), interpolation=cv2.INTER_CUBIC), (0, 0), 1)
    return np.dstack([grey] * 3)


def described(seed: int, shift: int = 0, mask: np.ndarray = FULL):
    image = np.roll(texture(seed), shift, axis=1)
    return describe(image, mask, 240, 80, new_detectors(80))


def features(first, second) -> dict[str, float]:
    return dict(zip(FEATURES, compare(first, second).tolist(), strict=True))


def test_by_hand():
    empty = {kind: Keypoints(np.zeros((0, 2), np.float32), np.zeros((0, 32), np.uint8)) for kind in KINDS}
    bits = np.zeros((3, 32), np.uint8)
    bits[1, 0], bits[2, 1] = 0b1111, 0b11111111  # 4 bits from the first, 8 bits from it, 12 bits apart
    second = Keypoints(np.array([[0.1, 0.1], [0.5, 0.5], [0.9, 0.9]], np.float32), bits)
    asked = np.zeros((2, 32), np.uint8)
    asked[0, 0], asked[1, 0] = 0b1, 0b11  # distances 1, 3, 9 and 2, 2, 10
    first = Keypoints(np.array([[0.2, 0.2], [0.3, 0.3]], np.float32), asked)
    found = features(empty | {"orb": first}, empty | {"orb": second})
    assert found["orb_clear"] == 0.5 and found["orb_agreeing"] == 0.5
    assert found["orb_ratio"] == pytest.approx((1 / 3 + 1) / 2) and found["orb_distance"] == 1.5
    assert np.isnan([found[name] for name in FEATURES if not name.startswith("orb")]).all()
    assert np.isnan(compare(empty | {"orb": second}, empty)).all()


def test_the_same_coat_moved_matches_and_another_does_not():
    one, moved, other = described(1), described(1, shift=20), described(2)
    same, different = features(one, moved), features(one, other)
    for kind in KINDS:
        assert same[f"{kind}_agreeing"] > 0.3 > 0.1 > different[f"{kind}_agreeing"]
        assert same[f"{kind}_ratio"] < different[f"{kind}_ratio"]
        assert same[f"{kind}_distance"] < different[f"{kind}_distance"]


def test_keypoints_lie_on_the_animal_strongest_first_and_no_more_than_asked():
    mask = FULL.copy()
    mask[:, :120] = 0
    for kind, found in described(3, mask=mask).items():
        assert 10 < len(found) <= 80, kind
        assert found.xy[:, 0].min() >= 0.49 and found.xy.max() <= 1
    few, many = (describe(texture(3), FULL, 240, count, new_detectors(300))["brisk"] for count in (20, 60))
    assert np.array_equal(few.descriptors, many.descriptors[:20])


def test_a_blank_crop_has_none():
    blank = describe(np.zeros((40, 60, 3), np.uint8), FULL[:40, :60], 240, 80, new_detectors(80))
    assert [len(found) for found in blank.values()] == [0, 0, 0]
    assert np.isnan(compare(blank, described(1))).all() and np.isnan(compare(described(1), blank)).all()


def test_all_wanted_pairs_in_order():
    crops = [described(1), described(1, shift=20), described(2)]
    wanted = np.array([[0, 1, 1], [0, 0, 0], [1, 0, 0]], bool)
    expected = [compare(crops[i], crops[j]) for i, j in np.argwhere(wanted)]
    assert np.array_equal(compare_all(crops, wanted), expected)
    assert compare_all(crops, np.zeros((3, 3), bool)).shape == (0, len(FEATURES))


def test_the_memo_gives_back_what_was_found(tmp_path, monkeypatch):
    monkeypatch.setenv("PELAGE_CACHE", str(tmp_path / "cache"))
    names = ["b#0", "a#0"]
    crops = pack_images(tmp_path, "crops", {crop_file(name): texture(seed) for seed, name in enumerate(names)})
    masks = pack_images(tmp_path, "masks", {crop_file(name): FULL for name in names})
    fresh = read_described(names, crops, masks, 240, 80)
    monkeypatch.setattr("pelage.study.pair_features.describe", None)
    again = read_described(names, crops, masks, 240, 80)
    for seed, (one, other) in enumerate(zip(fresh, again, strict=True)):
        direct = described(seed)
        for kind in KINDS:
            for found in (one, other):
                assert np.array_equal(found[kind].xy, direct[kind].xy)
                assert np.array_equal(found[kind].descriptors, direct[kind].descriptors)


@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(2, 40))
def test_products_find_what_opencv_finds(seed, first, second):
    rng = np.random.default_rng(seed)
    one, other = (rng.integers(0, 256, (rows, 128), np.uint8) for rows in (first, second))
    other[0] = other[-1]  # of equally near ones the first
    one[-1] = other[-1]
    distance, nearest = _nearest_by_product(one, other)
    told, places = cv2.batchDistance(one.astype(np.float32), other.astype(np.float32), cv2.CV_32F, K=2)
    assert distance.dtype == told.dtype and np.array_equal(distance, told) and np.array_equal(nearest, places[:, 0])


@given(st.integers(0, 10**6), st.integers(1, 30))
def test_median_is_numpys(seed, rows):
    values = np.random.default_rng(seed).normal(size=(rows, 2)).astype(np.float32)
    assert np.array_equal(_median(values), np.median(values, axis=0)) and _median(values).dtype == np.float32
