"""Shared bands: planted strips and logos are found where they are, and nothing in scenes that share a sky."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pelage.common.files import sha256_file, write_bytes
from pelage.common.images import read_image
from pelage.preprocess import shared_bands
from pelage.preprocess.boxes import cut
from pelage.preprocess.crop import Window
from pelage.preprocess.shared_bands import (
    BAND_COLUMNS,
    SharedBands,
    Sight,
    find_bands,
    find_shared_bands,
    pixels_within,
    read_bands,
    without_bands,
)

SIZE = 240, 320


def scene(place: int, visit: int, sky: int | None = None, hills: int = 12) -> np.ndarray:
    """Return a photo `(240, 320, 3)`: the fixed ground of a place, in another light each visit, under a sky."""
    fixed, rng = np.random.default_rng([1, place]), np.random.default_rng([2, place, visit])
    ground = sum(cv2.resize(fixed.normal(0, 14, (n, n)), SIZE[::-1]) for n in (8, 30)) + 110
    photo = ground * rng.uniform(0.4, 1.5) + rng.normal(0, 3, SIZE)
    if sky is not None:
        horizon = 40 + hills * np.sin(np.arange(SIZE[1]) / 30 + place)
        photo[np.arange(SIZE[0])[:, None] < horizon] = sky
    x, y = int(rng.integers(10, 200)), int(rng.integers(70, 150))
    cv2.ellipse(photo, (x + 50, y + 30), (50, 30), 0, 0, 360, float(rng.uniform(60, 200)), -1)
    return np.repeat(np.clip(photo, 0, 255).astype(np.uint8)[..., None], 3, 2)


def strip(width: int, height: int, text: str, paper: int = 0) -> np.ndarray:
    """Return a strip `(height, width, 3)` with a logo, the same on all photos, and a text of its own."""
    ink = 255 - paper
    found = np.full((height, width, 3), paper, np.uint8)
    cv2.rectangle(found, (6, 4), (24, height - 5), (ink,) * 3, -1)
    cv2.putText(found, "CAM 7", (34, height - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (ink,) * 3, 1)
    cv2.putText(found, text, (130, height - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (ink,) * 3, 1)
    return found


def text(visit: int) -> str:
    return f"{3 + 2 * visit:02d}.{1 + visit % 12:02d}.2026 {visit * 7 % 24:02d}:{visit * 13 % 60:02d}"


def survey(folder: Path, photos: list[np.ndarray], **columns) -> pd.DataFrame:
    """Write photos as JPEG, and return their rows of data/clean.csv; each is an encounter unless columns tell more."""
    rows = []
    for number, photo in enumerate(photos):
        path = folder / f"{number}.jpg"
        data = cv2.imencode(".jpg", photo[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
        write_bytes(path, data)
        height, width = photo.shape[:2]
        rows.append((str(number), path.name, sha256_file(path), width, height, "", "", str(number), "0f"))
    names = ["image_id", "path", "sha256", "width", "height", "station", "camera", "encounter", "phash"]
    return pd.DataFrame(rows, columns=names).assign(**columns)


def with_strip(photo: np.ndarray, visit: int, top: int = 0, bottom: int = 0, paper: int = 0) -> np.ndarray:
    """Return a photo whose first and last rows are hidden by strips."""
    photo, width = photo.copy(), photo.shape[1]
    if top:
        photo[:top] = strip(width, top, text(visit), paper)
    if bottom:
        photo[-bottom:] = strip(width, bottom, text(visit), paper)
    return photo


@pytest.mark.parametrize(("top", "bottom", "paper"), [(0, 30, 0), (22, 0, 255), (22, 28, 0), (0, 46, 255)])
def test_strips_are_found_to_the_row(tmp_path, top, bottom, paper):
    photos = [with_strip(scene(visit % 3, visit), visit, top, bottom, paper) for visit in range(12)]
    table = find_shared_bands(survey(tmp_path, photos), tmp_path, tmp_path / "memo")
    assert (table["kind"] == "strip").all() and (table["w"] == 320).all() and (table["photos"] == 12).all()
    heights = {"top" if y == 0 else "bottom": h for y, h in zip(table["y"], table["h"], strict=True)}
    assert len(heights) == len(table) == (top > 0) + (bottom > 0)
    assert top <= heights.get("top", 0) <= top + 2
    assert bottom <= heights.get("bottom", 0) <= bottom + 2


def test_an_animal_that_fills_the_frame_above_the_strip_is_not_cut(tmp_path):
    rng = np.random.default_rng(5)
    coats = [cv2.resize(rng.integers(100, 160, (24, 32, 3), np.uint8), (320, 240)) for _ in range(10)]
    photos = [with_strip(coat, visit, bottom=40) for visit, coat in enumerate(coats)]
    table = find_shared_bands(survey(tmp_path, photos), tmp_path, tmp_path / "memo")
    assert table[["kind", "x", "w"]].values.tolist() == [["strip", 0, 320]]
    assert 198 <= table["y"][0] <= 200


def test_a_logo_in_the_picture_is_found(tmp_path):
    photos = [scene(visit % 4, visit) for visit in range(12)]
    for photo in photos:
        cv2.rectangle(photo, (250, 200), (310, 225), (255,) * 3, -1)
        cv2.putText(photo, "HUNT", (255, 218), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0,) * 3, 1)
    table = find_shared_bands(survey(tmp_path, photos), tmp_path, tmp_path / "memo")
    assert table["kind"].tolist() == ["object"]
    x, y, w, h = table.loc[0, ["x", "y", "w", "h"]]
    assert abs(x - 250) <= 3 and abs(y - 200) <= 3 and abs(x + w - 311) <= 3 and abs(y + h - 226) <= 3


@pytest.mark.parametrize("sky", [None, 255, 0, 200])
@pytest.mark.parametrize(("places", "hills"), [(1, 12), (5, 12), (1, 0)])
def test_a_shared_scene_is_no_band(tmp_path, sky, places, hills):
    """Not even a sky of one grey value over a level horizon is: nothing is printed on it."""
    photos = [scene(visit % places, visit, sky, hills) for visit in range(15)]
    table = find_shared_bands(survey(tmp_path, photos, camera="C1"), tmp_path, tmp_path / "memo")
    assert table.empty and table.columns.tolist() == BAND_COLUMNS


def test_branches_before_a_white_sky_are_no_strip(tmp_path):
    """They are as black on white as print, and the same on all photos, but the sky has no straight end."""
    photos = [scene(0, visit, 255) for visit in range(15)]
    for photo in photos:
        for x in range(20, 300, 25):
            cv2.line(photo, (x, 0), (x + 12, 20), (0, 0, 0), 2)
    assert find_shared_bands(survey(tmp_path, photos, camera="C1"), tmp_path, tmp_path / "memo").empty


def test_a_level_wall_under_changing_light_is_no_strip(tmp_path):
    """Its end is straight and its stones are as sharp as print, but they are not the same on all photos."""
    wall = np.random.default_rng(8).integers(0, 2, (5, 40)).repeat(8, 0).repeat(8, 1) * 90.0 + 40
    photos = [scene(0, visit) for visit in range(15)]
    for visit, photo in enumerate(photos):
        photo[:40] = np.clip(wall * np.random.default_rng(visit).uniform(0.4, 1.5), 0, 255)[..., None]
    assert find_shared_bands(survey(tmp_path, photos, camera="C1"), tmp_path, tmp_path / "memo").empty


def test_things_that_are_the_same_all_over_the_scene_are_the_scene():
    median, same = np.full(SIZE, 90, np.uint8), np.zeros(SIZE, np.uint8)
    places = [(x, y) for y in range(20, 220, 25) for x in range(20, 300, 40)]
    for count, found in ((4, 4), (len(places), 0)):
        for x, y in places[:count]:
            median[y : y + 12, x : x + 20], median[y + 4 : y + 8, x + 4 : x + 16] = 230, 20
            same[y : y + 12, x : x + 20] = 255
        assert [kind for kind, _ in find_bands(Sight(median, same, 9))] == ["object"] * found


def test_a_strip_as_grey_as_the_scene_ends_where_photos_differ(tmp_path):
    photos = [scene(visit % 3, visit) for visit in range(12)]
    grey = int(np.median(photos))
    for visit, photo in enumerate(photos):
        band = strip(320, 30, text(visit), 0)
        photo[-30:] = np.where(band > 128, 255, grey)
    table = find_shared_bands(survey(tmp_path, photos), tmp_path, tmp_path / "memo")
    assert table["kind"].tolist() == ["strip"] and 30 <= table["h"][0] <= 32


def test_photos_all_alike_tell_nothing(tmp_path):
    """A camera that sees the same night after night: the strip has no border that a scene could not have as well."""
    rng = np.random.default_rng(3)
    dark = np.full((*SIZE, 3), 20, np.uint8) + rng.integers(0, 4, (*SIZE, 3), np.uint8)
    assert find_shared_bands(survey(tmp_path, [dark + np.uint8(n % 3) for n in range(12)]), tmp_path, tmp_path).empty


def test_a_strip_before_a_scene_that_is_always_the_same_ends_where_the_median_jumps(tmp_path):
    rng = np.random.default_rng(3)
    night = np.repeat(cv2.resize(rng.integers(70, 110, (30, 40), np.uint8), SIZE[::-1])[..., None], 3, 2)
    photos = [with_strip(night + np.uint8(visit % 3), visit, bottom=30) for visit in range(12)]
    table = find_shared_bands(survey(tmp_path, photos, camera="C1"), tmp_path, tmp_path / "memo")
    assert table["kind"].tolist() == ["strip"] and 30 <= table["h"][0] <= 32


def test_few_encounters_tell_nothing(tmp_path):
    photos = [with_strip(scene(0, visit), visit, bottom=30) for visit in range(12)]
    one_burst = survey(tmp_path, photos, encounter="E1", camera="C1")
    assert find_shared_bands(one_burst, tmp_path, tmp_path / "memo").empty
    five = one_burst.assign(encounter=[f"E{number % 5}" for number in range(12)])
    assert find_shared_bands(five, tmp_path, tmp_path / "memo").empty
    six = one_burst.assign(encounter=[f"E{number % 6}" for number in range(12)])
    assert find_shared_bands(six, tmp_path, tmp_path / "memo")["photos"].tolist() == [6]


def test_photos_that_show_nothing_are_not_asked(tmp_path):
    photos = [with_strip(scene(0, visit), visit, bottom=30) for visit in range(5)]
    photos += [with_strip(np.zeros((*SIZE, 3), np.uint8), visit, bottom=30) for visit in range(5, 9)]
    rows = survey(tmp_path, photos).assign(phash=["0f"] * 5 + [""] * 4)
    assert find_shared_bands(rows, tmp_path, tmp_path / "memo").empty


def test_sizes_are_told_apart_and_cameras_have_bands_of_their_own(tmp_path):
    small = [with_strip(scene(visit % 2, visit), visit, bottom=30) for visit in range(8)]
    large = [cv2.resize(scene(4, visit), (1280, 960)) for visit in range(8)]
    large = [with_strip(photo, visit, top=60) for visit, photo in enumerate(large)]
    rows = survey(tmp_path, small + large, camera=["A"] * 8 + ["B"] * 8)
    table = find_shared_bands(rows, tmp_path, tmp_path / "memo").set_index("camera")
    assert table[["width", "height"]].values.tolist() == [[320, 240], [1280, 960]]
    assert table["y"].tolist() == [table["y"]["A"], 0] and 60 <= table["h"]["B"] <= 66


def test_a_camera_without_the_strip_of_the_others_keeps_its_photos(tmp_path):
    """Cameras of another make are few, but their photos have the same size."""
    theirs = [with_strip(scene(visit % 6, visit), visit, bottom=30) for visit in range(24)]
    own = [scene(7, visit) for visit in range(2)]
    rows = survey(tmp_path, theirs + own, camera=[f"C{visit % 6}" for visit in range(24)] + ["X"] * 2)
    table = find_shared_bands(rows, tmp_path, tmp_path / "memo")
    assert table["camera"].tolist() == [f"C{number}" for number in range(6)]  # each saw four encounters
    bands = SharedBands(table)
    row = next(rows.itertuples())
    assert bands.of(row) == [tuple(table.loc[0, ["x", "y", "w", "h"]])]
    assert bands.of(row._replace(camera="X")) == [] and bands.of(row._replace(width=321)) == []


def test_at_most_so_many_photos_of_a_camera_are_read(tmp_path, monkeypatch):
    photos = [with_strip(scene(0, visit), visit, bottom=30) for visit in range(30)]
    rows = survey(tmp_path, photos, camera="C1")
    read = []
    monkeypatch.setattr(shared_bands, "read_image", lambda path: read.append(path.name) or read_image(path))
    first = find_shared_bands(rows, tmp_path, tmp_path / "memo")
    assert len(read) == 24 and first["photos"].tolist() == [24]
    read.clear()
    assert find_shared_bands(rows.sample(frac=1, random_state=1), tmp_path, tmp_path / "memo").equals(first)
    assert read == []


def test_the_table_is_read_as_it_was_written(tmp_path):
    table = pd.DataFrame([(320, 240, "S1", "007", "strip", 0, 200, 320, 40, 9)], columns=BAND_COLUMNS)
    table.to_csv(tmp_path / "bands.csv", index=False)
    photo = pd.DataFrame({"width": [320], "height": [240], "station": ["S1"], "camera": ["007"]})
    assert read_bands(tmp_path / "bands.csv").of(next(photo.itertuples())) == [(0, 200, 320, 40)]


def test_too_few_photos_have_no_bands():
    same = np.full((40, 60), 255, np.uint8)
    assert find_bands(Sight(same, same, 5)) == []


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (10, 10), (200, 2)])
def test_tiny_photos_have_no_bands(shape):
    rng = np.random.default_rng(0)
    assert find_bands(Sight(rng.integers(0, 256, shape, np.uint8), np.full(shape, 255, np.uint8), 9)) == []
    assert find_bands(Sight(rng.integers(0, 256, shape, np.uint8), np.zeros(shape, np.uint8), 9)) == []


boxes = st.tuples(st.integers(0, 90), st.integers(0, 70), st.integers(1, 60), st.integers(1, 50))


@settings(max_examples=60, deadline=None)
@given(st.lists(boxes, max_size=3), boxes, st.sampled_from([1.0, 0.5, 0.3]))
def test_pixels_are_those_of_the_boxes(found, window, scale):
    left, top, w, h = window
    place = Window(left, top, left + w, top + h)
    full = np.zeros((160, 180), np.uint8)
    for box in found:
        cut(full, box)[:] = 1
    shape = max(1, round(h * scale)), max(1, round(w * scale))
    inside = pixels_within(found, place, shape)
    shown = place.of(full)
    if shape == shown.shape:
        assert np.array_equal(inside, shown > 0)
    else:
        rows, columns = np.nonzero(shown)
        assert inside[rows * shape[0] // h, columns * shape[1] // w].all()  # no pixel of a band is left


@settings(max_examples=40, deadline=None)
@given(st.lists(boxes, min_size=1, max_size=3), st.integers(0, 9))
def test_what_is_left_of_an_image_holds_all_that_is_no_band(found, seed):
    image = np.random.default_rng(seed).integers(0, 256, (60, 80, 3), np.uint8)
    inside = pixels_within(found, Window(0, 0, 80, 60), (60, 80))
    left = without_bands(image, inside)
    if left is None:
        assert inside.all()
        return
    part, window = left
    kept = np.zeros((60, 80), bool)
    window.of(kept)[:] = True
    assert kept[~inside].all()
    free = ~window.of(inside)
    assert np.array_equal(part[free], window.of(image)[free])
