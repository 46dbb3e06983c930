"""Dates, EXIF and names: what is read, and what is refused."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pelage.catalogue.names import exif_date, id_from_path, iso_date, parse_names
from pelage.common.errors import PelageError


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("", ""),
        ("2026-01-31T23:59:59", "2026-01-31T23:59:59"),
        ("2026-01-31 23:59", "2026-01-31T23:59:00"),
        ("2026:01:31 23:59:59", "2026-01-31T23:59:59"),
        ("2019-03-01_19-49-36", "2019-03-01T19:49:36"),
        ("20190301_194936", "2019-03-01T19:49:36"),
        ("20190301194936", "2019-03-01T19:49:36"),
        ("2020-05-30T02:57:37Z", "2020-05-30T02:57:37"),
        ("2020-05-30T02:57:37.250+02:00", "2020-05-30T02:57:37"),
        ("2026-01-31", "2026-01-31T00:00:00"),
    ],
)
def test_dates_become_iso(text, date):
    assert iso_date(text) == date


@pytest.mark.parametrize("text", ["31.01.2026", "01/31/2026", "2026-13-01", "0000:00:00 00:00:00", "yesterday", "2026"])
def test_other_dates_are_refused(text):
    with pytest.raises(ValueError):
        iso_date(text)


@given(st.datetimes(datetime(1000, 1, 1)), st.sampled_from(["%Y:%m:%d %H:%M:%S", "%Y-%m-%d_%H-%M-%S", "%Y%m%d_%H%M%S"]))
def test_every_moment_survives_every_style(moment, style):
    assert iso_date(moment.strftime(style)) == moment.replace(microsecond=0).isoformat()


def test_exif_date_is_read_and_nonsense_is_none(make_jpeg):
    assert exif_date(make_jpeg(date="2026:01:31 23:59:59")) == "2026-01-31T23:59:59"
    assert exif_date(make_jpeg(date="0000:00:00 00:00:00")) == ""
    assert exif_date(make_jpeg()) == ""
    assert exif_date(make_jpeg(date="2026:01:31 23:59:59")[:60]) == ""
    assert exif_date(b"") == ""


def test_ids_come_from_paths_and_never_collide():
    assert id_from_path(["a/b.jpg", "c.JPG"]) == ["a-b", "c"]
    assert id_from_path(["a.jpg", "a.png", "b/c.d.jpg"]) == ["a.jpg", "a.png", "b-c.d"]
    assert id_from_path(["a/b.jpg", "a-b.jpg"]) == ["a/b.jpg", "a-b.jpg"]


def test_named_groups_become_columns_and_misses_are_counted():
    pattern = r"(?P<identity>L\d+)_(?P<side>left|right)?"
    table, unmatched = parse_names(["x/L1_left.jpg", "L2_.jpg", "nobody.jpg"], pattern, "key")
    assert table["identity"].tolist() == ["L1", "L2", ""]
    assert table["side"].tolist() == ["left", "", ""]
    assert unmatched == 1


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(?P<identity>", "datasets.x.path_pattern is no regular expression"),
        ("(L.)", "needs named groups"),
        ("(?P<path>.*)", "none called path"),
        ("(?P<identity>Z+)", "matches no photo, not even 'L1.jpg'"),
    ],
)
def test_wrong_patterns_are_explained(pattern, message):
    with pytest.raises(PelageError, match=message):
        parse_names(["L1.jpg"], pattern, "datasets.x.path_pattern")
