"""Capture histories: which animal was seen at which station on which occasion, by left, by right, by both flanks.

The flanks of an animal look different, and an animal seen from one side only may be another one that was seen from the
other side only. So the left flanks are a population's capture history, the right ones another one of the same animals,
and both are counted, never added or averaged (Bonner and Holmberg 2013). `linked` is what pairs of cameras are for:
animals known from both flanks, with their captures of either, and of those known from one flank the side that has more
of them.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from pelage.animals.effort import Effort
from pelage.animals.spatial import Detections

LINKED = "linked"
SIDES = ("left", "right")
POPULATIONS = (LINKED, *SIDES)
CANNOT_TELL = "cannot_tell"
NAMED, SURVEY = "named", "survey"
CAPTURES = ["individual", "station", "occasion", "side", "encounters"]
COLUMNS = ["unit", "individual", "side", "station", "encounter", "date"]


def sightings(individuals: pd.DataFrame, units: pd.DataFrame) -> pd.DataFrame:
    """Return one row a unit whose animal is told: `COLUMNS`, `date` a moment (or missing), rows in order of `unit`.

    Args:
        individuals: Rows of data/individuals.csv, named and survey units.
        units: Rows of data/units.csv; they tell the camera, which is the station of a unit that has none.
    """
    told = individuals[individuals["scope"].isin((NAMED, SURVEY)) & (individuals["individual"] != "")]
    told = told[told["answer"] != CANNOT_TELL]
    cameras = units.drop_duplicates(["scope", "unit"]).set_index(["scope", "unit"])["camera"]
    camera = cameras.reindex(pd.MultiIndex.from_frame(told[["scope", "unit"]])).fillna("").to_numpy()
    told = told.assign(
        station=told["station"].where(told["station"] != "", camera),
        date=pd.to_datetime(told["date"].where(told["date"] != ""), format="ISO8601", errors="coerce"),
    )
    return told.sort_values(["scope", "unit"], ignore_index=True)[COLUMNS]


def in_time(seen: pd.DataFrame, effort: Effort) -> pd.DataFrame:
    """Return the sightings of the survey's time, with their `occasion` (from 0); the others have no place in it."""
    seen = seen.assign(occasion=effort.occasion_of(seen["date"]))
    return seen[seen["occasion"] >= 0].reset_index(drop=True)


def left_out(individuals: pd.DataFrame, told: pd.DataFrame, seen: pd.DataFrame) -> dict[str, int]:
    """Return how many named and survey units are not counted, by reason in words.

    Args:
        individuals: Rows of data/individuals.csv.
        told: Their `sightings`.
        seen: Those `in_time`.
    """
    asked = individuals["scope"].isin((NAMED, SURVEY)).sum()
    undated = int(told["date"].isna().sum())
    return {
        "nobody can tell which animal they show": int(asked) - len(told),
        "they have no date": undated,
        "they are of a time that is not counted": len(told) - undated - len(seen),
    }


def population(seen: pd.DataFrame, which: str) -> pd.DataFrame:
    """Return the sightings that are the capture history of `left`, `right` or `linked`."""
    if which in SIDES:
        return seen[seen["side"] == which]
    sides = {side: set(seen.loc[seen["side"] == side, "individual"]) for side in SIDES}
    one_sided = {side: sides[side] - sides[other] for side, other in zip(SIDES, SIDES[::-1], strict=True)}
    fewer = min(SIDES[::-1], key=lambda side: len(one_sided[side]))
    of_either = set(seen.loc[~seen["side"].isin(SIDES), "individual"])
    return seen[~seen["individual"].isin(one_sided[fewer] - of_either)]


def captures_table(seen: pd.DataFrame) -> pd.DataFrame:
    """Return `CAPTURES`: how many encounters an animal had at a station on an occasion (from 1), by side."""
    keys = CAPTURES[:-1]
    counted = seen.assign(occasion=seen["occasion"] + 1).groupby(keys, sort=True)["encounter"].nunique()
    return counted.rename("encounters").reset_index()


def history(seen: pd.DataFrame, occasions: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the animals `(M,)`, sorted, and whether each was seen on each occasion, `(M, S)`."""
    names, animal = np.unique(seen["individual"].to_numpy(str), return_inverse=True)
    seen_on = np.zeros((len(names), occasions), bool)
    seen_on[animal, seen["occasion"].to_numpy(int)] = True
    return names, seen_on


def detections(seen: pd.DataFrame, effort: Effort) -> tuple[np.ndarray, Detections]:
    """Return the animals seen at stations that have places, sorted, and the detections there, one an occasion."""
    located = np.flatnonzero(effort.located)
    station = pd.Index(effort.stations[located]).get_indexer(pd.Index(seen["station"]))
    cells = seen.assign(place=station)[station >= 0].drop_duplicates(["individual", "occasion", "place"])
    names, animal = np.unique(cells["individual"].to_numpy(str), return_inverse=True)
    usage, places = effort.usage[:, located], effort.places[located]
    return names, Detections(animal, cells["occasion"].to_numpy(int), cells["place"].to_numpy(int), usage, places)


def discovery(seen: pd.DataFrame, occasions: int) -> pd.DataFrame:
    """Return `occasion` (from 1), animals seen `on` it, `new` ones, and `animals` seen by then."""
    _, seen_on = history(seen, occasions)
    first = seen_on.argmax(axis=1) if seen_on.size else np.array([], int)
    new = np.bincount(first, minlength=occasions)
    on = seen_on.sum(axis=0)
    return pd.DataFrame({"occasion": np.arange(1, occasions + 1), "on": on, "new": new, "animals": new.cumsum()})
