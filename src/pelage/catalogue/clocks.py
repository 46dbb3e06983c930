"""Clocks: by how much the cameras of one station disagree, in steps and with drift, and how to set them alike.

Cameras of one station see the same animals, so the differences between the starts of their bursts pile up at zero;
where they pile up elsewhere a clock is wrong: by summer time, by a change of batteries, by a crystal that runs fast.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy.stats import binom

TOGETHER_S = 60.0
"""Span within which two cameras of a station take the same animal, for the comparison of their clocks."""

FEWEST = 4
"""Visits that both cameras must have seen before anything is said about their clocks."""

DAY_S = 86400.0
DRIFT_S = 10.0
"""Seconds that a clock may gain or lose a day."""

DRIFTING = 1.5
"""How many times as many visits have to agree on a drift as on a constant offset."""

USUAL_S = (0.0, 3600.0, -3600.0)
PILES = 12
"""Offsets, besides the usual ones, from which the search starts."""

REACH_S = 7200.0
"""Furthest from such an offset that a drifting clock is followed."""

COMPARED = 1000
"""Bursts of a camera that are compared in the search for such offsets, with four times as many of the others'."""

FURTHEST = 4000
"""Agreements back to which each one looks for the one it goes on from."""

LEAST_JUMP = 2.5
"""Agreements that a step has to gain at least."""

CHANCE = 1e-3
"""Corrections that may be expected where cameras see different animals, over all offsets and spans."""

CROWDED = 3.0
"""How many times as many animals as on average pass in their busy hours."""

CLOCK_COLUMNS = ["station", "camera", "since", "until", "offset_s", "drift_s_per_day", "visits"]
CLOCK_NUMBERS = {"offset_s": float, "drift_s_per_day": float, "visits": int}


@dataclass(frozen=True)
class _Piece:
    """A stretch of one camera's bursts whose clock is `offset + slope * (time - first)` ahead of the others'."""

    first: float
    last: float
    offset: float
    slope: float
    visits: int

    def ahead(self, time: np.ndarray) -> np.ndarray:
        return self.offset + self.slope * (time - self.first)


def find_clocks(photos: pd.DataFrame, seconds: pd.Series, gap_s: float) -> pd.DataFrame:
    """Return by how much the clocks of a station's cameras seem to differ, and when.

    Which clock is wrong cannot be known. The cameras of a station are taken in order, those of which no date is suspect
    and which have most bursts first, and each is compared with all before it, once these are set right: it is said to
    be ahead of (positive) or behind them. What does not exceed `gap_s` anywhere does not matter and is not corrected.

    Args:
        photos: Columns `station, camera`, and `flags` if there are any (`clock_suspect`).
        seconds: Time of each photo; missing where no time of day is told.
        gap_s: Longest time between two photos of one visit, in seconds.

    Returns:
        Columns `CLOCK_COLUMNS`, sorted; a row a stretch that is corrected, by the camera's own clock from `since`
        to `until`. `offset_s` is by how much it is ahead at `since`, `visits` is how many agree.
    """
    table = pd.DataFrame({"station": photos["station"], "camera": photos["camera"], "time": seconds})
    suspected = photos["flags"].str.contains("clock_suspect", regex=False) if "flags" in photos else False
    table = table.assign(suspect=suspected)[(table["station"] != "") & (table["camera"] != "")].dropna()
    paired = table.groupby("station")["camera"].transform("nunique") > 1
    found = []
    for station, here in table[paired].sort_values("time").groupby("station"):
        cameras = {camera: own["time"].to_numpy() for camera, own in here.groupby("camera")}
        starts = {camera: _starts(time, gap_s) for camera, time in cameras.items()}
        suspect = here.groupby("camera")["suspect"].any()
        ranked = sorted(starts, key=lambda camera: (suspect[camera], -len(starts[camera]), camera))
        seen = starts[ranked[0]]
        for camera in ranked[1:]:
            own, times = starts[camera], cameras[camera]
            pieces = _pieces(seen, own, gap_s)
            rows = _rows(pieces, own, times[0], times[-1], gap_s)
            found += [(station, camera, *row) for row in rows]
            seen = _starts(np.sort(np.concatenate([seen, own - _ahead(own, rows)])), gap_s)
    clocks = pd.DataFrame(found, columns=CLOCK_COLUMNS).sort_values(CLOCK_COLUMNS[:3], ignore_index=True)
    for column in ("since", "until"):
        clocks[column] = pd.to_datetime(clocks[column], unit="s").dt.strftime("%Y-%m-%dT%H:%M:%S").astype(str)
    return clocks.astype(CLOCK_NUMBERS)


