"""Times of cameras with a zone."""

from __future__ import annotations

from datetime import timedelta

import pandas as pd
import pytest

from pelage.animals.export.clock import doubtful, time_zone, with_zone
from pelage.common.errors import PelageError


@pytest.mark.parametrize(
    ("name", "hours"), [("UTC", 0), ("Z", 0), ("+02:00", 2), ("-0330", -3.5), ("Africa/Johannesburg", 2)]
)
def test_a_zone_is_an_offset_or_a_name(name, hours):
    said = with_zone(pd.Series(["2026-07-01T00:30:00", ""]), time_zone(name)).tolist()
    assert pd.Timestamp(said[0]).utcoffset() == timedelta(hours=hours) and said[1] == ""
    assert said[0].startswith("2026-07-01T00:30:00") and said[0].endswith("Z") == (hours == 0)


def test_a_name_follows_the_clocks_of_its_place_and_an_offset_does_not():
    times = pd.Series(["2026-01-15T12:00:00", "2026-07-15T12:00:00"])
    assert with_zone(times, time_zone("Europe/Brussels")).str[-6:].tolist() == ["+01:00", "+02:00"]
    assert with_zone(times, time_zone("+01:00")).str[-6:].tolist() == ["+01:00", "+01:00"]


def test_times_that_a_clock_shows_twice_or_never_are_counted():
    times = pd.Series(["2026-03-29T02:30:00", "2026-10-25T02:30:00", "2026-10-25T03:30:00", ""])
    assert doubtful(times, time_zone("Europe/Brussels")) == 2 and doubtful(times, time_zone("+01:00")) == 0


@pytest.mark.parametrize("name", ["", "Mars", "+25:00", "+02:75", "../etc/passwd", "SAST "])
def test_what_is_no_zone_is_told(name):
    with pytest.raises(PelageError, match="is no time zone"):
        time_zone(name)
