"""A map of stations as a drawing: where each lies to the others, and where one animal was seen how often.

The drawing tells no coordinates, for poachers read reports too; a bar tells the scale.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from pelage.animals.effort import station_places

WIDTH, MARGIN, HIGHEST = 600, 46, 460
"""Units of the drawing: its width, the margin around the stations, and its height at most."""

LABELLED = 12
"""Stations of a map that have their name beside them; the others tell it when they are pointed at."""

CIRCLES = 60
"""Stations that a map marks."""


class StationMap:
    """The stations of a survey in the plane of a drawing.

    Args:
        deployments: Rows of `data/deployments.csv`; a station without coordinates has no place.
    """

    def __init__(self, deployments: pd.DataFrame) -> None:
        names = np.unique(deployments["station"].to_numpy(str))
        metres, _ = station_places(deployments, names)
        there = ~np.isnan(metres).any(axis=1)
        metres = metres[there] * (1, -1)  # down is south
        least = metres.min(axis=0) if len(metres) else np.zeros(2)
        size = np.ptp(metres, axis=0) if len(metres) else np.zeros(2)
        room = np.array([WIDTH - 2 * MARGIN, HIGHEST - 2 * MARGIN])
        factor = (room[size > 0] / size[size > 0]).min(initial=np.inf)
        factor = float(factor) if np.isfinite(factor) else 1.0
        self.height = round(size[1] * factor + 2 * MARGIN)
        start = np.array([MARGIN + (room[0] - size[0] * factor) / 2, MARGIN])
        places = np.rint(start + (metres - least) * factor).astype(int).tolist()
        self._at = dict(zip(names[there].tolist(), map(tuple, places), strict=True))
        self.dots = "".join(f"M{left} {top}h0" for left, top in dict.fromkeys(self._at.values()))
        self.scale = _scale(factor) if size.any() else None

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
