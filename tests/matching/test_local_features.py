"""Keypoints: exact integer descriptors, the mask, upright ones, blank crops, and the memo."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packing import pack_images

from pelage.matching.local.features import DETECTORS, extract, read_local_features, root_sift

SETTINGS = {"side": 160, "keypoints": 100, "contrast": 0.02, "upright": True}


def spotted(seed=0, height=120, width=160) -> np.ndarray:
    """A coat of blurred noise, full of keypoints."""
    noise = np.random.default_rng(seed).normal(size=(height, width)).astype(np.float32)
    grey = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2.5), None, 0, 255, cv2.NORM_MINMAX, cv2.CV_8U)
    return cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)


def full(image) -> np.ndarray:
    return np.full(image.shape[:2], 255, np.uint8)


def same(left, right) -> bool:
    names = ("xy", "scale", "angle", "weight", "descriptors", "size")
    return all(np.array_equal(getattr(left, name), getattr(right, name)) for name in names)


def test_root_sift_by_hand():
    sift = np.zeros((3, 128), np.float32)
    sift[0, :4] = 16  # four equal parts: 512 sqrt(1/4) = 256, cut off at 255
    sift[1, :64] = 3  # 512 sqrt(1/64)
    assert root_sift(sift)[:, 0].tolist() == [255, 64, 0]
    assert root_sift(sift).dtype == np.uint8


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(1, 128))
def test_squared_distances_are_exact_in_float32_whatever_the_order_of_the_sums(seed, bins):
    rng = np.random.default_rng(seed)
    raw = np.zeros((20, 128), np.float32)
    raw[:, :bins] = rng.gamma(0.3, 50, (20, bins)).astype(np.float32)
    descriptors = root_sift(raw)
    exact = descriptors.astype(np.int64)
    exact = ((exact[:, None] - exact[None]) ** 2).sum(axis=2)
    single = descriptors.astype(np.float32)
    norms = (single**2).sum(axis=1)
    assert (norms[:, None] + norms[None] - 2 * single @ single.T == exact).all()
    shuffled = single[:, rng.permutation(128)]
    assert (norms[:, None] + norms[None] - 2 * shuffled @ shuffled.T == exact).all()
    assert exact.max() < 2**20  # integers below 2^24 are exact in float32


def test_keypoints_are_on_the_animal_and_weigh_by_their_surroundings():
    image = spotted()
    mask = np.zeros((120, 160), np.uint8)
    mask[:, :80] = 255
    found = extract(image, mask, **SETTINGS)
    assert 10 < len(found) <= 100
    assert (found.xy[:, 0] < 81).all()
    deep = found.xy[:, 0] + 1.5 * found.scale < 78
    assert (found.weight[deep] == 1).all() and 0.3 < found.weight[~deep].min() < 0.95


def test_the_strongest_keypoints_are_kept():
    image = spotted()
    all_found = extract(image, full(image), **{**SETTINGS, "keypoints": 1000})
    some = extract(image, full(image), **{**SETTINGS, "keypoints": 20})
    assert len(all_found) > 40 and len(some) == 20
    assert (some.descriptors == all_found.descriptors[:20]).all()


def test_upright_keypoints_are_distinct_and_turned_ones_follow_a_rotation():
    image = spotted()
    upright = extract(image, full(image), **SETTINGS)
    assert (upright.angle == 0).all()
    assert len(np.unique(np.c_[upright.xy, upright.scale], axis=0)) == len(upright)
    turned = {**SETTINGS, "upright": False, "keypoints": 50}
    first, second = extract(image, full(image), **turned), extract(np.rot90(image).copy(), full(image).T, **turned)
    distance = ((first.descriptors[:, None].astype(int) - second.descriptors[None]) ** 2).sum(axis=2)
    nearest = distance.argmin(axis=1)
    close = distance.min(axis=1) < 20_000
    assert close.sum() > 25
    turn = np.degrees(second.angle[nearest] - first.angle)[close] % 360
    assert np.median(np.abs(turn - 270)) < 3


def test_crops_are_scaled_to_one_size():
    small, large = spotted(height=60, width=80), spotted(height=300, width=400)
    assert extract(small, full(small), **SETTINGS).size == (160, 120)
    found = extract(large, full(large), **SETTINGS)
    assert found.size == (160, 120) and found.diagonal == 200
    assert found.xy.max() < 160


@pytest.mark.parametrize("value", [0, 255, 128])
def test_a_blank_crop_and_an_empty_mask_have_no_keypoints(value):
    blank = np.full((90, 120, 3), value, np.uint8)
    for image, mask in [(blank, full(blank)), (spotted(), np.zeros((120, 160), np.uint8))]:
        found = extract(image, mask, **SETTINGS)
        assert len(found) == 0 and found.descriptors.shape == (0, 128) and found.xy.shape == (0, 2)


def test_a_crop_of_one_pixel():
    assert len(extract(np.zeros((1, 1, 3), np.uint8), np.ones((1, 1), np.uint8), **SETTINGS)) == 0
    assert extract(np.zeros((1, 500, 3), np.uint8), np.ones((1, 500), np.uint8), **SETTINGS).size == (160, 1)


def test_files_come_from_the_memo_the_second_time_and_a_changed_mask_is_seen(tmp_path, monkeypatch):
    monkeypatch.setenv("PELAGE_CACHE", str(tmp_path / "cache"))
    images = {f"{seed}.png": spotted(seed) for seed in range(5)} | {"blank.png": np.zeros((50, 70, 3), np.uint8)}
    masks = {name: full(image) for name, image in images.items()}

    def features():
        packs = [pack_images(tmp_path, *what) for what in (("crops", images), ("masks", masks))]
        return read_local_features(*packs, list(images), **SETTINGS)

    first = features()
    plain = [extract(image, full(image), **SETTINGS) for image in images.values()]
    assert all(map(same, first, plain))
    with monkeypatch.context() as patched:
        patched.setattr("pelage.matching.local.features.DETECTORS", {})
        assert all(map(same, features(), first))
    masks["0.png"][:, 80:] = 0
    again = features()
    assert not same(again[0], first[0]) and all(map(same, again[1:], first[1:]))


@pytest.mark.parametrize("detector, width", [("orb", 32), ("brisk", 64)])
def test_binary_descriptors_find_the_same_coat_a_little_moved(detector, width):
    image = spotted()
    moved = np.roll(image, (3, 5), axis=(0, 1))
    first, second = (extract(some, full(some), **SETTINGS, detector=detector) for some in (image, moved))
    assert 20 < len(first) <= 100 and first.descriptors.shape == (len(first), width)
    distance = np.unpackbits(first.descriptors[:, None] ^ second.descriptors[None], axis=2).sum(axis=2)
    close = distance.min(axis=1) < width
    shift = (second.xy[distance.argmin(axis=1)] - first.xy)[close]
    assert close.sum() > 10 and np.abs(np.median(shift, axis=0) - [5, 3]).max() < 1


@pytest.mark.parametrize("detector", DETECTORS)
def test_no_detector_stumbles_over_a_blank_crop(detector):
    blank = np.full((90, 120, 3), 128, np.uint8)
    assert len(extract(blank, full(blank), **SETTINGS, detector=detector)) == 0