def set_right(photos: pd.DataFrame, seconds: pd.Series, clocks: pd.DataFrame) -> pd.Series:
    """Return the times that right clocks would have told.

    Args:
        photos: Columns `station, camera`.
        seconds: Time of each photo by the camera's clock; may be missing.
        clocks: As `find_clocks` returns them.
    """
    if clocks.empty:
        return seconds
    right = seconds.to_numpy(float, copy=True)
    wrong = pd.MultiIndex.from_frame(clocks[["station", "camera"]]).unique()
    place = wrong.get_indexer(pd.MultiIndex.from_frame(photos[["station", "camera"]]))
    concerned = np.flatnonzero(place >= 0)
    concerned = concerned[np.argsort(place[concerned], kind="stable")]
    bounds = np.searchsorted(place[concerned], np.arange(len(wrong) + 1))
    steps = clocks.assign(since=seconds_of(clocks["since"]), until=seconds_of(clocks["until"]))
    for number, (_, own) in enumerate(steps.groupby(["station", "camera"], sort=False)):
        rows = concerned[bounds[number] : bounds[number + 1]]
        stretches = own[CLOCK_COLUMNS[2:]].itertuples(index=False, name=None)
        right[rows] -= _ahead(right[rows], list(stretches))
    return pd.Series(right, index=seconds.index)


def right_dates(photos: pd.DataFrame, clocks: pd.DataFrame) -> pd.Series:
    """Return the column `date` as right clocks would have told it; a date without a time of day stays as it is.

    Args:
        photos: Columns `date, station, camera`.
        clocks: As `find_clocks` returns them.
    """
    seconds = seconds_of(photos["date"])
    shifted = set_right(photos, seconds, clocks)
    changed = seconds.notna() & (shifted != seconds)
    dates = pd.to_datetime(shifted[changed].round(), unit="s").dt.strftime("%Y-%m-%dT%H:%M:%S")
    return photos["date"].astype(object).mask(changed, dates.astype(object))


def seconds_of(dates: pd.Series) -> pd.Series:
    """Return dates as seconds since 1970; missing where there is none, or a day without a time of day."""
    return start_of(dates.where(dates.str.len() > len("2026-01-31"), ""))


def start_of(dates: pd.Series) -> pd.Series:
    """Return dates as seconds since 1970, a day as its midnight; missing where there is none."""
    times = pd.to_datetime(dates.where(dates != ""), format="ISO8601")
    return (times - pd.Timestamp(0)).dt.total_seconds()


def _starts(times: np.ndarray, gap_s: float) -> np.ndarray:
    return times[np.diff(times, prepend=-np.inf) > gap_s]


def _ahead(times: np.ndarray, rows: list[tuple]) -> np.ndarray:
    ahead = np.zeros(len(times))
    for since, until, offset, drift, _ in rows:
        inside = (times >= since) & (times <= until)
        ahead[inside] = offset + drift * (times[inside] - since) / DAY_S
    return ahead


