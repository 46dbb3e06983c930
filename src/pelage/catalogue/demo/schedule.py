"""Who passes which station when, what every camera makes of it, and what goes wrong with the files.

Everything has a random stream of its own, named by what it is; so a larger survey has all photos of a smaller one: its
animals patrol more often.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import numpy as np

from pelage.catalogue.demo.animal import Pose
from pelage.catalogue.demo.reserve import START, Reserve
from pelage.common.errors import PelageError
from pelage.common.seeds import derive, generator

RESET = datetime(2015, 1, 1)
"""What the camera with the wrong clock took for the first day."""
PATROLS = 30
"""Patrols of each animal of which a survey may have photos."""
REST = timedelta(hours=8)
"""Least time between two encounters of an animal, in which it gets from any station to any other at a walk."""
HALF_WAY = 2.7
"""Metres from either camera of a station to the trail between them."""

_BLOCK = 100
_DIRT = (
    *("zero_byte", "truncated", "png", "duplicate", "near_duplicate"),
    *("no_exif",) * 2,
    *("blurred",) * 3,
    *("over_exposed",) * 3,
)


@dataclass(frozen=True)
class Actor:
    """An animal in one moment: metres along the trail and across it (0: half way), heading in radians, pose."""

    individual: int
    along: float
    across: float
    heading: float
    pose: Pose


@dataclass(frozen=True)
class Shot:
    """One photo of one camera.

    Attributes:
        encounter: True encounter, empty when nothing came by.
        station: From 0.
        side: Camera of the station, 0 or 1; they face each other across the trail.
        frame: Place in the burst, from 0.
        time: When, in truth.
        actors: Animals; the first is the one that the table names.
        light: Seed of sun and leaves' shadows, one an encounter.
        number: Number in the camera's file names.
        dirt: What is wrong with the file, or empty.
    """

    encounter: str
    station: int
    side: int
    frame: int
    time: datetime
    actors: tuple[Actor, ...]
    light: int
    number: int = 0
    dirt: str = ""

    @property
    def camera(self) -> str:
        """Name of the camera, such as `S03A`."""
        return camera_name(self.station, self.side)

    @property
    def image_id(self) -> str:
        """Name of the file without its ending; a copy made by hand has a suffix."""
        suffix = {"duplicate": "-1", "near_duplicate": "_edit"}.get(self.dirt, "")
        return f"{self.camera}_{self.number:04d}{suffix}"


def camera_name(station: int, side: int) -> str:
    """Return the name of a camera, such as `S03A`; without the last letter it is that of its station."""
    return f"S{station + 1:02d}{'AB'[side]}"


@dataclass(frozen=True)
class Survey:
    """The size of a survey, checked."""

    seed: int
    individuals: int
    stations: int
    days: int
    photos: int

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Survey:
        """Read an entry of `datasets` in params.yaml.

        Raises:
            PelageError: A number is missing or not a whole number of at least 1 (0 for the seed).
        """
        values = {}
        for key, least in (("seed", 0), ("individuals", 1), ("stations", 1), ("days", 1), ("photos", 1)):
            value = entry.get(key)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise PelageError(
                    f"params.yaml: {key} of the synthetic data set is {value!r}; give a whole number from {least} up."
                )
            values[key] = value
        return cls(**values)

    @property
    def reserve(self) -> Reserve:
        """Where it takes place."""
        return Reserve(self.seed, self.individuals, self.stations, self.days)


def plan_shots(survey: Survey) -> list[Shot]:
    """Return the first `survey.photos` photos in the order in which they are made; a larger number only adds to them.

    Raises:
        PelageError: So few animals do not leave so many photos.
    """
    events = list(_events(survey))
    numbers = _file_numbers([shot for event in events for shot in event])
    numbered = [replace(shot, number=numbers[id(shot)]) for event in events for shot in event]
    shots = list(islice(_with_dirt(survey.seed, numbered), survey.photos))
    if len(shots) < survey.photos:
        raise PelageError(
            f"params.yaml: the synthetic survey cannot have {survey.photos} photos, because {survey.individuals} "
            f"individuals on up to {PATROLS} patrols leave {len(shots)}. Lower photos or raise individuals."
        )
    return shots


def wrong_clock_camera(survey: Survey) -> tuple[int, int]:
    """Return station and side of the camera whose clock is wrong: the first that takes a photo."""
    first = next(_events(survey))[0]
    return first.station, first.side


def _events(survey: Survey) -> Iterator[list[Shot]]:
    """Yield all encounters that the survey could have, in a shuffled order, with empty frames between them.

    First come those of each animal's first patrol, then those of its second; a patrol may be on any day.
    """
    reserve = survey.reserve
    met: dict[int, list[datetime]] = defaultdict(list)
    for patrol in range(PATROLS):
        order = generator(survey.seed, "demo", "round", patrol).permutation(survey.individuals)
        for individual in map(int, order):
            rng = generator(survey.seed, "demo", "encounter", individual, patrol)
            shots = _encounter(reserve, individual, patrol, met, rng)
            if shots:
                yield shots
            rng = generator(survey.seed, "demo", "empty", individual, patrol)
            if rng.random() < 0.085 and (frames := _empty(reserve, individual, patrol, rng)):
                yield frames


def _encounter(
    reserve: Reserve, individual: int, patrol: int, met: dict[int, list[datetime]], rng: np.random.Generator
) -> list[Shot]:
    """Return the photos of a patrol, none where the animal passes no camera that runs; `met` gets who was seen when."""
    seed = reserve.seed
    chance = reserve.passing[individual]
    passes = rng.random() < chance.sum()
    station = int(rng.choice(reserve.stations, p=chance / chance.sum()))
    start = _moment(reserve, individual in reserve.rare, rng)
    running = [side for side in (0, 1) if reserve.runs((station, side), start)]
    if not passes or not running or not _rested(met[individual], start):
        return []
    mode = rng.choice(["pass", "approach", "stand"], p=[0.70, 0.20, 0.10])
    direction = float(rng.choice([-1.0, 1.0]))
    yaw = float(np.clip(rng.normal(0, 0.22), -0.5, 0.5))
    base = Pose(
        phase=float(rng.random()),
        stride=float(rng.uniform(0.10, 0.16)) if mode != "stand" else 0.05,
        head_drop=float(np.clip(rng.normal(0.05, 0.08), -0.05, 0.22)),
        head_pitch=float(rng.normal(-0.05, 0.1)),
        tail_lift=float(rng.uniform(-0.1, 0.45)),
        tail_sway=float(rng.normal(0, 0.12)),
        bulk=float(generator(seed, "demo", "build", individual).uniform(0.92, 1.1)),
    )
    glance = int(rng.integers(2)) if rng.random() < 0.6 else None  # the camera that it looks at
    lane = float(rng.uniform(-0.6, 0.6))
    companion = _companion(reserve, individual, station, start, met, rng) if rng.random() < 0.06 else None
    for seen in (individual, companion):
        if seen is not None:
            met[seen].append(start)
    turn = float(rng.choice([-1.0, 1.0])) * np.pi / 2 + rng.normal(0, 0.3)
    light = derive(seed, "demo", "light", individual, patrol)
    shots = []
    triggered = [side for side in running if rng.random() < 0.88] or [int(rng.choice(running))]
    for side in triggered:
        frames = int(rng.choice([1, 2, 3, 4, 5], p=[0.55, 0.28, 0.11, 0.04, 0.02]))
        time = start + timedelta(seconds=int(rng.integers(3)))
        phase = rng.uniform(-0.42, 0.42) - 0.11 * (frames - 1)
        for frame in range(frames):
            progress = phase + frame * 0.22 + rng.normal(0, 0.04)  # share of the way through the view, middle is 0
            sway = rng.normal(0, 0.08, 3)
            if mode == "pass":
                heading, along, across = (0.0 if direction > 0 else np.pi) + yaw, direction * 1.3 * progress, lane
            elif mode == "approach":
                heading = turn
                along, across = 0.5 * lane + np.cos(turn) * progress, np.sin(turn) * 1.5 * progress
            else:
                heading, along, across = (0.0 if direction > 0 else np.pi) + yaw, 0.6 * lane, lane
            head_yaw = sway[0]
            if glance is not None:
                towards = _angle_to_camera(along, across, heading, glance)
                head_yaw = float(np.clip(0.92 * towards, -1.35, 1.35)) + sway[0]
            step = 0.0 if mode == "stand" else progress * 1.5 / 0.55
            pose = replace(
                base,
                phase=base.phase + step,
                head_yaw=float(head_yaw),
                head_pitch=float(base.head_pitch + 0.5 * sway[1]),
                tail_sway=float(base.tail_sway + 0.6 * sway[2]),
            )
            actors = [Actor(individual, float(along), float(across), float(heading), pose)]
            if companion is not None:
                behind = -1.05 if mode != "approach" else -0.9
                shifted = (along + behind * np.cos(heading), across + behind * np.sin(heading) + 0.3)
                other = replace(pose, phase=pose.phase + 0.37, head_yaw=0.0, head_drop=0.03)
                actors.append(Actor(companion, float(shifted[0]), float(shifted[1]), float(heading), other))
            name = f"E{individual + 1:02d}-{patrol + 1}"
            shots.append(Shot(name, station, side, frame, time, tuple(actors), light))
            time += timedelta(seconds=int(rng.integers(1, 4)))
    return shots


def _moment(reserve: Reserve, rare: bool, rng: np.random.Generator) -> datetime:
    """Return when a patrol passes a station: by day or around midnight, on any day, or on one of the unnamed ones."""
    hour = rng.uniform(6.4, 17.8) if rng.random() < 0.45 else (rng.normal(0.0, 3.0) - 0.5) % 24
    first = (reserve.unnamed_from - START).days if rare else 0
    return START + timedelta(days=int(rng.integers(first, reserve.days)), seconds=round(hour * 3600))


def _rested(met: list[datetime], time: datetime) -> bool:
    return all(abs(time - other) >= REST for other in met)


def _companion(
    reserve: Reserve,
    individual: int,
    station: int,
    time: datetime,
    met: dict[int, list[datetime]],
    rng: np.random.Generator,
) -> int | None:
    """Return who walks along: an animal that passes the station as well, if there is one that can be there."""
    early = time < reserve.unnamed_from
    free = [
        other
        for other in range(reserve.individuals)
        if other != individual and not (early and other in reserve.rare) and _rested(met[other], time)
    ]
    near = reserve.passing[free, station]
    return int(rng.choice(free, p=near / near.sum())) if near.sum() > 0 else None


def _angle_to_camera(along: float, across: float, heading: float, side: int) -> float:
    """Return the angle between an animal's heading and a camera, to its left positive, from -pi to pi."""
    camera = np.array([0.0, -HALF_WAY if side == 0 else HALF_WAY])
    bearing = np.arctan2(camera[1] - across, camera[0] - along)
    return float((bearing - heading + np.pi) % (2 * np.pi) - np.pi)


