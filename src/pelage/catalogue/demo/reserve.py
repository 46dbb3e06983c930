"""The reserve: where its stations stand, where each animal is at home, when which camera runs.

A fence closes the population. An animal that patrols passes a station with a probability that falls with the station's
distance from its home as a half-normal, as spatial capture-recapture has it (Borchers and Efford, Biometrics 2008); on
a patrol it passes one station or none.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

import numpy as np
from pyproj import Transformer

from pelage.common.seeds import generator

START = datetime(2025, 3, 1)
CRS = "EPSG:32735"
"""UTM zone 35 south, in which eastings and northings are."""

CORNER = (660_000.0, 7_550_000.0)
"""Easting and northing of the first station: hills and riverine forest in the east of Botswana."""

SPACING_M, JITTER_M = 3000.0, 350.0
"""Between neighbouring stations, and by how much each is set aside, for a camera stands where a trail is."""

SIGMA_M = 1600.0
"""Scale of the half-normal."""

FENCE_M = 2000.0
"""From the stations around to the fence: nobody lives farther than this from the nearest one."""

OFTEN = 0.95
"""Probability that the animal with most stations around it passes one on a patrol."""

UNNAMED = 6
"""One in so many days, the last ones: nobody has told yet who is on their photos."""

RARE = 12
"""One in so many animals is photographed in those days only."""

Camera = tuple[int, int]
"""Station and side, from 0."""

Interval = tuple[datetime, datetime]


@dataclass(frozen=True)
class Reserve:
    """A reserve, laid out by `seed`.

    Attributes:
        seed: All places and days depend on it.
        individuals: Number of animals, all of them there all the time.
        stations: Number of stations, of two cameras each.
        days: Length of the survey.
    """

    seed: int
    individuals: int
    stations: int
    days: int

    @property
    def unnamed_from(self) -> datetime:
        """When the days begin whose photos are not named yet; there is none in a survey of three days or fewer."""
        return START + timedelta(days=self.days - round(self.days / UNNAMED))

    @property
    def end(self) -> datetime:
        """When the last day is over."""
        return START + timedelta(days=self.days)

    @cached_property
    def places(self) -> np.ndarray:
        """Eastings and northings of the stations, `(S, 2)` metres: a grid, a little wider than high, with jitter."""
        columns = int(np.ceil(np.sqrt(self.stations * 4 / 3)))
        grid = np.stack(np.divmod(np.arange(self.stations), columns)[::-1], axis=1) * SPACING_M
        aside = [generator(self.seed, "demo", "place", s).uniform(-JITTER_M, JITTER_M, 2) for s in range(self.stations)]
        return np.array(CORNER) + grid + np.array(aside)

    @cached_property
    def homes(self) -> np.ndarray:
        """Middles of the home ranges, `(N, 2)` metres.

        Animals keep apart: each takes, of a few places anywhere inside the fence, the one farthest from those before.
        """
        low, high = self.places.min(axis=0) - FENCE_M, self.places.max(axis=0) + FENCE_M
        homes = np.empty((self.individuals, 2))
        for individual in range(self.individuals):
            free = generator(self.seed, "demo", "home", individual).uniform(low, high, (100, 2))
            inside = np.linalg.norm(free[:, None] - self.places, axis=2).min(axis=1) < FENCE_M
            free = free[inside][:4]
            apart = np.linalg.norm(free[:, None] - homes[:individual], axis=2).min(axis=1, initial=np.inf)
            homes[individual] = free[np.argmax(apart)]
        return homes

    @cached_property
    def passing(self) -> np.ndarray:
        """Probability that an animal passes a station on a patrol, `(N, S)`; rows add up to at most `OFTEN`."""
        distance = np.linalg.norm(self.homes[:, None] - self.places, axis=2)
        half_normal = np.exp(-(distance**2) / (2 * SIGMA_M**2))
        return OFTEN * half_normal / half_normal.sum(axis=1).max()

    @cached_property
    def rare(self) -> frozenset[int]:
        """Animals that are photographed in the unnamed days only: those at the fence, with fewest stations around.

        They are there all the time and patrol as the others do, so the population is closed; only the days on which
        they pass a station are drawn from the last ones. Nothing else about detection depends on time.
        """
        order = np.argsort(self.passing.sum(axis=1), kind="stable")
        return frozenset(order[: self.individuals // RARE].tolist())

    @cached_property
    def operation(self) -> dict[Camera, list[Interval]]:
        """When each camera runs: from the first day to the last, but for three that did not.

        One station falls silent for a sixth of the days, and one camera of another is brought so much later.
        """
        running: dict[Camera, list[Interval]] = {}
        order = generator(self.seed, "demo", "silent").permutation(self.stations)
        silent, late = int(order[0]), int(order[-1])
        for station in range(self.stations):
            rng = generator(self.seed, "demo", "operation", station)
            first, last = (timedelta(hours=int(rng.integers(7, 16)), minutes=int(rng.integers(60))) for _ in range(2))
            begin, over = START + first, max(self.end - timedelta(days=1) + last, START + first + timedelta(hours=1))
            for side in (0, 1):
                running[station, side] = [(begin, over)]
            pause = timedelta(days=self.days // 6)
            if station == silent and pause:
                fails = begin + timedelta(days=self.days // 3, hours=9.5)
                for side in (0, 1):
                    running[station, side] = [(begin, fails), (fails + pause, over)]
            if station == late and pause:
                running[station, 1] = [(begin + pause, over)]
        return running

    def runs(self, camera: Camera, time: datetime) -> bool:
        """Tell whether a camera runs."""
        return any(begin <= time < over for begin, over in self.operation[camera])


def degrees(places: np.ndarray) -> np.ndarray:
    """Return latitudes and longitudes `(N, 2)` of eastings and northings, to a tenth of a metre."""
    latitude, longitude = Transformer.from_crs(CRS, "EPSG:4326").transform(*places.T)
    return np.round(np.stack([latitude, longitude], axis=1), 6)
