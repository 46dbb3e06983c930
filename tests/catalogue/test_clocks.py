"""Clocks: summer time, drift, batteries changed, and no alarm where cameras see different animals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pelage.catalogue.clocks import CLOCK_COLUMNS, find_clocks, right_dates, seconds_of, set_right

GAP = 300.0
START = pd.Timestamp("2026-01-31").timestamp()
DAY = 86400.0


def visits(count: int, days: float, seed: int = 0) -> np.ndarray:
    """Return the times of visits, at least ten minutes apart."""
    rng = np.random.default_rng(seed)
    return START + np.sort(rng.choice(int(days * 144), count, replace=False)) * 600.0


def jitter(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(-30, 31, count)


def station(**cameras: np.ndarray) -> pd.DataFrame:
    rows = [(camera, float(time)) for camera, times in cameras.items() for time in times]
    table = pd.DataFrame(rows, columns=["camera", "time"]).assign(station="S1")
    table["date"] = pd.to_datetime(table["time"].round(), unit="s").dt.strftime("%Y-%m-%dT%H:%M:%S")
    return table


def found(table: pd.DataFrame) -> pd.DataFrame:
    return find_clocks(table, seconds_of(table["date"]), GAP)


def joined(first: np.ndarray, second: np.ndarray) -> int:
    """Return how many visits that two cameras took together are within the gap when clocks have been set right."""
    table = station(A=first, B=second)
    right = set_right(table, seconds_of(table["date"]), found(table)).to_numpy()
    return int((np.abs(right[: len(first)] - right[len(first) :]) <= GAP).sum())


@pytest.mark.parametrize("steps", [(0, 21), (5, 21), (10, 21), (16, 21), (7, 14)])
@pytest.mark.parametrize("seed", range(3))
def test_summer_time_on_one_camera(steps, seed):
    true = visits(21, 42, seed)
    wrong = true + jitter(21, seed)
    wrong[slice(*steps)] += 3600
    assert joined(true, wrong) >= 20
    clocks = found(station(A=true, B=wrong))
    assert clocks["camera"].tolist() == ["B"] and abs(clocks["offset_s"].iloc[0] - 3600) < 40
    assert clocks["visits"].iloc[0] >= steps[1] - steps[0] - 1


@pytest.mark.parametrize("drift", [4.0, -7.5])
def test_drift(drift):
    true = visits(143, 180)
    wrong = true + jitter(143) + drift * (true - START) / DAY
    assert joined(true, wrong) >= 140
    clocks = found(station(A=true, B=wrong))
    assert clocks.columns.tolist() == CLOCK_COLUMNS and len(clocks) == 1
    assert clocks["drift_s_per_day"].iloc[0] == pytest.approx(drift, abs=0.2)


def test_a_constant_offset():
    true = visits(8, 8)
    clocks = found(station(A=true, B=true + 3 - 320_716_800))
    assert clocks[["station", "camera", "offset_s", "drift_s_per_day", "visits"]].to_numpy().tolist() == [
        ["S1", "B", 3 - 320_716_800, 0, 8]
    ]


def test_batteries_changed_in_mid_survey():
    true = visits(100, 120)
    wrong = true + jitter(100)
    wrong[60:] += pd.Timestamp("2000-01-01 12:00").timestamp() - true[60]
    assert joined(true, wrong) >= 98
    clocks = found(station(A=true, B=wrong))
    assert len(clocks) == 1 and clocks["since"].iloc[0].startswith("2000-01-01")


def test_drift_and_a_step_where_each_camera_misses_a_quarter_of_the_visits():
    rng, true = np.random.default_rng(3), visits(160, 180)
    wrong = true + jitter(160) + 4 * (true - START) / DAY + 3600 * (true > true[80])
    here, there = rng.random(160) < 0.75, rng.random(160) < 0.75
    table = station(A=true[here], B=wrong[there])
    clocks = found(table)
    assert clocks["camera"].tolist() == ["B", "B"] and clocks["until"].iloc[0] < clocks["since"].iloc[1]
    right = set_right(table, seconds_of(table["date"]), clocks).to_numpy()
    error = np.abs(right[here.sum() :] - true[there])
    assert np.quantile(error, 0.97) < 120


def test_a_suspect_camera_is_the_wrong_one_though_it_has_more_bursts():
    true = visits(60, 60)
    table = station(A=true + 40 * DAY, B=true[:50]).assign(flags="")
    assert found(table)["camera"].tolist() == ["B"]
    table.loc[table["camera"] == "A", "flags"] = "blurred clock_suspect"
    assert found(table)["camera"].tolist() == ["A"]


def test_forty_cameras_of_one_station():
    true = visits(60, 120)
    cameras = {f"C{n:02d}": true[n % 5 :] + jitter(60, n)[n % 5 :] + (7200 if n % 4 == 3 else 0) for n in range(40)}
    assert found(station(**cameras))["camera"].tolist() == [f"C{n:02d}" for n in range(3, 40, 4)]


@pytest.mark.parametrize("shared", [0, 20])
@pytest.mark.parametrize("twilight", [False, True])
def test_cameras_that_see_different_animals_are_left_alone(shared, twilight):
    for seed in range(25):
        rng = np.random.default_rng(seed)
        counts, days = rng.integers(20, 300, 2), int(rng.integers(20, 200))

        def times(count, rng=rng, days=days):
            if twilight:
                hours = rng.choice([6, 18], count) * 3600 + rng.normal(0, 3600, count)
                return START + rng.integers(0, days, count) * DAY + hours
            return START + rng.integers(0, days * 86400, count)

        one, other = (times(count) for count in counts)
        other = np.append(other, one[:shared] + rng.integers(-30, 31, len(one[:shared])))
        assert found(station(A=one, B=other)).empty, seed


@pytest.mark.parametrize("count", [3, 21, 143])
def test_right_clocks_raise_no_alarm(count):
    true = visits(count, 180)
    assert found(station(A=true, B=true + jitter(count), C=true + 200)).empty


def test_days_tell_nothing_of_clocks():
    days = pd.date_range("2026-03-01", periods=27).strftime("%Y-%m-%d").tolist()
    later = pd.date_range("2026-03-28", periods=27).strftime("%Y-%m-%d").tolist()
    table = pd.DataFrame({"camera": ["A"] * 27 + ["B"] * 27, "station": "S1", "date": days + later})
    assert found(table).empty


def test_dates_are_set_right_and_days_stay():
    clocks = pd.DataFrame(
        [("S1", "B", "2026-02-01T00:00:00", "2026-02-10T00:00:00", 3600.0, 60.0, 9)], columns=CLOCK_COLUMNS
    )
    dates = ["2026-02-03T12:00:00", "2026-02-03", "", "2026-02-11T00:00:00", "2026-02-03T12:00:00"]
    table = pd.DataFrame({"station": "S1", "camera": ["B", "B", "B", "B", "A"], "date": dates})
    assert right_dates(table, clocks).tolist() == ["2026-02-03T10:57:30", *dates[1:]]
    assert right_dates(table, clocks.iloc[:0]).tolist() == dates
