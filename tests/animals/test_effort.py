"""Effort: noons, paired cameras, gaps, projections, and what deployments do not tell."""

import numpy as np
import pandas as pd
import pytest

from pelage.animals.effort import joined, occasion_table, seen_at, survey_effort, to_degrees, utm
from pelage.common.errors import PelageError


def deployments(*rows):
    columns = ["station", "camera", "latitude", "longitude", "start", "end", "rests_on"]
    return pd.DataFrame(rows, columns=columns, dtype=object)


PAIR = deployments(
    ("A", "A1", "-22.1", "28.5", "2025-03-01T09:00:00", "2025-03-02T20:00:00", "told"),
    ("A", "A2", "-22.1", "28.5002", "2025-03-02T15:00:00", "2025-03-05T09:00:00", "told"),
    ("B", "B1", "-22.12", "28.53", "2025-03-01T11:00:00", "2025-03-02T11:00:00", "photos"),
    ("B", "B1", "-22.12", "28.53", "2025-03-04T11:00:00", "2025-03-05T11:00:00", "photos"),
    ("C", "C1", "", "", "2025-03-01T11:00:00", "2025-03-05T11:00:00", "told"),
)
NONE = pd.Series([], dtype="datetime64[s]")


def test_noons_pairs_and_gaps():
    effort = survey_effort(PAIR, NONE, 1, None, None)
    assert [str(edge) for edge in effort.edges[[0, -1]]] == ["2025-02-28T12:00:00", "2025-03-05T12:00:00"]
    usage = dict(zip(effort.stations, effort.usage.T.tolist(), strict=True))
    assert usage["A"] == [False, True, True, True, True]  # three hours before the first noon are no occasion
    assert usage["B"] == [False, True, False, False, True]
    assert effort.operating_days[0] == pytest.approx(4) and effort.operating_days[1] == pytest.approx(2)
    assert effort.rests_on_photos == 1
    table = occasion_table(effort)
    assert len(table) == 15 and table["operating"].sum() == effort.usage.sum()
    assert list(table.columns) == ["station", "occasion", "start", "end", "operating"]


def test_occasions_of_several_days():
    effort = survey_effort(PAIR, NONE, 3, None, None)
    assert effort.occasions == 2 and effort.usage[:, 0].tolist() == [True, True]
    assert effort.usage[:, 1].tolist() == [False, False]  # 25 of 72 hours, and 23


def test_occasion_of_moments():
    effort = survey_effort(PAIR, NONE, 1, None, None)
    moments = ["2025-02-28T11:59:59", "2025-02-28T12:00:00", "2025-03-01T12:00:00", "2025-03-05T12:00:00", None]
    assert effort.occasion_of(pd.Series(pd.to_datetime(moments))).tolist() == [-1, 0, 1, -1, -1]


def test_first_and_last_day():
    effort = survey_effort(PAIR, NONE, 1, "2025-03-03", "2025-03-03")
    assert effort.occasions == 2  # its night before noon, and after
    with pytest.raises(PelageError, match=r"count\.first \(2026-01-01\)"):
        survey_effort(PAIR, NONE, 1, "2026-01-01", None)


def test_sightings_when_no_camera_ran_are_counted_and_open_the_occasion():
    effort = survey_effort(PAIR, NONE, 1, None, None)
    seen = pd.DataFrame({"station": ["B", "A", "B", "elsewhere"], "occasion": [2, 2, 4, 1]})
    seen["date"] = pd.to_datetime(
        ["2025-03-03T01:00:00", "2025-03-03T01:00:00", "2025-03-05T01:00:00", "2025-03-02T01:00:00"]
    )
    after = seen_at(effort, seen)
    assert after.outside == 1 and after.usage[2, 1] and not effort.usage[2, 1]


def test_places_are_metres_of_the_zone_of_their_middle():
    effort = survey_effort(PAIR, NONE, 1, None, None)
    assert effort.crs == "EPSG:32735" and effort.located.tolist() == [True, True, False]
    apart = np.linalg.norm(effort.places[0] - effort.places[1])
    assert apart == pytest.approx(np.hypot(0.02 * 110.75, 0.0299 * 111.32 * np.cos(np.deg2rad(22.11))) * 1000, rel=0.01)
    assert to_degrees(effort.places[:1], effort.crs)[0] == pytest.approx([-22.1, 28.5001], abs=1e-7)


def test_zones():
    assert utm(np.array([59.3]), np.array([18.0])) == "EPSG:32634"
    assert utm(np.array([-41.0, -41.0]), np.array([179.9, -179.8])) == "EPSG:32701"
    assert utm(np.array([0.1]), np.array([180.0])) in ("EPSG:32601", "EPSG:32660")


def test_no_deployments_leave_the_time_of_sightings():
    moments = pd.Series(pd.to_datetime(["2025-03-01T10:00", "2025-03-03T13:00", None]))
    effort = survey_effort(deployments(), moments, 1, None, None)
    assert effort.occasions == 4 and effort.usage.shape == (4, 0) and effort.crs == ""


def test_no_survey_at_all():
    effort = survey_effort(deployments(), NONE, 1, None, None)
    assert effort.occasions == 0 and effort.days == 0 and occasion_table(effort).empty


def test_intervals_that_touch_are_one():
    moments = np.array(["2025-03-01", "2025-03-02", "2025-03-02", "2025-03-04"], "datetime64[s]")
    assert joined(moments[[2, 0]], moments[[3, 1]]) == [(moments[0], moments[3])]
