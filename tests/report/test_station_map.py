"""The map: what is north is up, distances keep their proportions, and no coordinate is told."""

from __future__ import annotations

import pandas as pd
import pytest

from pelage.report.station_map import HIGHEST, MARGIN, WIDTH, StationMap, station_places


def deployments(*rows):
    return pd.DataFrame(rows, columns=["station", "latitude", "longitude"])


def test_a_kilometre_north_and_east_by_hand():
    places = station_places(deployments(("A", 0.0, 10.0), ("B", 0.0, 10.008993), ("C", 0.008993, 10.0)))
    a, b, c = (places.set_index("station").loc[name] for name in "ABC")
    assert b["x"] - a["x"] == pytest.approx(1000, abs=1)
    assert c["y"] - a["y"] == pytest.approx(1000, abs=1)
    assert c["x"] == pytest.approx(a["x"])


def test_north_is_up_and_no_station_leaves_the_drawing():
    drawn = StationMap(station_places(deployments(("A", 0.0, 10.0), ("B", 0.0, 10.05), ("C", 0.01, 10.0))))
    seen = drawn.seen({"A": 4, "C": 1, "gone": 2})
    a, c = seen["circles"]
    assert c["y"] < a["y"] and c["x"] == a["x"]
    assert a["told"] == "A × 4" and a["r"] > c["r"]
    assert seen["height"] <= HIGHEST
    b = drawn.seen({"B": 1})["circles"][0]
    assert (a["x"], b["x"]) == (MARGIN, WIDTH - MARGIN)


def test_across_the_date_line_stations_are_neighbours():
    places = station_places(deployments(("A", 60.0, 179.99), ("B", 60.0, -179.99)))
    assert abs(places["x"].diff().iloc[1]) == pytest.approx(1112, abs=2), "0.02 degrees at 60 north, in metres"


def test_one_station_or_none():
    alone = StationMap(station_places(deployments(("A", -24.5, 31.4))))
    assert alone.ground()["scale"] is None and len(alone.seen({"A": 2})["circles"]) == 1
    nowhere = StationMap(station_places(deployments(("A", None, None)).astype({"latitude": float, "longitude": float})))
    assert nowhere.seen({"A": 2}) is None
    assert nowhere.ground()["dots"] == ""


def test_the_scale_is_round():
    east = 10 + 5000 / 111195
    scale = StationMap(station_places(deployments(("A", 0.0, 10.0), ("B", 0.0, east)))).ground()["scale"]
    assert scale == {"width": round((WIDTH - 2 * MARGIN) / 5), "text": "1 km"}
