"""Face: the template finds its own gradients, nothing is found in nothing, and lions' portraits as far as it goes."""

import cv2
import numpy as np
import pandas as pd
import pytest

from pelage.common.images import read_image, to_rgb
from pelage.preprocess.face import (
    CASCADE_SCORE,
    MEASURES,
    WINDOW,
    Face,
    FaceFinder,
    measure_window,
    new_hog,
    read_template,
)
from pelage.preprocess.judge import Judge


def test_template_fits_its_window():
    template = read_template()
    assert template.dtype == np.float32 and np.isfinite(template).all()
    assert template.size == new_hog().getDescriptorSize() + 1


def test_the_template_finds_what_it_was_made_of():
    """A window whose gradients are the template's own is found where it stands, scaled back to the photo."""
    rng = np.random.default_rng(0)
    patch = rng.integers(0, 255, (WINDOW, WINDOW)).astype(np.uint8)
    features = new_hog().compute(patch).ravel()
    finder = FaceFinder(np.append(features - features.mean(), 0).astype(np.float32))
    scene = np.full((224, 448), 120, np.uint8)
    scene[80 : 80 + WINDOW, 200 : 200 + WINDOW] = patch
    box, weight = finder.windows(np.repeat(scene[..., None], 3, axis=2), 0.5)[0]
    assert box == (200, 80, WINDOW, WINDOW)
    assert weight == pytest.approx(float(features @ (features - features.mean())), rel=0.05)


def test_where_a_window_lies_by_hand():
    """A silhouette of 40 x 100 pixels; a window of 20 at its upper right corner, half of it beyond the right edge."""
    inside = np.zeros((100, 200), np.uint8)
    inside[30:70, 50:150] = 1
    thickness = cv2.distanceTransform(inside, cv2.DIST_L2, 5)
    found = measure_window(thickness, (140.0, 20.0, 20.0, 20.0), 0.5)
    radius = float(thickness.max())
    assert radius == pytest.approx(20, abs=0.5)
    assert found["size"] == pytest.approx(np.log(20 / radius)) and found["size_in_height"] == np.log(20 / 40)
    assert found["elongation"] == np.log(100 / 40)
    assert found["cover"] == 10 * 10 / 400 and found["core"] == pytest.approx(7 * 7 / 14**2)
    assert found["thickness"] == pytest.approx(10 / 20, abs=0.02) and found["trunk"] == pytest.approx(0.5, abs=0.02)
    assert found["off_middle"] == pytest.approx((150 - 99.5) / 100 * 2) and found["at_head"] == 0.5
    assert found["depth"] == pytest.approx(0) and found["from_top"] == pytest.approx(-10 / 20)
    assert found["above"] == 0 and found["below"] == 10 * 30 / 400
    assert (found["less_beside"], found["more_beside"]) == (0, 90 * 10 / 400)
    assert {*found, "weight", "rival"} == set(MEASURES)


def test_a_tail_is_no_face_and_the_cascade_needs_a_silhouette(monkeypatch):
    """Two windows that the template likes alike: the one on a thin part is refused, and both where both are thin."""
    patch = np.random.default_rng(0).integers(0, 255, (WINDOW, WINDOW)).astype(np.uint8)
    features = new_hog().compute(patch).ravel()
    template = np.append(features - features.mean(), 0).astype(np.float32)
    scene = np.full((224, 448), 120, np.uint8)
    for x in (40, 360):
        scene[80 : 80 + WINDOW, x : x + WINDOW] = patch
    image = np.repeat(scene[..., None], 3, axis=2)
    mask = np.zeros((224, 448), bool)
    mask[60:160, 200:440] = True
    mask[100:106, 20:200] = True
    finder = FaceFinder(template, Judge({"core": ([0.4, 0.6], [-9, 9])}, 0.0, 0.5))
    assert finder(image, mask).box == (360, 80, WINDOW, WINDOW)
    assert finder(image, mask & (np.arange(448) < 200)) is None
    monkeypatch.setattr(FaceFinder, "_by_cascade", lambda *_: (180, 60, 100, 100))
    assert finder(image, mask & (np.arange(448) < 200)) is None
    assert finder(image, np.ones_like(mask) & (np.arange(448) > 210)).box != (180, 60, 100, 100)
    plain = np.full_like(image, 120)
    assert finder(plain, mask) == Face((180, 60, 100, 100), CASCADE_SCORE)  # 80 of its 100 columns are silhouette
    assert finder(plain, mask & (np.arange(448) >= 230)) is None


def test_no_face_where_there_is_none():
    finder = FaceFinder()
    assert finder(np.zeros((60, 200, 3), np.uint8)) is None
    assert finder(np.zeros((3, 400, 3), np.uint8)) is None
    assert finder(np.zeros((1, 1, 3), np.uint8)) is None


def test_lions_that_look_at_the_camera_have_a_face_and_bodies_have_none(shared_photos):
    lions = shared_photos("lion")
    table = pd.read_csv(lions / "metadata.csv")
    part = table["body_part"].str.lower()
    finder = FaceFinder()

    def share(kind: pd.Series) -> float:
        photos = table["path"][kind].iloc[::4]
        return float(np.mean([finder(to_rgb(read_image(lions / path))) is not None for path in photos]))

    assert share(part == "portrait") >= 0.5
    assert share(part.str.contains("body")) <= 0.15
