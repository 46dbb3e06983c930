"""Effort: where stations stand in metres, how the survey's time is cut into occasions, and which station ran when.

An occasion lasts whole days, from noon to noon, so that no night is cut. A station with two cameras runs while either
does. It ran on an occasion if it did for half of it or longer, or if it took an animal then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from pyproj import Transformer

from pelage.common.errors import PelageError

Interval = tuple[np.datetime64, np.datetime64]
"""From when to when a station ran."""

NOON = pd.Timedelta(hours=12)
DAY = pd.Timedelta(days=1)
LONGEST_DAYS = 120
"""A survey that lasts longer is hardly one of a closed population (Karanth and Nichols 1998; Harmsen et al. 2020)."""


@dataclass(frozen=True)
class Effort:
    """When and where a survey looked.

    Attributes:
        stations: `(K,)` names, sorted.
        places: `(K, 2)` metres east and north, NaN where nobody told.
        crs: The projection of `places`, such as EPSG:32735; empty without places.
        edges: `(S + 1,)` datetime64[s], noons between which the occasions lie.
        usage: `(S, K)` bool, whether a station ran on an occasion.
        running: Of each station, when it ran, in order.
        operating_days: `(K,)` days on which each station ran, a fraction where it stopped at noon.
        rests_on_photos: Stations of which only photos tell when they ran.
        outside: Sightings at a time when their station, as far as was told, did not run.
    """

    stations: np.ndarray
    places: np.ndarray
    crs: str
    edges: np.ndarray
    usage: np.ndarray
    running: tuple[list[Interval], ...]
    operating_days: np.ndarray
    rests_on_photos: int = 0
    outside: int = 0

    @property
    def occasions(self) -> int:
        """How many occasions there are."""
        return max(len(self.edges) - 1, 0)

    @property
    def days(self) -> float:
        """Days from the first noon to the last."""
        return float((self.edges[-1] - self.edges[0]) / np.timedelta64(1, "D")) if len(self.edges) else 0.0

    @property
    def located(self) -> np.ndarray:
        """`(K,)` bool, which stations have places."""
        return ~np.isnan(self.places[:, 0])

    def occasion_of(self, moments: pd.Series) -> np.ndarray:
        """Return the occasion of each moment, -1 where it is of none or missing."""
        if not self.occasions:
            return np.full(len(moments), -1)
        times = moments.to_numpy("datetime64[s]")
        found = np.searchsorted(self.edges, times, side="right") - 1
        return np.where(np.isnat(times) | (found < 0) | (found >= self.occasions), -1, found)


def survey_effort(
    deployments: pd.DataFrame, moments: pd.Series, occasion_days: int, first: str | None, last: str | None
) -> Effort:
    """Cut the time of the deployments into occasions.

    Args:
        deployments: Rows of data/deployments.csv; `start` and `end` are ISO 8601.
        moments: When animals were seen; they tell the time of a survey without any deployment, and nothing else.
        occasion_days: Days of an occasion.
        first, last: Days between which the survey is counted, such as 2025-03-01; None: all of it.

    Raises:
        PelageError: Nothing is left between `first` and `last`.
    """
    start, end = (pd.to_datetime(deployments[name], format="ISO8601", errors="coerce") for name in ("start", "end"))
    timed = start.notna() & end.notna()
    deployments, start, end = deployments[timed], start[timed], end[timed]
    known = moments.dropna()
    begin = start.min() if len(start) else known.min() if len(known) else None
    over = end.max() if len(end) else known.max() if len(known) else None
    if begin is not None and first:
        begin = max(begin, pd.Timestamp(first))
    if over is not None and last:
        over = min(over, pd.Timestamp(last) + DAY)
    if begin is not None and begin > over:
        raise PelageError(
            f"params.yaml: no camera ran between count.first ({first}) and count.last ({last}). Mend or empty them."
        )
    names = np.unique(deployments["station"].to_numpy(str)) if len(deployments) else np.array([], str)
    places, crs = station_places(deployments, names)
    edges = noons(begin, over, occasion_days)
    usage, days = np.zeros((max(len(edges) - 1, 0), len(names)), bool), np.zeros(len(names))
    running = []
    for place, name in enumerate(names):
        own = (deployments["station"] == name).to_numpy()
        running.append(joined(start[own].to_numpy("datetime64[s]"), end[own].to_numpy("datetime64[s]")))
        covered = seconds_covered(running[-1], edges)
        usage[:, place] = covered >= occasion_days * 86400 / 2
        days[place] = covered.sum() / 86400
    by_photos = deployments.loc[deployments["rests_on"] == "photos", "station"]
    told = set(deployments.loc[deployments["rests_on"] != "photos", "station"])
    return Effort(names, places, crs, edges, usage, tuple(running), days, len(set(by_photos) - told))


def noons(begin: pd.Timestamp | None, over: pd.Timestamp | None, occasion_days: int) -> np.ndarray:
    """Return noons, `occasion_days` apart, from the last one before `begin` to the first one after `over`."""
    if begin is None:
        return np.array([], "datetime64[s]")
    noon = (begin - NOON).normalize() + NOON
    count = max(int(np.ceil((over - noon) / (DAY * occasion_days))), 1)
    count += noon + count * occasion_days * DAY <= over
    return np.array([noon + number * occasion_days * DAY for number in range(count + 1)], "datetime64[s]")


def joined(start: np.ndarray, end: np.ndarray) -> list[Interval]:
    """Return the intervals in which at least one of these runs, in order and apart."""
    together: list[Interval] = []
    for first, last in sorted(zip(start, end, strict=True)):
        if together and first <= together[-1][1]:
            together[-1] = (together[-1][0], max(together[-1][1], last))
        else:
            together.append((first, last))
    return together


def seconds_covered(running: Sequence[Interval], edges: np.ndarray) -> np.ndarray:
    """Return how many seconds of each occasion `(S,)` the intervals cover."""
    covered = np.zeros(max(len(edges) - 1, 0))
    for first, last in running:
        shared = np.minimum(edges[1:], last) - np.maximum(edges[:-1], first)
        covered += np.maximum(shared / np.timedelta64(1, "s"), 0)
    return covered


def seen_at(effort: Effort, seen: pd.DataFrame) -> Effort:
    """Return effort in which stations ran where animals were seen, and how often nothing had told so.

    Args:
        effort: What deployments tell.
        seen: Sightings, `station, occasion` (from 0) and `date`; a station that no deployment names stays out.
    """
    place = pd.Index(effort.stations).get_indexer(pd.Index(seen["station"]))
    known = place >= 0
    occasion = seen["occasion"].to_numpy(int)[known]
    moment, place = seen["date"].to_numpy("datetime64[s]")[known], place[known]
    running = np.array([any(a <= at <= b for a, b in effort.running[k]) for at, k in zip(moment, place, strict=True)])
    usage = effort.usage.copy()
    usage[occasion, place] = True
    return replace(effort, usage=usage, outside=int((~running.astype(bool)).sum()))


def station_places(deployments: pd.DataFrame, stations: np.ndarray) -> tuple[np.ndarray, str]:
    """Return `(K, 2)` metres, the mean of each station's cameras and NaN where none has a place, and their projection.

    The projection is the UTM zone of the stations' middle, WGS 84.
    """
    degrees = deployments.assign(
        **{name: pd.to_numeric(deployments[name], errors="coerce") for name in ("latitude", "longitude")}
    )
    degrees = degrees.groupby("station")[["latitude", "longitude"]].mean().reindex(stations).to_numpy(float)
    places = np.full((len(stations), 2), np.nan)
    known = ~np.isnan(degrees).any(axis=1)
    if not known.any():
        return places, ""
    crs = utm(*degrees[known].T)
    places[known] = np.stack(Transformer.from_crs("EPSG:4326", crs).transform(*degrees[known].T), axis=1)
    return places, crs


def utm(latitude: np.ndarray, longitude: np.ndarray) -> str:
    """Return the EPSG code of the UTM zone of the places' middle, which may lie on the 180th meridian."""
    turn = np.deg2rad(longitude)
    middle = np.rad2deg(np.arctan2(np.sin(turn).mean(), np.cos(turn).mean()))
    zone = int((middle + 180) // 6) % 60 + 1
    return f"EPSG:{(32600 if latitude.mean() >= 0 else 32700) + zone}"


def to_degrees(places: np.ndarray, crs: str) -> np.ndarray:
    """Return `(N, 2)` latitudes and longitudes of metres in a projection."""
    return np.stack(Transformer.from_crs(crs, "EPSG:4326").transform(*np.asarray(places, float).T), axis=1)


def occasion_table(effort: Effort) -> pd.DataFrame:
    """Return one row a station and occasion: `station, occasion (from 1), start, end, operating`."""
    starts, ends = (np.datetime_as_string(edges, unit="s") for edges in (effort.edges[:-1], effort.edges[1:]))
    table = pd.DataFrame({"occasion": np.arange(1, effort.occasions + 1), "start": starts, "end": ends})
    table = pd.DataFrame({"station": effort.stations}).merge(table, how="cross")
    return table.assign(operating=effort.usage.T.ravel())
