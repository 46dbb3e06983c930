"""Thumbnails: as many and as large as there is room for, never enlarged, and what is missing is left out."""

from __future__ import annotations

import base64

import cv2
import numpy as np
import pytest

from pelage.report.sheets import to_png
from pelage.report.thumbnails import COUNTS, GOOD, LEAST, MOST, SIDES, allotted, shrunk, small_picture, thumbnails

NOISE = np.random.default_rng(1).integers(0, 255, (500, 500, 3), np.uint8)


def decoded(address):
    return cv2.imdecode(np.frombuffer(base64.b64decode(address.split(",")[1]), np.uint8), cv2.IMREAD_COLOR)


@pytest.mark.parametrize("kind", ["jpeg", "webp"])
def test_a_picture_gets_coarser_until_it_is_small_enough(kind):
    sizes = [len(small_picture(NOISE, 480, most, kind)) for most in (10**9, 60_000, 20_000)]
    assert sizes[0] > 60_000 >= sizes[1] > 20_000 >= sizes[2]


def test_a_thumbnail_has_its_shape_and_is_never_enlarged():
    pictures = {"wide": NOISE[:100], "small": NOISE[:20, :30], "grey": NOISE[:, :, 0], "gone": None}
    found = thumbnails([*pictures, "wide"], pictures.get)
    assert list(found) == ["wide", "small", "grey"]
    assert max(decoded(found["wide"]).shape) == SIDES[1]
    assert decoded(found["small"]).shape == (20, 30, 3)
    assert all(address.startswith("data:image/webp;base64,") for address in found.values())


def test_thumbnails_keep_to_their_bytes():
    smooth = cv2.GaussianBlur(NOISE, (0, 0), 6)
    for most in (LEAST, GOOD, MOST):
        found = thumbnails(["a"], {"a": smooth}.get, most)
        assert len(base64.b64decode(found["a"].split(",")[1])) <= most


def test_few_animals_have_many_large_thumbnails_and_many_have_few_small_ones():
    assert allotted([30] * 10, 5_000_000) == (COUNTS[0], MOST)
    count, size = allotted([50] * 200, 5_000_000)
    assert count < COUNTS[0] and size >= GOOD
    assert 200 * count * size * 4 / 3 <= 5_000_000
    assert allotted([3] * 3000, 2_000_000)[0] == 1
    assert allotted([3] * 3000, -1) == (1, LEAST), "even without room each animal has one"
    assert allotted([], 5_000_000) == (COUNTS[0], MOST)


def test_a_figure_keeps_its_pixels_and_is_smaller():
    figure = np.full((300, 500, 3), 255, np.uint8)
    cv2.putText(figure, "24 animals", (20, 100), cv2.FONT_HERSHEY_SIMPLEX, 1, (0, 114, 178), 2)
    from PIL import Image

    png = to_png(Image.fromarray(figure))
    address = shrunk(png, photos=False)
    assert len(address) < 1.4 * len(png)
    assert (decoded(address) == cv2.imdecode(np.frombuffer(png, np.uint8), 1)).all()


def test_a_sheet_of_photos_is_smaller_with_a_loss_that_nobody_sees():
    rng = np.random.default_rng(1)
    photo = cv2.resize(rng.integers(0, 256, (12, 16, 3), np.uint8), (400, 300), interpolation=cv2.INTER_CUBIC)
    png = cv2.imencode(".png", photo)[1].tobytes()
    address = shrunk(png, photos=True)
    assert len(address) < len(shrunk(png, photos=False)) / 3
    assert 0 < np.abs(decoded(address).astype(int) - photo).mean() < 3