def _rows(pieces: list[_Piece], own: np.ndarray, start: float, end: float, gap_s: float) -> list[tuple]:
    """Return `since, until, offset_s, drift_s_per_day, visits` of what is to be corrected; pieces share all time."""
    if not pieces:
        return []
    edges = [start]
    for before, after in pairwise(pieces):
        between = own[(own > before.last) & (own <= after.first)]  # a step lies just before a burst, so none is torn
        steady = np.abs(before.ahead(between) - after.ahead(between)) <= TOGETHER_S
        edges.append(float(between[-1] if steady.all() else between[(len(between) - 1) // 2]))
    rows = []
    for piece, since, until in zip(pieces, edges, [*edges[1:], end + 1], strict=True):
        ahead = piece.ahead(np.array([since, until]))
        if np.abs(ahead).max() > gap_s:
            drift = round(piece.slope * DAY_S, 3)
            rows.append((np.floor(since), np.ceil(until) - 1, round(float(ahead[0]), 1), drift, piece.visits))
    return rows


def _pieces(seen: np.ndarray, own: np.ndarray, gap_s: float) -> list[_Piece]:
    """Return the stretches in which enough bursts of a camera stand beside those that the others saw, in order."""
    if min(len(seen), len(own)) < FEWEST:
        return []
    burst, difference = _agreements(seen, own)
    tried = len(seen) * len(own) * len(own)  # offsets, and bursts with which a stretch may begin
    by_chance = min(CROWDED * 2 * TOGETHER_S / float(np.median(np.diff(seen))), 0.5)
    jump = max(np.log(tried) / -np.log(by_chance), LEAST_JUMP)
    at_zero = np.isin(np.arange(len(own)), burst[np.abs(difference) <= TOGETHER_S])
    pieces = []
    for path in _paths(burst, difference, own, jump):
        time, ahead = own[burst[path]], difference[path]
        offset, slope = _line(time, ahead)
        piece = _Piece(time[0], time[-1], offset, slope, 0)
        fits = np.abs(piece.ahead(time) - ahead) <= TOGETHER_S
        if fits.sum() < FEWEST:
            continue
        time, inside = time[fits], burst[path][fits]
        piece = _Piece(time[0], time[-1], float(piece.ahead(time[:1])[0]), slope, int(fits.sum()))
        of_own = int(inside[-1] - inside[0] + 1)
        low, high = piece.first - piece.offset, piece.last - float(piece.ahead(np.array([piece.last]))[0])
        of_seen = int(np.searchsorted(seen, high + TOGETHER_S, "right") - np.searchsorted(seen, low - TOGETHER_S))
        if piece.visits < max(FEWEST, 0.5 * min(of_own, of_seen)):
            continue
        wrong = abs(piece.offset) > gap_s or piece.slope != 0
        otherwise = np.setdiff1d(np.flatnonzero(at_zero[inside[0] : inside[-1] + 1]) + inside[0], inside)
        if wrong and piece.visits < 2 * len(otherwise):
            continue
        by_chance = min(CROWDED * 2 * TOGETHER_S * of_seen / max(high - low, 1.0), 1.0)
        if wrong and binom.sf(piece.visits - 1, of_own, by_chance) * tried > CHANCE:
            continue
        pieces.append(piece)
    return pieces


def _agreements(seen: np.ndarray, own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs of bursts that may be one visit: which of `own`, and by how much it is later than the other's.

    They are those whose difference is near one of the offsets at which differences pile up, or a usual one.
    """
    reach = min(TOGETHER_S + DRIFT_S * (own[-1] - own[0]) / DAY_S, REACH_S)
    block = max(COMPARED // 5, 1)  # runs of bursts, so that each step has neighbours that agree
    begins = np.linspace(0, max(len(own) - block, 0), 5).astype(int)
    sample = own[np.unique(np.concatenate([np.arange(at, min(at + block, len(own))) for at in begins]))]
    difference = np.sort((sample[:, None] - seen[None, :: -(-len(seen) // (4 * COMPARED))]).ravel())
    pile = np.searchsorted(difference, difference + TOGETHER_S, "right") - np.arange(len(difference))
    offsets = list(USUAL_S)
    for offset in offsets:
        pile[slice(*np.searchsorted(difference, [offset - reach, offset + reach]))] = 0
    while len(offsets) < len(USUAL_S) + PILES and pile.max() >= FEWEST:
        best = int(pile.argmax())
        offsets.append(float(np.median(difference[best : best + pile[best]])))
        pile[slice(*np.searchsorted(difference, [offsets[-1] - reach, offsets[-1] + reach]))] = 0
    spans: list[list[float]] = []
    for offset in sorted(offsets):
        if spans and offset - reach <= spans[-1][1]:
            spans[-1][1] = offset + reach
        else:
            spans.append([offset - reach, offset + reach])
    bursts, differences = [], []
    for least, most in spans:
        first = np.searchsorted(seen, own - most)
        count = np.searchsorted(seen, own - least, "right") - first
        burst = np.repeat(np.arange(len(own)), count)
        other = np.arange(len(burst)) - np.repeat(np.cumsum(count) - count, count) + first[burst]
        bursts.append(burst)
        differences.append(own[burst] - seen[other])
    burst, difference = np.concatenate(bursts), np.concatenate(differences)
    order = np.lexsort((np.abs(difference), burst))
    return burst[order], difference[order]


def _paths(burst: np.ndarray, difference: np.ndarray, own: np.ndarray, jump: float) -> list[np.ndarray]:
    """Return the agreements that go on from one another with fewest jumps, one array of places a stretch.

    Each agreement counts 1 and each jump costs `jump`; of all ways through the bursts the best one is taken.
    """
    score, before = np.ones(len(burst)), np.full(len(burst), -1)
    goes_on = np.zeros(len(burst), bool)
    bounds = np.flatnonzero(np.diff(burst, prepend=-1, append=len(own)))
    best = -1  # the best way so far
    for low, high in pairwise(bounds):
        if best >= 0:
            fresh = score[best] - jump
            if fresh > 0:
                score[low:high], before[low:high] = 1 + fresh, best
            past = slice(max(low - FURTHEST, 0), low)
            allowance = TOGETHER_S + DRIFT_S * (own[burst[low]] - own[burst[past]]) / DAY_S
            near = np.abs(difference[low:high, None] - difference[None, past]) <= allowance
            gain = np.where(near, score[None, past], -1.0)[:, ::-1]
            latest = gain.argmax(1)
            value = gain[np.arange(high - low), latest]
            better = value > score[low:high] - 1
            places = np.flatnonzero(better) + low
            score[places], before[places], goes_on[places] = 1 + value[better], low - 1 - latest[better], True
        top = low + int(score[low:high].argmax())
        best = top if best < 0 or score[top] >= score[best] else best
    paths, path = [], []
    while best >= 0:
        path.append(best)
        if not goes_on[best]:
            paths.append(np.array(path[::-1]))
            path = []
        best = before[best]
    return paths[::-1]


def _line(time: np.ndarray, ahead: np.ndarray) -> tuple[float, float]:
    """Return offset at the first time and slope of a line through agreements (Theil 1950), level where that fits."""
    level = float(np.median(ahead))
    few = np.unique(np.linspace(0, len(time) - 1, min(len(time), 400)).astype(int))
    first, second = np.triu_indices(len(few), 1)
    apart = time[few[second]] - time[few[first]]
    far = apart >= max((time[-1] - time[0]) / 4, 1.0)
    if not far.any():
        return level, 0.0
    slopes = (ahead[few[second]] - ahead[few[first]])[far] / apart[far]
    slope = float(np.clip(np.median(slopes), -DRIFT_S / DAY_S, DRIFT_S / DAY_S))
    offset = float(np.median(ahead - slope * (time - time[0])))
    flat = (np.abs(ahead - level) <= TOGETHER_S).sum()
    sloping = (np.abs(ahead - offset - slope * (time - time[0])) <= TOGETHER_S).sum()
    return (offset, slope) if sloping >= DRIFTING * flat else (level, 0.0)