def _empty(reserve: Reserve, individual: int, patrol: int, rng: np.random.Generator) -> list[Shot]:
    """Return frames that wind or sun released, none where the camera does not run."""
    station, side = int(rng.integers(reserve.stations)), int(rng.integers(2))
    time = START + timedelta(days=int(rng.integers(reserve.days)), seconds=int(rng.integers(86400)))
    if not reserve.runs((station, side), time):
        return []
    light = derive(reserve.seed, "demo", "empty light", individual, patrol)
    return [
        Shot("", station, side, frame, time + timedelta(seconds=2 * frame), (), light)
        for frame in range(int(rng.integers(1, 3)))
    ]


def _file_numbers(shots: list[Shot]) -> dict[int, int]:
    """Return the number of each shot (by `id`) in its camera's files, in the order of time."""
    numbers, last = {}, {}
    for shot in sorted(shots, key=lambda s: (s.camera, s.time, s.encounter, s.frame)):
        last[shot.camera] = numbers[id(shot)] = last.get(shot.camera, 0) + 1
    return numbers


def _with_dirt(seed: int, shots: list[Shot]) -> Iterator[Shot]:
    """Yield the shots, each block of 100 photos with every kind of dirt; a copy follows its original."""
    count = 0
    for shot in shots:
        block, place = divmod(count, _BLOCK)
        # Even places only: a copy takes the odd one after its original.
        places = (2 * generator(seed, "demo", "dirt", block).permutation(_BLOCK // 2)[: len(_DIRT)]).tolist()
        dirt = _DIRT[places.index(place)] if place in places else ""
        if dirt in ("duplicate", "near_duplicate"):
            yield shot
            count += 1
        yield replace(shot, dirt=dirt)
        count += 1
