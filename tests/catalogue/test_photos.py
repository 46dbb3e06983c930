"""Photos come into the project whole, hashed and dated, and the originals stay as they are."""

from __future__ import annotations

import hashlib
import os

import pandas as pd
import pytest

from pelage.catalogue.photos import place_photos, survey_counts
from pelage.catalogue.schema import Survey, photo_table, table_rows


@pytest.fixture
def survey(photo_folder, make_jpeg):
    root = photo_folder({"x/a.jpg": make_jpeg(1, "2026:01:31 10:00:00"), "b.jpg": make_jpeg(2, "2026:01:31 11:00:00")})
    rows = {"image_id": ["a", "b"], "path": ["x/a.jpg", "b.jpg"], "identity": ["L1", "L2"], "date": ["", "2026-02-02"]}
    return Survey(pd.DataFrame(rows), root, "t.csv", table_rows(2))


@pytest.mark.parametrize("fill", ["copy", "reflink"])
def test_photos_are_copied_and_hashed(survey, tmp_path, fill):
    before = {path: (os.stat(path), path.read_bytes()) for path in survey.root.rglob("*.jpg")}
    table = place_photos(photo_table(survey), survey.root, tmp_path / "out", fill, exif=True)
    for path, sha256 in zip(table["path"], table["sha256"], strict=True):
        data = (tmp_path / "out" / path).read_bytes()
        assert data == (survey.root / path).read_bytes()
        assert sha256 == hashlib.sha256(data).hexdigest()
        assert (tmp_path / "out" / path).stat().st_nlink == 1
    assert table["date"].tolist() == ["2026-01-31T10:00:00", "2026-02-02T00:00:00"]
    for path, (stat, data) in before.items():
        assert path.read_bytes() == data
        assert (stat.st_mode, stat.st_nlink, stat.st_mtime_ns) == (os.stat(path).st_mode, 1, os.stat(path).st_mtime_ns)


def test_without_exif_no_date_is_read(survey, tmp_path):
    table = place_photos(photo_table(survey), survey.root, tmp_path / "out", "copy", exif=False)
    assert table["date"].tolist() == ["", "2026-02-02T00:00:00"]


def test_one_file_that_cannot_be_read_stops_nothing(survey, tmp_path):
    table = photo_table(survey)
    (survey.root / "b.jpg").unlink()
    placed = place_photos(table, survey.root, tmp_path / "out", "copy", exif=False)
    assert (placed["sha256"] == "").tolist() == [False, True]
    assert survey_counts(placed, survey)["unreadable"] == 1


def test_photos_in_place_are_only_hashed(survey):
    table = place_photos(photo_table(survey), survey.root, survey.root, "copy", exif=False)
    assert table["sha256"].str.len().tolist() == [64, 64]


def test_counts_are_those_of_the_table(survey):
    rows = pd.DataFrame(
        {
            "identity": ["L1", "L2", "unknown", "L1"],
            "encounter": ["1", "1", "1", "2"],
            "camera": ["c", "d", "", ""],
            "station": ["s", "s", "", ""],
            "date": ["", "", "2026-01-31T10:00:00", ""],
            "bbox": ["1 2 3 4", "", "", ""],
            "sha256": ["x", "x", "x", ""],
        }
    )
    counts = survey_counts(rows, survey)
    assert counts == {
        **{"photos": 4, "identities": 2, "unknown": 1, "cameras": 2, "stations": 1, "without_date": 3, "with_box": 1},
        **{"encounters": 2, "shared_encounters": 1, "other_orientations": 0, "unmatched_names": 0},
        **{"other_media": 0, "ambiguous": 0, "unreadable": 1},
    }
