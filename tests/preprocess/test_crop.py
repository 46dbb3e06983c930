"""Crop: windows by hand and by property, scaling, and a table with bad rows."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pelage.common.errors import PelageError
from pelage.common.images import read_image, write_png
from pelage.common.packs import Packs, packed_folder
from pelage.common.tables import crop_file
from pelage.preprocess import crop
from pelage.preprocess.crop import Window, crop_photos, crop_window, shrink


def test_padding_is_a_share_of_the_longer_side():
    assert crop_window((20, 30, 50, 10), 0.1, 200, 100) == Window(15, 25, 75, 45)


def test_window_is_clipped_and_rounded_outwards():
    assert crop_window((-5.5, 90.5, 20.2, 30), 0.0, 200, 100) == Window(0, 90, 15, 100)


@pytest.mark.parametrize(
    "box", [(0, 0, 0, 5), (0, 0, 5, -1), (200, 0, 5, 5), (0, 100, 5, 5), (-9, 0, 9, 5), (float("nan"), 0, 5, 5)]
)
def test_empty_or_outside_has_no_window(box):
    assert crop_window(box, 0.5, 200, 100) is None


number = st.floats(-300, 300, allow_nan=False)


@given(number, number, number, number, st.floats(0, 1), st.integers(1, 200), st.integers(1, 200))
def test_a_window_is_inside_the_photo_and_not_empty(x, y, w, h, padding, width, height):
    window = crop_window((x, y, w, h), padding, width, height)
    if window is not None:
        assert 0 <= window.left < window.right <= width
        assert 0 <= window.top < window.bottom <= height


def test_window_of_an_image():
    image = np.arange(12).reshape(3, 4)
    assert Window(1, 0, 3, 2).of(image).tolist() == [[1, 2], [5, 6]]


def test_shrink_averages_areas_and_never_enlarges():
    image = np.array([[0, 100, 10, 30], [50, 50, 20, 20]], np.uint8)
    assert shrink(image, 2).tolist() == [[50, 20]]
    assert shrink(image, 4) is image
    assert shrink(np.zeros((1000, 3, 3), np.uint8), 10).shape == (10, 1, 3)


def _table(*rows):
    return pd.DataFrame(rows, columns=["crop_id", "image_id", "x", "y", "w", "h"])


def _crops(table, paths, root, max_side=8):
    """Return rejected rows, and the crops."""
    with packed_folder(root / "data/crops", root / "data") as crops:
        rejected = crop_photos(table, paths, root, crops, 0.0, max_side)
    return rejected, Packs(root / "data/crops", root / "data")


def test_bad_rows_are_rejected_and_the_others_are_cropped(tmp_path):
    photo = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    write_png(tmp_path / "a.png", photo)
    (tmp_path / "b.jpg").write_bytes(b"no image")
    table = _table(
        ("a#0", "a", 10, 5, 20, 10), ("a#1", "a", 70, 5, 20, 10), ("a#2", "a", 0, 0, 60, 40), ("b#0", "b", 0, 0, 9, 9)
    )
    rejected, crops = _crops(table, {"a": "a.png", "b": "b.jpg"}, tmp_path, 30)
    assert [(row[0], row[1], row[2]) for row in rejected] == [("a", "a.png", "box"), ("b", "b.jpg", "unreadable")]
    assert "a#1" in rejected[0][3] and "60 x 40" in rejected[0][3]
    assert crops.names() == ["a~0.png", "a~2.png"]
    assert np.array_equal(crops.image("a~0.png"), photo[5:15, 10:30])
    assert crops.image("a~2.png").shape == (20, 30, 3)


def test_each_photo_is_decoded_once_and_failures_have_a_row_a_crop(tmp_path, monkeypatch):
    write_png(tmp_path / "a.png", np.full((8, 8, 3), 7, np.uint8))
    (tmp_path / "b.jpg").write_bytes(b"\xff\xd8\xff broken")
    asked = []
    monkeypatch.setattr(crop, "read_image", lambda path: asked.append(path.name) or read_image(path))
    rows = [(f"{image}#{n}", image, n, 0, 4, 4) for n in range(3) for image in "bac"]
    rejected, crops = _crops(_table(*rows), {"a": "a.png", "b": "b.jpg", "c": "c.png"}, tmp_path)
    assert sorted(asked) == ["a.png", "b.jpg", "c.png"]
    assert [(row[0], row[2], row[3][:4]) for row in rejected] == [
        (image, "unreadable", f"{image}#{n}:") for n in range(3) for image in "bc"
    ]
    assert crops.names() == ["a~0.png", "a~1.png", "a~2.png"]


def test_ids_of_any_length_are_cropped(tmp_path):
    write_png(tmp_path / "a.png", np.full((8, 8, 3), 7, np.uint8))
    name = "снежный барс / " * 40
    rows = [(f"{name}{twin}#{n}", f"{name}{twin}", 0, 0, 8, 8) for twin in "ab" for n in range(9)]
    rejected, crops = _crops(_table(*rows), {f"{name}{twin}": "a.png" for twin in "ab"}, tmp_path)
    assert rejected == [] and crops.names() == sorted(crop_file(row[0]) for row in rows)
    assert all(crops.image(file).shape == (8, 8, 3) for file in crops.names())


def test_grey_and_rgba_photos_give_rgb_crops(tmp_path):
    write_png(tmp_path / "grey.png", np.full((8, 8), 7, np.uint8))
    write_png(tmp_path / "rgba.png", np.full((8, 8, 4), 9, np.uint8))
    table = _table(("g#0", "g", 0, 0, 8, 8), ("r#0", "r", 0, 0, 8, 8))
    rejected, crops = _crops(table, {"g": "grey.png", "r": "rgba.png"}, tmp_path)
    assert rejected == []
    assert np.array_equal(crops.image("g~0.png"), np.full((8, 8, 3), 7))
    assert np.array_equal(crops.image("r~0.png"), np.full((8, 8, 3), 9))


def test_a_path_that_leaves_the_folder_is_never_read(tmp_path):
    write_png(tmp_path / "secret.png", np.zeros((8, 8, 3), np.uint8))
    root = tmp_path / "photos"
    root.mkdir()
    table = _table(("a#0", "a", 0, 0, 8, 8))
    with pytest.raises(PelageError, match="leaves its folder"):
        _crops(table, {"a": "../secret.png"}, root)


def test_a_detection_without_photo_is_an_error(tmp_path):
    with pytest.raises(PelageError, match="x#0"):
        _crops(_table(("x#0", "x", 0, 0, 8, 8)), {}, tmp_path)


def test_no_detections_no_crops(tmp_path):
    rejected, crops = _crops(_table(), {}, tmp_path)
    assert rejected == crops.names() == []
