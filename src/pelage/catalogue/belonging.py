"""What belongs together: the place, the night and the visit of each photo, and the group that may never be divided.

Nothing of one visit may stand on two sides of a split. So whenever in doubt photos are put together: two animals that
pass a station within the gap are one encounter, and an animal that comes back within a night is one group.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pelage.catalogue.clocks import DAY_S, find_clocks, seconds_of, set_right, start_of
from pelage.catalogue.look_alikes import hash_values, near_pairs
from pelage.common.tables import UNKNOWN

FOUNDATIONS = ("source", "time", "sequence", "number", "nothing")
"""What the encounter of a photo rests on, the best first: the words of `rests_on`."""

NOON_S = 43200.0
NEAR_NUMBERS = 3
"""Numbers of undated frames of one visit differ by no more."""

ALIKE = 4
"""Photos of a folder whose names differ in their last digits only, for a prefix that has digits itself to be one."""


@dataclass(frozen=True)
class Renumbered:
    """Encounter numbers of the source that stand for different individuals, who never were together.

    Attributes:
        divided: Numbers that start anew with each individual, as the dates of their photos tell; each individual has
            its own encounter.
        undecided: Numbers of which no date tells; their photos stay together.
        example: One of either, as `'1': L1, L2`; empty if there is none.
    """

    divided: int
    undecided: int
    example: str


@dataclass(frozen=True)
class Belonging:
    """Where photos belong.

    Attributes:
        table: Columns `place, night, encounter, rests_on` (see `belong`), in the order and with the index of photos.
        clocks: Clocks that were set right for it (see `find_clocks`).
        renumbered: Encounter numbers that start anew with each individual.
    """

    table: pd.DataFrame
    clocks: pd.DataFrame
    renumbered: Renumbered


def belong(photos: pd.DataFrame, names: pd.Series, gap_s: float, content: pd.Series | None = None) -> Belonging:
    """Tell of each photo its place, its night and its encounter, and what the encounter rests on.

    The place is the station, else the camera, else where the individual was, else the folder. The night goes from noon
    to noon and is named by the date of its evening; it is empty without a time of day. Photos are one encounter when
    they are linked, directly or in a chain, by one of these:

    * The source gives both the same encounter, whoever is on them. Where it does so for individuals who never were at
      one place within a day, its numbers start anew with each individual and are taken so.
    * They follow one another at one place within `gap_s`, unless they are of one camera and the source tells them
      apart; so by the cameras' own clocks, and after these have been set right (`find_clocks`).
    * They are of one place and day, and of one of them no time of day is told.
    * They have the same `content`.
    * They have no date and are of one folder and individual, and their sequence, or the number in a name such as
      `IMG_0012`, differs by at most `NEAR_NUMBERS`.
    * One of them has no date but stands, by file name, between two photos of its folder that do, and the other is of
      the same individual, at the same place and of a time between theirs: a frame without EXIF belongs to its burst.

    A photo is otherwise an encounter of its own.

    Args:
        photos: N rows, columns `image_id, path, date, camera, station, encounter` (the source's own, or empty), and
            `sequence` and `flags` if there are any.
        names: `(N,)` the one individual that the source names on the photo, else `unknown`; in the order of photos.
        gap_s: Longest time between two photos of one visit, in seconds.
        content: `(N,)` something equal for photos of equal content, such as a hash; empty where it is not known or
            tells nothing (a black frame).

    Returns:
        Encounters are named by the source, joined by `+` where several are one visit; else `place@date` of the first
        photo; else by the image_id. They do not depend on the order of rows. `rests_on` is one of `FOUNDATIONS`.
    """
    index, photos = photos.index, photos.reset_index(drop=True)
    names = pd.Series(names.to_numpy(), dtype=object)
    folder = photos["path"].str.rpartition("/")[0]
    place = _places(photos, folder, names)
    time, start = seconds_of(photos["date"]), start_of(photos["date"])
    clocks = find_clocks(photos, time, gap_s)
    right = set_right(photos, time, clocks)
    start = right.where(right.notna(), start)
    own, renumbered = _source_encounters(photos, names, start, time.isna())
    sequence, order = _orders(photos, folder)

    day = np.floor(start / DAY_S)
    of_day = pd.Series(_codes(place, day))
    timeless = of_day.isin(of_day[time.isna() & day.notna()])
    rank = pd.factorize(photos["image_id"], sort=True)[0]
    links = [_same(own)] + ([] if content is None else [_same(pd.Series(content.to_numpy()))])
    links += [_chain(_codes(place), when, gap_s, own, photos["camera"], rank) for when in (time, right)]
    links.append(_chain(_codes(place), day.where(timeless), 0.0, own, photos["camera"], rank))
    links.append(_chain(_codes(folder, names, order["prefix"]), order["number"], NEAR_NUMBERS, own, folder, rank))
    links.append(_between(photos["path"], folder, _codes(place, names), right, start.isna() & (names != UNKNOWN)))
    visit = _components(links, len(photos))

    undated = photos["date"] == ""
    rests_on = np.select(
        [photos["encounter"] != "", ~undated, sequence != "", order["number"].notna()],
        FOUNDATIONS[:-1],
        FOUNDATIONS[-1],
    )
    table = {
        "place": place,
        "night": _nights(right),
        "encounter": _encounter_names(photos, own, place, visit, rank),
        "rests_on": pd.Series(rests_on, dtype=object),
    }
    return Belonging(pd.DataFrame(table).set_axis(index), clocks, renumbered)


def groups(photos: pd.DataFrame, bits: int, revisit_gap_s: float) -> pd.Series:
    """Return the group of each photo: what has to stay on one side of a split, and may not answer one another.

    Photos are chained together by the same encounter, the same file, the same photo, near-equal views of one
    individual, and the sightings of one individual (`sightings`). Near-equal views of two individuals are none: a fixed
    camera takes the same background for weeks, and an animal is a small part of it.

    Args:
        photos: One row a photo, or a photo and individual: columns `image_id, identity, encounter, place, night, date,
            sha256, phash`. Identities are known ones; dates are those of right clocks (`right_dates`).
        bits: Bits of the perceptual hash in which near-equal views differ at most.
        revisit_gap_s: Longest time, in seconds, after which an individual that comes back is one sighting.

    Returns:
        Groups, with the index of `photos`; each is named by the least of its encounters, so that names do not depend
        on the order of rows.
    """
    links = [_same(photos[column]) for column in ("encounter", "image_id", "sha256")]
    links += [*_sighting_links(photos, revisit_gap_s), *_view_links(photos, bits)]
    encounter, names = pd.factorize(photos["encounter"], sort=True)
    least = pd.Series(encounter).groupby(_components(links, len(photos))).transform("min")
    return pd.Series(np.asarray(names, object)[least], index=photos.index)


def sightings(photos: pd.DataFrame, revisit_gap_s: float) -> pd.Series:
    """Return numbers of sightings: one individual at one place on one day or in one night, or anywhere within a time.

    Light and background are the same then. A day goes from midnight to midnight, a night from noon to noon.

    Args:
        photos, revisit_gap_s: As in `groups`; columns `identity, place, night, date`.
    """
    return pd.Series(_components(_sighting_links(photos, revisit_gap_s), len(photos)), index=photos.index)


def _sighting_links(photos: pd.DataFrame, revisit_gap_s: float) -> list[np.ndarray]:
    time, start = (of(photos["date"]).to_numpy() for of in (seconds_of, start_of))
    here = _codes(photos["identity"], photos["place"])
    night = photos["night"].to_numpy(object)
    tonight = np.flatnonzero(night != "")
    links = [tonight[_same_codes(_codes(here[tonight], night[tonight]))]]
    day = np.floor(start / DAY_S)
    today = np.flatnonzero(~np.isnan(day))
    links.append(today[_same_codes(_codes(here[today], day[today]))])
    who, timed = _codes(photos["identity"]), np.flatnonzero(~np.isnan(time))
    timed = timed[np.lexsort((time[timed], who[timed]))]  # wherever: two cameras side by side may have no station
    before, after = timed[:-1], timed[1:]
    soon = (who[before] == who[after]) & (time[after] - time[before] <= revisit_gap_s)
    return [*links, np.stack([before, after], 1)[soon]]


def _view_links(photos: pd.DataFrame, bits: int) -> list[np.ndarray]:
    rows = np.flatnonzero(photos["phash"] != "")
    identity, value = _codes(photos["identity"].iloc[rows]), hash_values(photos["phash"].iloc[rows])
    first, view = np.unique(_codes(identity, value), return_index=True, return_inverse=True)[1:]
    near = [rows[first[pairs]] for pairs in near_pairs(value[first], bits, identity[first])]
    return [np.stack([rows[first[view]], rows], 1), *near]


def _places(photos: pd.DataFrame, folder: pd.Series, names: pd.Series) -> pd.Series:
    """Return the place of each photo; folders tell none of an individual, for cameras begin new ones within a burst."""
    alone = folder.astype(object).mask(names != UNKNOWN, names)
    place = photos["station"].where(photos["station"] != "", photos["camera"]).astype(object)
    return place.where(place != "", alone)


def _nights(time: pd.Series) -> pd.Series:
    days, nights = pd.factorize(np.floor((time - NOON_S) / DAY_S))
    named = pd.to_datetime(pd.Series(nights) * DAY_S, unit="s").dt.strftime("%Y-%m-%d")
    return pd.Series(np.append(named.to_numpy(object), "")[days], dtype=object)  # the last is for no night


def _encounter_names(
    photos: pd.DataFrame, own: pd.Series, place: pd.Series, visit: np.ndarray, rank: np.ndarray
) -> pd.Series:
    undated = (photos["date"] == "").to_numpy()
    date, where = (pd.factorize(column, sort=True)[0] for column in (photos["date"], place))
    order = np.lexsort((rank, where, date, undated, visit))
    first = order[np.flatnonzero(np.diff(visit[order], prepend=-1))]  # of each visit; visits are numbered from 0
    image, place, date = (column.to_numpy(object) for column in (photos["image_id"], place, photos["date"]))
    named = image[first]
    dated = ~undated[first]
    named[dated] = place[first[dated]] + "@" + date[first[dated]]
    told = pd.DataFrame({"visit": visit, "own": own})[own != ""].drop_duplicates().sort_values("own")
    told = told.groupby("visit")["own"].agg("+".join)
    named[told.index] = told
    return pd.Series(named[visit], dtype=object)


def _source_encounters(
    photos: pd.DataFrame, names: pd.Series, start: pd.Series, timeless: pd.Series
) -> tuple[pd.Series, Renumbered]:
    """Return the source's encounters, one an individual where their numbers start anew with each, and what was found.

    Args:
        photos: Columns `image_id, camera, station, encounter`.
        names: Individual on each.
        start: Time in seconds, or that of the day's midnight.
        timeless: Whether no time of day is told.
    """
    own = photos["encounter"].astype(object)
    known = (names != UNKNOWN) & (own != "")
    individuals = names[known].groupby(own[known]).nunique()
    rows = np.flatnonzero(own.isin(individuals.index[individuals > 1]))
    if not len(rows):
        return own, Renumbered(0, 0, "")
    station = photos["station"].where(photos["station"] != "", photos["camera"]).iloc[rows]
    shared = pd.DataFrame({
        "row": rows, "own": own.iloc[rows], "name": names.iloc[rows], "start": start.iloc[rows], "station": station,
        "image_id": photos["image_id"].iloc[rows],
    }).reset_index(drop=True)  # fmt: skip
    shared["end"] = shared["start"] + np.where(timeless.iloc[rows], DAY_S, 0.0)
    individual = shared["name"].where(shared["name"] != UNKNOWN, "")
    pairs = pd.Series(_codes(shared["own"], individual)).where(individual != "", -1)
    here = _codes(shared["own"], shared["station"])
    order = np.lexsort((shared["start"], here))
    before, after = order[:-1], order[1:]
    ends, starts = shared["end"].to_numpy(), shared["start"].to_numpy()
    near = (here[before] == here[after]) & (starts[after] - ends[before] <= DAY_S)  # not where a date is missing
    links = [_same(pairs, -1), np.stack([before, after], 1)[near]]
    shared["part"] = _components(links, len(shared))
    undated = ~shared["start"].notna().groupby(shared["part"]).transform("any")
    parts = shared["part"].where(~undated).groupby(shared["own"]).transform("nunique")
    undecided = undated.groupby(shared["own"]).transform("any")
    undecided &= (parts > 1) | (undated & (individual != "")).groupby(shared["own"]).transform("any")
    divided = (parts > 1) & ~undecided
    label = individual.where(individual != "").groupby(shared["part"]).transform("min")
    label = label.where(label.notna(), shared.groupby("part")["image_id"].transform("min"))  # photos of nobody alone
    own = own.copy()
    own.iloc[rows[divided]] = (shared["own"] + ":" + label)[divided].to_numpy()

    told = shared[(divided | undecided) & (individual != "")]
    example = ""
    if len(told):
        number = told["own"].min()
        example = f"{number!r}: " + ", ".join(sorted(set(told.loc[told["own"] == number, "name"]))[:3])
    counts = (int(shared.loc[which, "own"].nunique()) for which in (divided, undecided))
    return own, Renumbered(*counts, example)


def _orders(photos: pd.DataFrame, folder: pd.Series) -> tuple[pd.Series, pd.DataFrame]:
    """Return the sequence of each photo, and prefix and number by which undated ones stand in order in their folder.

    A number in a file's name is one where most photos of the folder have the same name but for it: the digits at the
    end of a hash are none.
    """
    sequence = photos["sequence"] if "sequence" in photos else pd.Series("", photos.index)
    undated = photos["date"] == ""
    order = pd.DataFrame({"prefix": "", "number": np.nan}, index=photos.index).astype({"prefix": object})
    told = undated & (sequence != "")
    number = pd.to_numeric(sequence[told], errors="coerce")
    order.loc[told, "number"] = number.fillna(0)
    order.loc[told, "prefix"] = "/" + sequence[told].astype(object).where(number.isna(), "")  # no file name has a slash
    asked = undated & ~told
    if asked.any():
        rows = np.flatnonzero(folder.isin(folder[asked].unique()))
        stem = photos["path"].iloc[rows].str.rpartition("/")[2].str.replace(r"\.[^.]*$", "", regex=True)
        parts = stem.str.extract(r"^(|.*\D)(\d{2,6})$")
        here = folder.iloc[rows]
        alike = parts[1].notna().groupby([here, parts[0].fillna("")]).transform("sum")
        everywhere = parts[0].groupby(parts[0]).transform("size").fillna(0)
        common = (alike > 0.5 * here.groupby(here).transform("size")) & parts[1].notna() & (everywhere > 1)
        common &= (alike >= ALIKE) | ~parts[0].fillna("").str.contains(r"\d", regex=True)
        common &= asked.iloc[rows]
        order.loc[common.index[common], "prefix"] = parts.loc[common, 0].astype(object)
        order.loc[common.index[common], "number"] = parts.loc[common, 1].astype(float)
    return sequence, order


def _between(path: pd.Series, folder: pd.Series, own: np.ndarray, time: pd.Series, asked: pd.Series) -> np.ndarray:
    """Return links `(L, 2)` of photos without a date to those of their individual, place and possible times.

    File names number a camera's photos in the order of time, so their neighbours tell from when to when they may be.

    Args:
        path, folder: Of each photo.
        own: `(N,)` equal for photos of one individual and place.
        time: Seconds, or missing.
        asked: The photos that are to be linked.
    """
    dated = folder.isin(folder[time.notna()].unique()) & folder.isin(folder[asked].unique())
    asked = (asked & dated).to_numpy()
    if not asked.any():
        return np.empty((0, 2), int)
    name = path[dated].str.replace(r"\d+", lambda digits: digits.group().zfill(12), regex=True)
    order = name.sort_values().index
    ordered, folders = time[order], folder[order]
    earliest = ordered.groupby(folders).ffill().reindex(path.index).fillna(-np.inf).to_numpy()
    latest = ordered.groupby(folders).bfill().reindex(path.index).fillna(np.inf).to_numpy()

    timed = np.flatnonzero(time.notna())
    timed = timed[np.lexsort((time.to_numpy()[timed], own[timed]))]
    keys = _ordered_key(own[timed], time.to_numpy()[timed])
    asking = np.flatnonzero(asked)
    first = np.searchsorted(keys, _ordered_key(own[asking], earliest[asking]), "left")
    after = np.searchsorted(keys, _ordered_key(own[asking], latest[asking]), "right")
    found = first < after
    links = [np.stack([asking[found], timed[first[found]]], 1)]
    opened, closed = (np.bincount(at, minlength=len(timed) + 1) for at in (first[found], after[found] - 1))
    joined = np.flatnonzero(np.cumsum(opened - closed)[:-1] > 0)  # within a span each photo is linked to the next
    links.append(np.stack([timed[joined], timed[joined + 1]], 1))
    before, after = order[:-1].to_numpy(), order[1:].to_numpy()
    beside = asked[before] & asked[after] & (own[before] == own[after])
    beside &= (folders[:-1] == folders[1:].to_numpy()).to_numpy()
    links.append(np.stack([before, after], 1)[beside])
    return np.concatenate(links)


def _ordered_key(group: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Return integers that sort by group and then by time (whole seconds, also infinite ones)."""
    return group.astype(np.int64) * 2**40 + np.clip(seconds, -(2**38), 2**38).astype(np.int64)


def _codes(*columns: pd.Series | np.ndarray) -> np.ndarray:
    """Return `(N,)` integers, equal where all columns are."""
    codes = pd.factorize(columns[0])[0].astype(np.int64)
    for column in columns[1:]:
        other, values = pd.factorize(column)
        codes = pd.factorize(codes * (len(values) + 1) + other + 1)[0].astype(np.int64)
    return codes


def _same(key: pd.Series, nothing: str | int = "") -> np.ndarray:
    """Return links `(L, 2)` from each row to the first with the same key, where there is a key."""
    rows = np.flatnonzero(key != nothing)
    return rows[_same_codes(pd.factorize(key.iloc[rows])[0])]


def _same_codes(codes: np.ndarray) -> np.ndarray:
    first, place = np.unique(codes, return_index=True, return_inverse=True)[1:]
    return np.stack([first[place], np.arange(len(codes))], 1).astype(int)


def _chain(
    line: np.ndarray, at: pd.Series, gap: float, own: pd.Series, camera: pd.Series, rank: np.ndarray
) -> np.ndarray:
    """Return links `(L, 2)` between photos that follow one another within a gap.

    Args:
        line: `(N,)` equal for photos that may follow one another.
        at: Time or number; missing where there is none.
        gap: Largest difference of `at`.
        own: The source's encounters; two photos of one `camera` that have different ones are not linked.
        camera: Of each photo.
        rank: `(N,)` order of photos whose `at` and `own` are equal.
    """
    told = (own != "").to_numpy()
    own, camera, rows = pd.factorize(own, sort=True)[0], pd.factorize(camera)[0], np.flatnonzero(at.notna())
    at = at.to_numpy(float)
    order = rows[np.lexsort((rank[rows], own[rows], at[rows], line[rows]))]
    before, after = order[:-1], order[1:]
    apart = told[before] & told[after] & (own[before] != own[after]) & (camera[before] == camera[after])
    near = (line[before] == line[after]) & (at[after] - at[before] <= gap)
    return np.stack([before, after], 1)[near & ~apart]


def _components(links: list[np.ndarray], count: int) -> np.ndarray:
    """Return `(count,)` numbers from 0, equal for what is linked directly or in a chain."""
    first, second = np.concatenate(links).T
    graph = coo_array((np.ones(len(first), bool), (first, second)), shape=(count, count))
    return connected_components(graph, directed=False)[1]
