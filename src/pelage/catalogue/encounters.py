"""Encounters: which photos are of one visit. Nothing of one encounter may ever stand on two sides of a split.

So whenever in doubt photos are put together: two animals that pass a station within the gap are one encounter.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pelage.common.tables import UNKNOWN

TOGETHER_S = 60.0
"""Span within which two cameras of a station take the same animal, for the comparison of their clocks."""

FEWEST = 4
"""Visits that both cameras must have seen before anything is said about their clocks."""


def encounters(photos: pd.DataFrame, gap_s: float, content: pd.Series | None = None) -> pd.Series:
    """Return the encounter of each photo.

    Photos are one encounter when they are linked, directly or in a chain, by one of these:

    * The source gives both the same encounter, whoever is on them.
    * They follow one another at one station within `gap_s`, unless they are of one camera and the source tells them
      apart. The station is the camera where it is not told; without either, the folder and the individual.
    * So it is after the clocks of a station's cameras have been set alike (`clock_offsets`).
    * They are one file listed twice, or have the same `content`.
    * One of them has no time but stands, by file name, between two photos of its folder that do, and the other is of
      the same individual, at the same station and of a time between theirs: a frame without EXIF belongs to its burst.

    A photo without a time is otherwise an encounter of its own.

    Args:
        photos: Columns `image_id, path, identity, date, camera, station, encounter` (the source's own, or empty).
        gap_s: Longest time between two photos of one visit, in seconds.
        content: Something equal for photos of equal content, such as a hash, and empty where it is not known.

    Returns:
        Names: those of the source, joined by `+` where several are one visit; else `station@time` of the first photo;
        else the image_id. They do not depend on the order of rows.
    """
    index, photos = photos.index, photos.reset_index(drop=True)
    place, time = _places(photos), _seconds(photos["date"])
    shifts = clock_offsets(photos, gap_s)
    offsets = photos[["station", "camera"]].merge(shifts, "left", ["station", "camera"])["offset_s"]
    shifted = time - offsets.fillna(0.0)
    keys = [photos["encounter"], photos["path"]] + ([] if content is None else [content])
    links = [_same(key) for key in keys]
    links += [_chain(photos, place, when, gap_s) for when in (time, shifted)]
    links.append(_between(photos, place, shifted))
    first, second = np.concatenate(links).T
    graph = coo_array((np.ones(len(first), bool), (first, second)), shape=(len(photos), len(photos)))
    visit = pd.Series(connected_components(graph, directed=False)[1])

    own = photos["encounter"].where(photos["encounter"] != "")
    told = pd.DataFrame({"visit": visit, "own": own}).dropna().drop_duplicates().sort_values("own")
    told = told.groupby("visit")["own"].agg("+".join)
    order = photos.assign(place=place, visit=visit, timeless=time.isna())
    order = order.sort_values(["timeless", "date", "place", "image_id"]).drop_duplicates("visit").set_index("visit")
    named = (order["place"] + "@" + order["date"]).where(~order["timeless"], order["image_id"])
    return visit.map(named.where(~named.index.isin(told.index), told)).set_axis(index)


def clock_offsets(photos: pd.DataFrame, gap_s: float) -> pd.DataFrame:
    """Return by how much the clocks of a station's cameras seem to differ.

    Cameras of one station see the same animals, so the differences between the starts of their bursts pile up at zero;
    where they pile up elsewhere, a clock is wrong. Which one cannot be known: the camera with fewer dated photos is
    said to be ahead of (positive) or behind the other. Offsets up to `gap_s` do not matter and are not reported.

    Args:
        photos: Columns `date, camera, station`.
        gap_s: Longest time between two photos of one visit, in seconds.

    Returns:
        Columns `station, camera, offset_s, visits` (how many agree), sorted; a camera at most once.
    """
    table = pd.DataFrame({"station": photos["station"], "camera": photos["camera"], "time": _seconds(photos["date"])})
    table = table[(table["station"] != "") & (table["camera"] != "")].dropna().sort_values("time")
    found = []
    for station, here in table.groupby("station"):
        starts = {}
        for camera, own in here.groupby("camera"):
            time = own["time"].to_numpy()
            starts[camera] = time[np.diff(time, prepend=-np.inf) > gap_s]
        ranked = sorted(starts, key=lambda camera: (-len(starts[camera]), camera))
        wrong: set[str] = set()
        for reference, camera in combinations(ranked, 2):
            offset, visits = _offset(starts[reference], starts[camera], gap_s)
            if visits and not wrong & {reference, camera}:
                wrong.add(camera)
                found.append((station, camera, offset, visits))
    return pd.DataFrame(found, columns=["station", "camera", "offset_s", "visits"]).sort_values(["station", "camera"])


def _offset(reference: np.ndarray, times: np.ndarray, gap_s: float) -> tuple[float, int]:
    """Return the offset of `times` that most visits agree on, and how many; no visits if it is none to speak of."""
    difference = np.sort((times[:2000, None] - reference[None, :2000]).ravel())
    agree = np.searchsorted(difference, difference + TOGETHER_S, "right") - np.arange(len(difference))
    if not len(agree) or agree.max() < max(FEWEST, 0.5 * min(len(reference), len(times))):
        return 0.0, 0
    best = int(agree.argmax())
    offset = float(np.median(difference[best : best + agree[best]]))
    at_zero = int((np.abs(difference) <= TOGETHER_S).sum())
    if abs(offset) <= gap_s or agree[best] < 2 * at_zero:
        return 0.0, 0
    return offset, int(agree[best])


def _places(photos: pd.DataFrame) -> pd.Series:
    folder = photos["path"].str.rpartition("/")[0]
    alone = (folder + "/" + photos["identity"]).where(photos["identity"] != UNKNOWN, folder)
    place = photos["station"].where(photos["station"] != "", photos["camera"])
    return place.where(place != "", alone)


def _seconds(dates: pd.Series) -> pd.Series:
    times = pd.to_datetime(dates.where(dates != ""), format="ISO8601")
    return (times - pd.Timestamp(0)).dt.total_seconds()


def _same(key: pd.Series) -> np.ndarray:
    """Return links `(L, 2)` from each row to the first with the same key, where there is a key."""
    rows = np.flatnonzero(key != "")
    codes = pd.factorize(key.iloc[rows])[0]
    return np.stack([rows[np.unique(codes, return_index=True)[1]][codes], rows], 1)


def _chain(photos: pd.DataFrame, place: pd.Series, time: pd.Series, gap_s: float) -> np.ndarray:
    """Return links `(L, 2)` between photos that follow one another at one place within the gap."""
    order = pd.DataFrame({"place": place, "time": time}).dropna().sort_values(["place", "time"], kind="stable").index
    before, after = order[:-1].to_numpy(), order[1:].to_numpy()
    own, camera, place = (column.to_numpy() for column in (photos["encounter"], photos["camera"], place))
    apart = (own[before] != "") & (own[after] != "") & (camera[before] == camera[after])
    near = time.to_numpy()[after] - time.to_numpy()[before] <= gap_s
    linked = near & (place[before] == place[after]) & ~apart
    return np.stack([before, after], 1)[linked]


def _between(photos: pd.DataFrame, place: pd.Series, time: pd.Series) -> np.ndarray:
    """Return links `(L, 2)` of photos without a time to those of their individual, station and possible times.

    File names number a camera's photos in the order of time, so their neighbours tell from when to when they may be.
    """
    folder, own = photos["path"].str.rpartition("/")[0], pd.factorize(place + "\n" + photos["identity"])[0]
    order = photos["path"].str.replace(r"\d+", lambda digits: digits.group().zfill(12), regex=True).sort_values().index
    ordered, folders = time[order], folder[order]
    earliest = ordered.groupby(folders).ffill().reindex(photos.index).fillna(-np.inf).to_numpy()
    latest = ordered.groupby(folders).bfill().reindex(photos.index).fillna(np.inf).to_numpy()
    dated = time.notna().groupby(folder).transform("any").to_numpy()
    asked = time.isna().to_numpy() & dated & (photos["identity"] != UNKNOWN).to_numpy()

    timed = np.flatnonzero(time.notna())
    timed = timed[np.lexsort((time.to_numpy()[timed], own[timed]))]
    keys = _ordered_key(own[timed], time.to_numpy()[timed])
    asking = np.flatnonzero(asked)
    first = np.searchsorted(keys, _ordered_key(own[asking], earliest[asking]), "left")
    after = np.searchsorted(keys, _ordered_key(own[asking], latest[asking]), "right")
    found = first < after
    links = [np.stack([asking[found], timed[first[found]]], 1)]
    opened = np.bincount(first[found], minlength=len(timed) + 1) - np.bincount(
        after[found] - 1, minlength=len(timed) + 1
    )
    joined = np.flatnonzero(np.cumsum(opened)[:-1] > 0)  # within a span each photo is linked to the next
    links.append(np.stack([timed[joined], timed[joined + 1]], 1))
    before, next_ = order[:-1].to_numpy(), order[1:].to_numpy()
    beside = (
        asked[before] & asked[next_] & (own[before] == own[next_]) & (folders[:-1] == folders[1:].to_numpy()).to_numpy()
    )
    links.append(np.stack([before, next_], 1)[beside])
    return np.concatenate(links)


def _ordered_key(group: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Return integers that sort by group and then by time (whole seconds, also infinite ones)."""
    return group.astype(np.int64) * 2**40 + np.clip(seconds, -(2**38), 2**38).astype(np.int64)
