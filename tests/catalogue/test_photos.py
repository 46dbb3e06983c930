"""Photos come into the project whole, hashed and dated, and the originals stay as they are."""

from __future__ import annotations

import hashlib
import os
from io import BytesIO

import pandas as pd
import pytest
from PIL import Image

from pelage.catalogue.exif import time_taken
from pelage.catalogue.photos import data_set_counts, flag_clocks, place_photos, shared_encounters


@pytest.fixture
def root(photo_folder, make_jpeg):
    return photo_folder({"x/a.jpg": make_jpeg(1, "2026:01:31 10:00:00"), "b.jpg": make_jpeg(2, "2026:01:31 11:00:00")})


TABLE = pd.DataFrame({"path": ["x/a.jpg", "b.jpg"], "date": ["", "2026-02-02"]})


@pytest.mark.parametrize("fill", ["copy", "reflink"])
def test_photos_are_copied_and_hashed(root, tmp_path, fill):
    before = {path: (os.stat(path), path.read_bytes()) for path in root.rglob("*.jpg")}
    table = place_photos(TABLE, [root / path for path in TABLE["path"]], tmp_path / "out", fill).photos
    for path, sha256 in zip(table["path"], table["sha256"], strict=True):
        data = (tmp_path / "out" / path).read_bytes()
        assert data == (root / path).read_bytes()
        assert sha256 == hashlib.sha256(data).hexdigest()
        assert (tmp_path / "out" / path).stat().st_nlink == 1
    assert table["date"].tolist() == ["2026-01-31T10:00:00", "2026-02-02"]
    for path, (stat, data) in before.items():
        assert path.read_bytes() == data
        assert (stat.st_mode, stat.st_nlink, stat.st_mtime_ns) == (os.stat(path).st_mode, 1, os.stat(path).st_mtime_ns)


def test_one_file_that_cannot_be_read_stops_nothing(root, tmp_path):
    (root / "b.jpg").unlink()
    placed = place_photos(TABLE, [root / path for path in TABLE["path"]], tmp_path / "out", "copy")
    assert (placed.photos["sha256"] == "").tolist() == [False, True]


def test_photos_in_place_are_only_hashed(root):
    table = place_photos(TABLE, [root / path for path in TABLE["path"]], root, "copy").photos
    assert table["sha256"].str.len().tolist() == [64, 64]


def with_exif(**tags: str) -> bytes:
    exif, buffer = Image.Exif(), BytesIO()
    for name, text in tags.items():
        if name == "changed":
            exif[0x0132] = text
        else:
            exif.get_ifd(0x8769)[{"original": 0x9003, "digitized": 0x9004}[name]] = text
    Image.new("RGB", (8, 8)).save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


def test_the_time_of_an_editors_save_is_no_time_of_capture():
    taken, later = "2026:01:31 10:00:00", "2026:03:01 10:00:00"
    assert time_taken(with_exif(original=taken, changed=later)) == ("2026-01-31T10:00:00", False)
    assert time_taken(with_exif(original="0000:00:00 00:00:00", digitized=taken)) == ("2026-01-31T10:00:00", False)
    assert time_taken(with_exif(changed=later)) == ("", True)
    assert time_taken(with_exif(original="0001:01:01 00:00:00")) == ("", False)
    assert time_taken(with_exif(original=taken)[:60]) == ("", False)
    assert time_taken(b"") == ("", False)


def test_a_photo_may_have_any_number_of_pixels():
    exif, buffer = Image.Exif(), BytesIO()
    exif.get_ifd(0x8769)[0x9003] = "2026:01:31 10:00:00"
    Image.new("L", (20000, 9500)).save(buffer, "JPEG", quality=1, exif=exif)
    assert time_taken(buffer.getvalue()).date == "2026-01-31T10:00:00"


def test_clocks_are_judged_within_a_source():
    dates = ["2026-01-01T10:00:00", "2026-02-01", "2000-01-01T00:00:00", "2015-01-01", ""]
    table = pd.DataFrame(
        {"date": dates, "source": ["a", "a", "a", "b", "b"], "flags": ["", "clock_suspect", "", "", ""]}
    )
    assert flag_clocks(table)["flags"].tolist() == ["", "clock_suspect", "clock_suspect", "", ""]


def test_counts_are_those_of_the_tables():
    photos = pd.DataFrame(
        {
            "image_id": list("abcd"),
            "encounter": ["1", "1", "1", "2"],
            "camera": ["c", "d", "", ""],
            "station": ["s", "s", "", ""],
            "date": ["", "", "2026-01-31T10:00:00", "2026-01-31"],
            "sha256": ["x", "x", "x", ""],
            "flags": ["", "", "clock_suspect", ""],
        }
    )
    claims = pd.DataFrame(
        {
            "image_id": ["a", "b", "b", "d"],
            "identity": ["L1", "L2", "unknown", "L1"],
            "bbox": ["1 2 3 4", "", "1 2 3 4", ""],
        }
    )
    counts = data_set_counts(photos, claims, {"ambiguous": 3})
    told = {name: number for name, number in counts.items() if number}
    assert told == {
        **{"photos": 4, "identities": 2, "unknown": 1, "claims": 4, "several_claims": 1, "with_box": 2, "cameras": 2},
        **{"stations": 1, "encounters": 2, "without_date": 2, "only_a_day": 1, "clock_suspect": 1},
        **{"shared_encounters": 1, "ambiguous": 3, "unreadable": 1},
    }
    assert shared_encounters(photos, claims).to_numpy().tolist() == [["1", "L1, L2"]]
