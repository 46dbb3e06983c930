"""A map of stations as a drawing: where each lies to the others, and where one animal was seen how often.

The drawing tells no coordinates, for poachers read reports too; a bar tells the scale.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

WIDTH, MARGIN, HIGHEST = 600, 46, 460
"""Units of the drawing: its width, the margin around the stations, and its height at most."""

LABELLED = 12
"""Stations of a map that have their name beside them; the others tell it when they are pointed at."""

CIRCLES = 60
"""Stations that a map marks."""

EARTH = 6_371_000.0
"""Radius in metres."""


def station_places(deployments: pd.DataFrame) -> pd.DataFrame:
    """Return where stations lie, in metres east and north of their middle (equirectangular, good for 100 km or so).

    Args:
        deployments: Rows of `data/deployments.csv`, with numbers; a row without coordinates says nothing.

    Returns:
        `station`, `x`, `y`, a row a station; the mean of its rows.
    """
    told = deployments.dropna(subset=["latitude", "longitude"])
    mean = told.groupby("station")[["latitude", "longitude"]].mean()
    if mean.empty:
        return pd.DataFrame({"station": [], "x": [], "y": []})
    middle = mean["latitude"].mean()
    turned = (mean["longitude"] - mean["longitude"].iloc[0] + 180) % 360 - 180  # across the date line, too
    scale = math.radians(1) * EARTH
    x, y = turned * scale * math.cos(math.radians(middle)), (mean["latitude"] - middle) * scale
    return pd.DataFrame({"x": x - x.mean(), "y": y}).reset_index()


class StationMap:
    """The stations of a survey in the plane of a drawing.

    Args:
        places: What `station_places` returns.
    """

    def __init__(self, places: pd.DataFrame) -> None:
        x, y = places["x"].astype(float), -places["y"].astype(float)
        wide, high = (float(side.max() - side.min()) if len(side) else 0.0 for side in (x, y))
        room = WIDTH - 2 * MARGIN, HIGHEST - 2 * MARGIN
        factor = min((space / size for space, size in zip(room, (wide, high), strict=True) if size > 0), default=1.0)
        self.height = round(high * factor + 2 * MARGIN)
        across, down = MARGIN + (room[0] - wide * factor) / 2, MARGIN
        self._at = {
            station: (round(across + (left - x.min()) * factor), round(down + (top - y.min()) * factor))
            for station, left, top in zip(places["station"], x, y, strict=True)
        }
        self.dots = "".join(f"M{left} {top}h0" for left, top in dict.fromkeys(self._at.values()))
        self.scale = _scale(factor) if wide or high else None

    def ground(self) -> dict[str, Any]:
        """Return the drawing that all maps share: every station as a dot, and the scale."""
        return {"width": WIDTH, "height": self.height, "dots": self.dots, "scale": self.scale}

    def seen(self, counts: Mapping[str, int]) -> dict[str, Any] | None:
        """Return what an animal's map shows on top of that; None where none of its stations has a place.

        Args:
            counts: Encounters by station, most first.
        """
        there = [(station, count) for station, count in counts.items() if station in self._at][:CIRCLES]
        if not there:
            return None
        most = max(count for _, count in there)
        circles = [
            {
                "x": self._at[station][0],
                "y": self._at[station][1],
                "r": round(6 + 12 * math.sqrt(count / most)),
                "told": f"{station} × {count}" if count > 1 else station,
                "labelled": place < LABELLED,
            }
            for place, (station, count) in enumerate(there)
        ]
        return {"width": WIDTH, "height": self.height, "circles": circles}


def _scale(factor: float) -> dict[str, Any]:
    """Return a bar of a round length, about a fifth of the drawing."""
    metres = WIDTH / 5 / factor
    unit = 10 ** math.floor(math.log10(metres))
    length = max(step * unit for step in (1, 2, 5) if step * unit <= metres)
    return {"width": round(length * factor), "text": f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"}
