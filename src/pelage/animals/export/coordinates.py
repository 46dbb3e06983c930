"""Coordinates that may leave: as they are, rounded, or none. Poachers read data, too."""

from __future__ import annotations

import math

import pandas as pd

DEGREE_M = 111_320
"""Metres of a degree of longitude at the equator, the longest."""


def rounded(deployments: pd.DataFrame, decimals: int | None) -> pd.DataFrame:
    """Return deployments with latitude and longitude rounded to some decimals of a degree; None leaves them."""
    if decimals is None:
        return deployments
    return deployments.assign(**{name: deployments[name].round(decimals) for name in ("latitude", "longitude")})


def moved_by(decimals: int) -> int:
    """Return by how many metres rounding to so many decimals moves a place at most."""
    return math.ceil(math.sqrt(2) / 2 * 10.0**-decimals * DEGREE_M)
