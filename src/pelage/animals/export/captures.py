"""A survey's captures as other tools ask for them: who was caught at which station and occasion, and what operated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from pelage.animals.export.files import plain_ids
from pelage.common.errors import PelageError


@dataclass(frozen=True)
class Captures:
    """Captures of one population: N individuals, K stations, S occasions, C captures.

    Attributes:
        individuals: `(N,)` names, sorted.
        stations: `(K,)` names, sorted.
        occasions: `(S,)` names, in order of time.
        operating: `(K, S)` bool: which station operated on which occasion.
        caught: `(C, 3)` int: individual, station and occasion by position; rows differ and are sorted.
        places: `(K, 2)` metres east and north; NaN where no coordinates are told.
        cameras: `(K,)` int: cameras of a station.
        crs: Projection of `places`, such as EPSG:32735.
    """

    individuals: np.ndarray
    stations: np.ndarray
    occasions: np.ndarray
    operating: np.ndarray
    caught: np.ndarray
    places: np.ndarray
    cameras: np.ndarray
    crs: str = ""

    def ids(self) -> tuple[list[str], list[str]]:
        """Return plain ids of individuals and of stations, in their order."""
        animals, places = plain_ids(self.individuals), plain_ids(self.stations)
        return [animals[name] for name in self.individuals], [places[name] for name in self.stations]


def collect(captures: pd.DataFrame, operating: pd.DataFrame, stations: pd.DataFrame, crs: str) -> tuple[Captures, int]:
    """Put captures together with effort.

    Args:
        captures: `individual, station, occasion`; repeated rows are one capture, for a station tells of an animal once
            an occasion.
        operating: Stations in rows (the index), occasions in columns, bool.
        stations: `cameras`, and in metres `x` and `y`, by station (the index).
        crs: Projection of the metres.

    Returns:
        The captures, and how many were made where nothing told that the station operated: a photo proves that it did,
        and in what is returned it does.

    Raises:
        PelageError: There is no capture, or one of an occasion that `operating` does not have.
    """
    if captures.empty:
        raise PelageError("No individual of this population was caught: data/captures.csv has no row of it.")
    times = np.array(operating.columns)
    occasion = pd.Index(times).get_indexer(captures["occasion"])
    if (occasion < 0).any():
        row = int((occasion < 0).argmax())
        raise PelageError(
            f"data/captures.csv: occasion {captures['occasion'].iloc[row]!r} is not in data/occasions.csv. Run the "
            "stage count again."
        )
    names = np.unique(captures["individual"].to_numpy(object))
    places = np.unique(np.concatenate([operating.index.to_numpy(object), captures["station"].to_numpy(object)]))
    individual, station = (
        pd.Index(known).get_indexer(captures[name]) for known, name in ((names, "individual"), (places, "station"))
    )
    caught = np.unique(np.stack([individual, station, occasion], axis=1), axis=0)
    works = operating.reindex(places, fill_value=False).to_numpy(bool).copy()
    proved = ~works[caught[:, 1], caught[:, 2]]
    works[caught[:, 1], caught[:, 2]] = True
    told = stations.reindex(places)
    cameras = told["cameras"].fillna(1).to_numpy(int)
    made = Captures(names, places, times, works, caught, told[["x", "y"]].to_numpy(float), cameras, crs)
    return made, int(proved.sum())


def located(captures: Captures, name: str) -> tuple[Captures, dict[str, int]]:
    """Return what was caught at stations that have coordinates, and what is left out; the format `name` asks for them.

    Raises:
        PelageError: None of them has coordinates, or nothing was caught at those.
    """
    there = ~np.isnan(captures.places).any(axis=1)
    kept = there[captures.caught[:, 1]]
    if not kept.any():
        raise PelageError(
            f"{name} asks where stations are, and no station that caught an animal has coordinates: "
            f"{some(captures.stations[~there])}. Fill in latitude and longitude in the table that the data set's entry "
            "names in `deployments`; or export to mark, which needs none."
        )
    caught = captures.caught[kept]
    seen, caught[:, 0] = np.unique(caught[:, 0], return_inverse=True)
    caught[:, 1] = (np.cumsum(there) - 1)[caught[:, 1]]
    left = {
        "stations without coordinates": int((~there).sum()),
        "captures at stations without coordinates": int((~kept).sum()),
        "individuals caught nowhere else": len(captures.individuals) - len(seen),
    }
    made = replace(
        captures,
        individuals=captures.individuals[seen],
        stations=captures.stations[there],
        operating=captures.operating[there],
        caught=caught,
        places=captures.places[there],
        cameras=captures.cameras[there],
    )
    return made, left


def some(names: Sequence[str], most: int = 5) -> str:
    """List the first few of many names."""
    return ", ".join(map(str, names[:most])) + (f" and {len(names) - most} more" if len(names) > most else "")
