"""Dates: what is understood, what is never guessed, zones, and clocks that cannot be trusted."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pelage.catalogue.dates import exif_date, read_date, read_dates, suspect_clocks
from pelage.common.errors import PelageError


def where(rows) -> str:
    return f"t.csv, row {rows[0] + 2}"


def read(*texts: str, **options):
    return read_dates(pd.Series(texts, dtype=object), where, "datasets.mine", **options)


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2026-01-31T23:59:59", "2026-01-31T23:59:59"),
        ("2026-01-31 23:59:59", "2026-01-31T23:59:59"),
        ("2026-01-31 23:59", "2026-01-31T23:59:00"),
        ("2026:01:31 23:59:59", "2026-01-31T23:59:59"),
        ("2019-03-01_19-49-36", "2019-03-01T19:49:36"),
        ("20190301_194936", "2019-03-01T19:49:36"),
        ("20190301194936", "2019-03-01T19:49:36"),
        ("2020-05-30T02:57:37Z", "2020-05-30T02:57:37"),
        ("2020-05-30T02:57:37.250+02:00", "2020-05-30T02:57:37"),
        ("2026/01/31", "2026-01-31"),
        ("2026/1/31 9:05", "2026-01-31T09:05:00"),
        ("2026-01-31 12:05 AM", "2026-01-31T00:05:00"),
        ("2026-01-31 11:05:09 pm", "2026-01-31T23:05:09"),
        ("2026-01-31", "2026-01-31"),
    ],
)
def test_dates_become_iso_and_a_day_is_no_midnight(text, date):
    assert read_date(text)[0] == date
    assert read(text).iso.tolist() == [date]


@pytest.mark.parametrize(
    "text",
    *[
        [
            "31.01.2026",
            "01/31/2026",
            "2026-13-01",
            "0000:00:00 00:00:00",
            "yesterday",
            "2026",
            "1601-01-01",
            "2201-01-01",
        ]
    ],
)
def test_other_dates_cost_their_cell_only(text):
    dates = read("2026-01-31", "2026-02-01", text)
    assert dates.iso.tolist() == ["2026-01-31", "2026-02-01", ""]
    assert list(dates.faults) == [2] and repr(text) in dates.faults[2]


def test_day_and_month_are_never_guessed():
    with pytest.raises(PelageError, match=r"row 2: date '03/04/2026' may begin .* date_order: dmy .* datasets.mine in"):
        read("03/04/2026", "31/12/2026 10:22", "")
    assert read("03/04/2026", "3.4.26 10:22", order="dmy").iso.tolist() == ["2026-04-03", "2026-04-03T10:22:00"]
    assert read("03/04/2026", "3-4-26 1:22 PM", order="mdy").iso.tolist() == ["2026-03-04", "2026-03-04T13:22:00"]
    assert list(read("31/12/2026", "03/04/2026", order="mdy").faults) == [0]


def test_when_most_dates_are_not_understood_it_stops():
    with pytest.raises(PelageError, match=r"row 2: date 'noon' is no date .* 2 of 3 dates are not understood"):
        read("noon", "2026-01-01", "dusk")


def test_one_zone_is_the_cameras_clock_and_several_are_brought_to_utc():
    assert read("2026-01-31T10:00:00+02:00", "2026-01-31T11:00:00").iso.tolist()[0] == "2026-01-31T10:00:00"
    mixed = read("2026-01-31T10:00:00+02:00", "2026-01-31T10:00:00Z", "2026-01-31T10:00:00", "2026-01-31")
    assert mixed.iso.tolist() == ["2026-01-31T08:00:00", "2026-01-31T10:00:00", "", "2026-01-31"]
    assert "has no zone" in mixed.faults[2]
    assert mixed.seconds()[1] - mixed.seconds()[0] == 7200
    one = read("2026-01-31T10:00:00+02:00", "2026-01-31T10:00:00")
    assert one.seconds()[0] == one.seconds()[1] == datetime.fromisoformat("2026-01-31T10:00:00+02:00").timestamp()


@given(
    st.datetimes(datetime(1900, 1, 1), datetime(2200, 12, 31)),
    st.sampled_from(["%Y:%m:%d %H:%M:%S", "%Y-%m-%d_%H-%M-%S", "%Y%m%d_%H%M%S", "%Y-%m-%d %H:%M:%S"]),
)
def test_every_moment_survives_every_style(moment, style):
    iso = moment.replace(microsecond=0).isoformat()
    assert read(moment.strftime(style)).iso.tolist() == [iso]


def test_exif_dates():
    assert exif_date("2026:01:31 23:59:59\0") == "2026-01-31T23:59:59"
    for nonsense in (
        "0001:01:01 00:00:00",
        "1980:01:01 00:00:00",
        "0000:00:00 00:00:00",
        "",
        None,
        b"x",
        7,
        "2026:01:31",
    ):
        assert exif_date(nonsense) == ""


def test_clocks_far_from_the_main_body_are_suspect():
    days = ["2026-01-01T10:00:00", "2026-05-01", "2027-05-01", "", "2000-01-01T00:00:00", "2042-01-01", "2000-01-02"]
    assert suspect_clocks(pd.Series(days)).tolist() == [False, False, False, False, True, True, True]
    assert not suspect_clocks(pd.Series(["", ""])).any()


@given(st.lists(st.integers(0, 40000), max_size=30))
def test_nothing_within_two_years_of_the_main_body_is_suspect(numbers):
    dates = pd.Series([str(np.datetime64("1990-01-01") + n) for n in numbers], dtype=object)
    suspect = suspect_clocks(dates).to_numpy(bool)
    days = np.array(numbers)
    for number in days[suspect]:
        assert (np.abs(days[~suspect] - number) > 730).all()
