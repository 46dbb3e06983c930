"""The map: what is north is up, distances keep their proportions, and no coordinate is told."""

from __future__ import annotations

import pandas as pd

from pelage.report.station_map import HIGHEST, MARGIN, WIDTH, StationMap


def deployments(*rows):
    return pd.DataFrame(rows, columns=["station", "latitude", "longitude"])


def test_north_is_up_and_no_station_leaves_the_drawing():
    drawn = StationMap(deployments(("A", 0.0, 9.0), ("B", 0.0, 9.05), ("C", 0.01, 9.0)))
    seen = drawn.seen({"A": 4, "C": 1, "gone": 2})
    a, c = seen["circles"]
    assert c["y"] < a["y"] and c["x"] == a["x"]
    assert a["told"] == "A × 4" and a["r"] > c["r"]
    assert seen["height"] <= HIGHEST
    b = drawn.seen({"B": 1})["circles"][0]
    assert (a["x"], b["x"]) == (MARGIN, WIDTH - MARGIN)


def test_one_station_or_none():
    alone = StationMap(deployments(("A", -24.5, 31.4)))
    assert alone.ground()["scale"] is None and len(alone.seen({"A": 2})["circles"]) == 1
    nowhere = StationMap(deployments(("A", "", "")))
    assert nowhere.seen({"A": 2}) is None
    assert nowhere.ground()["dots"] == ""
    assert StationMap(deployments()).seen({}) is None


def test_the_scale_is_round():
    """On the zone's middle a degree east is 111,275 m by 0.9996."""
    east = 9 + 5000 / (111_319.5 * 0.9996)
    scale = StationMap(deployments(("A", 0.0, 9.0), ("B", 0.0, east))).ground()["scale"]
    assert scale == {"width": round((WIDTH - 2 * MARGIN) / 5), "text": "1 km"}
