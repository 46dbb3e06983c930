"""Face: the template finds its own gradients, nothing is found in nothing, and lions' portraits as far as it goes."""

import numpy as np
import pandas as pd
import pytest

from pelage.common.images import read_image, to_rgb
from pelage.preprocess.face import WINDOW, FaceFinder, new_hog, read_template


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
