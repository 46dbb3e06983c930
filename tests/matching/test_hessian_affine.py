"""Hessian-affine keypoints: chips, foreground weights by hand, what is kept, and what a missing library says."""

import sys

import cv2
import numpy as np
import pytest
from packing import pack_images

from pelage.common.errors import PelageError
from pelage.matching.local.hessian_affine import animal_weight, extract, load_pyhesaff, make_chip, read_affine_features

SETTINGS = {"detector": "dog", "chip": "longest", "side": 160, "keypoints": 0, "foreground": True, "min_weight": 0.0}


def spotted(seed=0, height=120, width=160) -> np.ndarray:
    """A coat of blurred noise, full of keypoints."""
    noise = np.random.default_rng(seed).normal(size=(height, width)).astype(np.float32)
    grey = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX, cv2.CV_8U)
    return cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)


@pytest.fixture(params=["hessian_affine", "dog"])
def detector(request):
    if request.param == "hessian_affine":
        pytest.importorskip("pyhesaff")
    return request.param


def test_chips():
    image = np.zeros((100, 200, 3), np.uint8)
    assert make_chip(image, "longest", 700).shape == (350, 700, 3)
    assert make_chip(image, "area", 450).shape == (318, 636, 3)  # 450 / sqrt 2, 450 * sqrt 2
    assert make_chip(image[:1, :1], "longest", 7).shape == (7, 7, 3)


def test_weights_by_hand():
    """A region that lies on the animal, one beside it, one cut in half, and one that is wide enough to see both."""
    mask = np.zeros((100, 200), np.float32)
    mask[:, :100] = 1
    xy = np.array([[50, 50], [150, 50], [99.5, 50], [120, 50], [120, 50]], float)
    shape = np.array([[10, 0, 10], [10, 0, 10], [10, 0, 10], [40, 0, 5], [5, 0, 40]], float)
    weight = animal_weight(mask, xy, shape)
    np.testing.assert_allclose(weight[:3], [1, 0, 0.5], atol=0.01)
    assert 0.1 < weight[3] < 0.4 and weight[4] == 0
    assert animal_weight(mask, xy[:0], shape[:0]).shape == (0,)


def test_the_middle_of_a_region_weighs_most_and_a_shear_is_followed():
    centre, corners = np.zeros((101, 101), np.float32), np.ones((101, 101), np.float32)
    centre[40:61, 40:61] = 1
    corners[40:61, 40:61] = 0
    one = np.array([[50.0, 50.0]]), np.array([[20.0, 0.0, 20.0]])
    assert animal_weight(centre, *one)[0] > (21 / 41) ** 2
    assert animal_weight(centre, *one)[0] + animal_weight(corners, *one)[0] == pytest.approx(1, abs=0.01)
    below = np.tri(101, dtype=np.float32)  # the animal is where y >= x
    upright, sheared = (animal_weight(below, one[0], np.array([[20.0, c, 5.0]]))[0] for c in (0.0, 20.0))
    along = animal_weight(below, one[0] + [[0, 10]], np.array([[20.0, 20.0, 5.0]]))[0]
    assert upright == pytest.approx(0.5, abs=0.03) and sheared == pytest.approx(0.5, abs=0.06) and along > 0.97


def test_features_of_a_coat(detector):
    image, mask = spotted(), np.zeros((120, 160), np.uint8)
    mask[:, :80] = 255
    found = extract(image, mask, **{**SETTINGS, "detector": detector, "side": 320})
    assert found.size == (320, 240) and len(found) > 50
    assert found.descriptors.dtype == np.uint8 and found.descriptors.shape == (len(found), 128)
    lengths = np.linalg.norm(found.descriptors.astype(float), axis=1)
    assert 480 < np.median(lengths) < 520 and lengths.max() < 724, "squared distances stay below 2^24"
    assert (found.shape[:, [0, 2]] > 0).all() and (found.shape[:, 1] != 0).any() == (detector == "hessian_affine")
    assert found.weight.min() == 0 and found.weight.max() == pytest.approx(1)
    again = extract(image, mask, **{**SETTINGS, "detector": detector, "side": 320})
    assert (again.descriptors == found.descriptors).all() and (again.xy == found.xy).all()

    on_it = extract(image, mask, **{**SETTINGS, "detector": detector, "side": 320, "min_weight": 0.5})
    assert len(on_it) == (found.weight >= 0.5).sum() and on_it.xy[:, 0].max() < 170
    largest = extract(image, mask, **{**SETTINGS, "detector": detector, "side": 320, "keypoints": 20})
    area = found.shape[:, 0] * found.shape[:, 2]
    assert len(largest) == 20 and (largest.shape[:, 0] * largest.shape[:, 2]).min() >= np.sort(area)[-20]
    plain = extract(image, mask, **{**SETTINGS, "detector": detector, "side": 320, "foreground": False})
    assert (plain.weight == 1).all() and len(plain) == len(found)


def test_regions_follow_a_stretched_picture():
    """In a picture of twice the width regions are wider, as round ones cannot be; by less, for the stretch blurs."""
    pytest.importorskip("pyhesaff")
    image = spotted(3, 200, 200)
    wide = cv2.resize(image, (400, 200), interpolation=cv2.INTER_CUBIC)
    ratios = []
    for some in (image, wide):
        mask = np.full(some.shape[:2], 255, np.uint8)
        shape = extract(some, mask, **{**SETTINGS, "detector": "hessian_affine", "side": max(some.shape)}).shape
        ratios.append(np.median(shape[:, 0] / np.hypot(shape[:, 1], shape[:, 2])))
    assert 1.3 < ratios[1] / ratios[0] < 2.5


@pytest.mark.parametrize("shape", [(90, 120), (1, 1), (1, 300)])
def test_a_blank_crop_has_no_keypoints(detector, shape):
    image, mask = np.full((*shape, 3), 128, np.uint8), np.full(shape, 255, np.uint8)
    found = extract(image, mask, **{**SETTINGS, "detector": detector})
    assert len(found) == 0 and found.descriptors.shape == (0, 128) and found.shape.shape == (0, 3)


def test_files_come_from_the_memo_the_second_time(tmp_path, monkeypatch, detector):
    monkeypatch.setenv("PELAGE_CACHE", str(tmp_path / "cache"))
    crops = pack_images(tmp_path, "crops", {"a.png": spotted()})
    place = crops, pack_images(tmp_path, "masks", {"a.png": np.full((120, 160), 255, np.uint8)}), ["a.png"]
    settings = {**SETTINGS, "detector": detector}
    (first,) = read_affine_features(*place, **settings)
    with monkeypatch.context() as patched:
        patched.setattr("pelage.matching.local.hessian_affine.DETECTORS", {})
        (again,) = read_affine_features(*place, **settings)
    for name in ("xy", "shape", "weight", "descriptors", "size"):
        assert np.array_equal(getattr(first, name), getattr(again, name))
    (other,) = read_affine_features(*place, **{**settings, "min_weight": 1.1})
    assert len(other) == 0


def test_a_library_that_does_not_load_is_named_with_the_way_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyhesaff", None)
    load_pyhesaff.cache_clear()
    with pytest.raises(PelageError, match=r"pyhesaff.*dog_sift"):
        load_pyhesaff()
