"""Where each camera stood and when it ran: as a package or a table tells it, else from its first to its last photo.

A row is a stretch in which one camera ran; a camera that failed for a week has two.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError

from pelage.catalogue.claims import CLOCK_SUSPECT
from pelage.catalogue.dates import read_dates
from pelage.catalogue.schema import Deployments, Rejected
from pelage.catalogue.words import blank_nothing, name_key, spelling
from pelage.common.errors import PelageError
from pelage.common.tables import read_rows

COLUMNS = ("station", "camera", "latitude", "longitude", "start", "end", "rests_on")
"""Columns of `data/deployments.csv`; `rests_on` is `told` or `photos`."""

CELLS = ("station", "camera", "latitude", "longitude", "x", "y", "crs", "start", "end")
"""What a table of deployments may tell."""

SPELLINGS = {
    "station": ("locationid", "location_id", "site"),
    "camera": ("cameraid", "camera_id"),
    "latitude": ("lat",),
    "longitude": ("lon", "long", "lng"),
    "x": ("easting",),
    "y": ("northing",),
    "start": ("deploymentstart", "deployment_start"),
    "end": ("deploymentend", "deployment_end"),
}
"""Other names of those columns, in small letters: those of Camtrap DP, and what people write."""

FAR_KM = 300.0
"""A place farther than this from the others' middle is a slip if it is near once swapped or with the other sign."""

APART_KM = 0.5
"""A station whose places are farther apart than this is at two places."""

TO_LOOK_AT = {
    "outside": "photos were taken when their camera did not run, as the deployments have it",
    "not_told": "cameras have photos but no row in the deployments; they are taken to run from first to last photo",
    "without_photos": "cameras of the deployments have no photo (right where nothing passed, else mend the name)",
    "without_time": "cameras have no photo whose date can be trusted, so that nothing tells when they ran",
}
"""What is counted, and what it means of so many."""

_EARTH_KM = 6371.0
_KINDS = {
    **dict.fromkeys(("station", "camera", "where"), object),
    **dict.fromkeys(("latitude", "longitude"), float),
    **dict.fromkeys(("start", "end"), "datetime64[s]"),
}
"""Columns and types of rows that are understood."""


@dataclass(frozen=True)
class Operation:
    """The table of `data/deployments.csv`, what of the deployments is not used, and what is to be reported."""

    table: pd.DataFrame
    rejected: list[Rejected] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)


def read_deployments(file: Path) -> Deployments:
    """Read a table of deployments (CSV), in the columns `CELLS` or by the names of Camtrap DP.

    Raises:
        PelageError: The file is missing or no table, or it tells no camera or nothing of cameras.
    """
    read = read_rows(file)
    known = {other: column for column, others in SPELLINGS.items() for other in others}
    written = {column: column.strip().lower().replace(" ", "_") for column in read.table}
    names = {column: known.get(name, name) for column, name in written.items()}
    table = read.table.rename(columns=names)
    table = table.loc[:, ~table.columns.duplicated()]
    if not {"station", "camera"} & set(table) or not set(CELLS[2:]) & set(table):
        raise PelageError(
            f"{file} has the columns {', '.join(read.table.columns)}: it must have station or camera, and what is "
            "known of start and end, of latitude and longitude, or of x, y and crs. Rename or add them."
        )
    longer = [
        ("", "", "cells", f"{file}, row {number}: there are more cells than columns: {said[:80]!r}")
        for number, said in read.longer
    ]
    return Deployments(table, str(file), [f"row {number}" for number in read.numbers], longer)


def put_in_operation(told: Iterable[tuple[Deployments, str, str]], photos: pd.DataFrame) -> Operation:
    """Put together when and where each camera ran.

    A bad cell costs the cell, a bad row the row. Where no row tells a camera's days they are those from its first to
    its last photo (of those whose clock can be trusted), and `rests_on` says so. A row without a camera is of all
    cameras of its station; a camera of no station is a station of its own.

    Args:
        told: Deployments, each with its place in params.yaml (for messages) and the order of its dates.
        photos: Rows of `data/photos.csv`.

    Raises:
        PelageError: Most places or dates of one that tells cannot be understood, or none of its cameras has a photo.
    """
    photos = _units(photos)
    known = photos[["station", "camera"]].drop_duplicates().reset_index(drop=True)
    rejected: list[Rejected] = []
    tables = [pd.DataFrame(columns=list(_KINDS)).astype(_KINDS)]
    for deployments, key, order in told:
        rejected += deployments.rejected
        if len(deployments.rows):
            tables.append(_named(_understood(deployments, key, order, rejected), deployments, known))
    rows = _one_place(pd.concat(tables, ignore_index=True), rejected)
    spans = _spans(photos)
    rows = _in_time(rows, spans, rejected)
    told_units = pd.MultiIndex.from_frame(rows[["station", "camera"]])
    photographed = pd.MultiIndex.from_frame(known)
    silent = known[~photographed.isin(told_units)].merge(spans, "left", on=["station", "camera"])
    dated = silent[silent["first"].notna()]
    more = dated.rename(columns={"first": "start", "last": "end"}).assign(rests_on="photos")
    table = pd.concat([rows, more[["station", "camera", "start", "end", "rests_on"]]], ignore_index=True)
    table = _located(table.sort_values(["station", "camera", "start"], kind="stable", ignore_index=True))
    intervals = rows[rows["rests_on"] == "told"]
    counts = {
        "stations": table["station"].nunique(),
        "cameras": len(table[["station", "camera"]].drop_duplicates()),
        "intervals": len(table),
        "told": len(intervals),
        "located": table.loc[table["latitude"] != "", "station"].nunique(),
        "outside": _outside(photos, intervals),
        "not_told": len(dated) if len(rows) else 0,
        "without_photos": int((~told_units.unique().isin(photographed)).sum()),
        "without_time": len(silent) - len(dated),
    }
    for column in ("start", "end"):
        table[column] = pd.to_datetime(table[column]).dt.strftime("%Y-%m-%dT%H:%M:%S")
    return Operation(table[list(COLUMNS)].astype(object), rejected, counts)


def _units(photos: pd.DataFrame) -> pd.DataFrame:
    """Return photos of which station or camera is told, with both, and the `first` and `last` moment they may be of."""
    station, camera = photos["station"], photos["camera"]
    first, last = _moments(photos["date"])
    units = pd.DataFrame(
        {
            "station": station.where(station != "", camera),
            "camera": camera.where(camera != "", station),
            "first": first,
            "last": last,
            "suspect": photos["flags"].str.split().map(lambda flags: CLOCK_SUSPECT in flags).astype(bool),
        }
    )
    return units[units["station"] != ""]


def _moments(iso: pd.Series, minutes: float = 0) -> tuple[pd.Series, pd.Series]:
    """Return the first and the last moment that dates may be of, so many minutes on; a day alone has all of its own."""
    first = pd.to_datetime(iso.where(iso != ""), format="ISO8601") + pd.Timedelta(minutes=minutes)
    last = first.mask(iso.str.len() == len("2026-01-31"), first + pd.Timedelta(hours=23, minutes=59, seconds=59))
    return first.astype("datetime64[s]"), last.astype("datetime64[s]")


def _spans(photos: pd.DataFrame) -> pd.DataFrame:
    """Return `first` and `last` trusted moment of each unit's photos: `station, camera, first, last`."""
    trusted = photos[~photos["suspect"] & photos["first"].notna()]
    return trusted.groupby(["station", "camera"]).agg(first=("first", "min"), last=("last", "max")).reset_index()


def _understood(told: Deployments, key: str, order: str, rejected: list[Rejected]) -> pd.DataFrame:
    """Return the rows with places in degrees (NaN where none is) and times (NaT), each with `where` it stands."""
    table = told.rows.reindex(columns=list(CELLS), fill_value="").fillna("").astype(str).reset_index(drop=True)
    for column in table:
        table[column] = blank_nothing(table[column])[0].str.strip()
    for column in ("station", "camera"):
        table[column] = table[column].map({text: spelling(text) for text in table[column].unique()})
    where = [told.where([row]) for row in range(len(table))]

    def reject(faults: dict[int, str], reason: str) -> None:
        rejected.extend(("", "", reason, f"{where[row]}: {said}") for row, said in sorted(faults.items()))

    latitude, longitude, faults = _places(table)
    reject(faults, "coordinates")
    asked = (table[["latitude", "longitude", "x", "y"]] != "").any(axis=1).sum()
    if 2 * len(faults) > asked:
        first = min(faults)
        raise PelageError(
            f"{where[first]}: {faults[first]}. So it is with {len(faults)} of {asked} places. Mend the table."
        )
    texts = pd.concat([table["start"], table["end"]], ignore_index=True)
    dates = read_dates(texts, lambda rows: told.where([i % len(table) for i in rows]), key, order, "start or end")
    reject({row % len(table): said for row, said in dates.faults.items()}, "date")
    ahead = np.nan_to_num(told.clock - dates.clock)
    start = _moments(dates.iso[: len(table)], ahead)[0]
    end = _moments(dates.iso[len(table) :].reset_index(drop=True), ahead)[1]
    names = table[["station", "camera"]]
    table = names.assign(where=where, latitude=latitude, longitude=longitude, start=start, end=end)
    nameless = (table["station"] == "") & (table["camera"] == "")
    reject(dict.fromkeys(np.flatnonzero(nameless).tolist(), "neither station nor camera is told"), "camera")
    turned = table["end"] <= table["start"]
    for row in table[turned].itertuples():
        rejected.append(("", "", "order", f"{row.where}: it ends at {row.end}, and starts at {row.start}"))
    return table[~nameless & ~turned]


def _places(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
    """Return latitude and longitude of each row, NaN where none is told or it cannot be right, and what is wrong."""
    faults: dict[int, str] = {}
    latitude, longitude = _numbers(table, ("latitude", "longitude"), "decimal degrees such as -22.1053", faults)
    x, y = _numbers(table, ("x", "y"), "metres", faults)
    metres = np.isnan(latitude) & ~np.isnan(x)
    for system in table["crs"][metres].unique():
        rows = np.flatnonzero(metres & (table["crs"] == system))
        wrong, transform = _projection(system)
        if transform is None:
            faults |= dict.fromkeys(rows.tolist(), f"x and y are told, and crs is {system!r}, which {wrong}")
        else:
            latitude[rows], longitude[rows] = transform(x[rows], y[rows])
            for row in rows[~np.isfinite(latitude[rows])]:
                faults[int(row)] = f"x {x[row]:g} and y {y[row]:g} are no place of {system}"
    for row in np.flatnonzero(~np.isnan(latitude)):
        said = _impossible(latitude[row], longitude[row])
        if said:
            faults.setdefault(int(row), said)
    wrong = np.array(sorted(faults), int)
    latitude[wrong] = longitude[wrong] = np.nan
    _slips(latitude, longitude, faults)
    return latitude, longitude, faults


def _numbers(
    table: pd.DataFrame, pair: tuple[str, str], unit: str, faults: dict[int, str]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of two columns, NaN in both where either is none; a comma may stand for the point."""
    values = []
    for column, other in (pair, pair[::-1]):
        text = table[column].str.replace(r"^([+-]?\d+),(\d+)$", r"\1.\2", regex=True)
        number = pd.to_numeric(text, errors="coerce").to_numpy(float, copy=True)
        number[~np.isfinite(number)] = np.nan
        for row in np.flatnonzero((text != "") & np.isnan(number)):
            faults.setdefault(int(row), f"{column} {table[column].iat[row]!r} is no number: give {unit}")
        for row in np.flatnonzero((text != "") & (table[other] == "")):
            faults.setdefault(int(row), f"{column} is told without {other}: give both")
        values.append(number)
    either = np.isnan(values[0]) | np.isnan(values[1])
    return np.where(either, np.nan, values[0]), np.where(either, np.nan, values[1])


def _projection(system: str) -> tuple[str, Callable | None]:
    """Return how metres become latitude and longitude, or what is wrong with a coordinate system."""
    try:
        crs = CRS.from_user_input(system)
    except CRSError:
        return "is no coordinate system: give one such as EPSG:32633", None
    if not crs.is_projected:
        return "is not in metres: give a projected one such as EPSG:32633, or the columns latitude and longitude", None
    place = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    return "", lambda x, y: place.transform(x, y)[::-1]


def _impossible(latitude: float, longitude: float) -> str:
    said = f"latitude {latitude:g} and longitude {longitude:g}"
    if latitude == 0 and longitude == 0:
        return f"{said} are a place in the Atlantic that stands for none: leave the cells empty"
    if 90 < abs(latitude) <= 180 and abs(longitude) <= 90:
        return f"{said} are swapped: exchange them"
    if abs(latitude) > 90 or abs(longitude) > 180:
        return f"{said} are on no globe: give decimal degrees, or metres as x, y and crs"
    return ""


def _slips(latitude: np.ndarray, longitude: np.ndarray, faults: dict[int, str]) -> None:
    """Empty places that are far from the others' middle, and near it once swapped or with the other sign."""
    if not (~np.isnan(latitude)).any():
        return
    middle = np.nanmedian(latitude), np.nanmedian(longitude)
    for row in np.flatnonzero(kilometres(latitude, longitude, *middle) > FAR_KM):
        north, east = latitude[row], longitude[row]
        ways = {"swapped: exchange them": (east, north), "without their sign: mend the latitude": (-north, east)}
        ways["without their sign: mend the longitude"] = (north, -east)
        for said, way in ways.items():
            if abs(way[0]) <= 90 and kilometres(*way, *middle) <= FAR_KM:
                around = f"the others are around {middle[0]:.2f}, {middle[1]:.2f}"
                faults[int(row)] = f"latitude {north:g} and longitude {east:g} are {said} ({around})"
                latitude[row] = longitude[row] = np.nan
                break


def kilometres(latitude, longitude, other_latitude, other_longitude) -> np.ndarray:
    """Return the distance along a great circle, for arrays of degrees that broadcast (haversine)."""
    a, b, c, d = (np.deg2rad(value) for value in (latitude, other_latitude, longitude, other_longitude))
    half = np.sin((a - b) / 2) ** 2 + np.cos(a) * np.cos(b) * np.sin((c - d) / 2) ** 2
    return 2 * _EARTH_KM * np.arcsin(np.sqrt(np.clip(half, 0, 1)))


def _named(rows: pd.DataFrame, told: Deployments, known: pd.DataFrame) -> pd.DataFrame:
    """Give each row its station and camera as the photos name them; a row of a whole station becomes one a camera."""
    spelled = {}
    for column in ("station", "camera"):
        spelled[column] = {name_key(name): name for name in known[column].unique()}
    rows = rows.assign(**{c: rows[c].map(lambda name, c=c: spelled[c].get(name_key(name), name)) for c in spelled})
    stations = known.groupby("camera")["station"].agg(["first", "size"])
    alone = stations["first"][stations["size"] == 1]
    station = rows["station"].where(rows["station"] != "", rows["camera"].map(alone))
    rows["station"] = station.fillna(rows["camera"])
    whole = rows["camera"] == ""
    apart = rows.loc[~whole, ["station", "camera"]].drop_duplicates()
    free = known[~pd.MultiIndex.from_frame(known).isin(pd.MultiIndex.from_frame(apart))]
    spread = rows[whole].drop(columns="camera").merge(free, "left", on="station").fillna({"camera": ""})
    spread["camera"] = spread["camera"].where(spread["camera"] != "", spread["station"])
    rows = pd.concat([rows[~whole], spread[rows.columns]], ignore_index=True)
    seen = pd.MultiIndex.from_frame(rows[["station", "camera"]]).isin(pd.MultiIndex.from_frame(known))
    if len(known) and len(rows) and not seen.any():
        first, photo = rows.iloc[0], known.iloc[0]
        raise PelageError(
            f"{first['where']}: the camera {first['camera']!r} at {first['station']!r} has no photo, nor has any other "
            f"of {told.file}. Photos are of cameras such as {photo['camera']!r} at {photo['station']!r}: name cameras "
            "and stations alike."
        )
    return rows


def _one_place(rows: pd.DataFrame, rejected: list[Rejected]) -> pd.DataFrame:
    """Empty the place of rows whose station is elsewhere by a row before."""
    told = rows[rows["latitude"].notna()].astype({"latitude": float, "longitude": float})
    first = told.drop_duplicates("station").set_index("station")
    origin = first.loc[told["station"], ["latitude", "longitude", "where"]].set_axis(told.index)
    away = kilometres(told["latitude"], told["longitude"], origin["latitude"], origin["longitude"])
    apart = away > APART_KM
    for row in told.assign(before=origin["where"], km=away)[apart].itertuples():
        said = f"the station {row.station!r} is {row.km:.1f} km from where it is by {row.before}"
        mend = "Mend one of them, or give the place a name of its own"
        rejected.append(("", "", "coordinates", f"{row.where}: {said}. {mend}"))
    moved = told.index[apart]
    rows = rows.copy()
    rows.loc[moved, ["latitude", "longitude"]] = np.nan
    return rows


def _in_time(rows: pd.DataFrame, spans: pd.DataFrame, rejected: list[Rejected]) -> pd.DataFrame:
    """Fill in missing times from photos, and leave out rows that overlap others of their camera."""
    rows = rows.merge(spans, "left", on=["station", "camera"]).assign(rests_on="told")
    open_ended = rows["start"].isna() | rows["end"].isna()
    several = rows.duplicated(["station", "camera"], keep=False)
    start, end = rows["start"].fillna(rows["first"]), rows["end"].fillna(rows["last"])
    lost = open_ended & (several | start.isna() | end.isna() | (end < start))
    for row in rows[lost].itertuples():
        why = "the camera has several rows" if several[row.Index] else "no photo of the camera can fill it in"
        rejected.append(("", "", "date", f"{row.where}: start or end of {row.camera!r} is missing, and {why}"))
    rows = rows.assign(start=start, end=end, rests_on=rows["rests_on"].mask(open_ended, "photos"))[~lost]
    rows = rows.assign(unseen=rows["first"].isna())
    rows = rows.sort_values(["unseen", "start", "station", "camera"], kind="stable", ignore_index=True)
    return _apart(rows, spans, rejected)


def _apart(rows: pd.DataFrame, spans: pd.DataFrame, rejected: list[Rejected]) -> pd.DataFrame:
    """Leave out rows that say of a camera that it ran at two places, or twice at one place, at a time.

    The row before stays, so that where a camera has photos counts more. A name such as `A` that photos of several
    stations have is the name of several cameras.
    """
    shared = set(spans["camera"][spans["camera"].duplicated()])
    kept: dict[tuple[str, str], list] = defaultdict(list)
    for row in rows.itertuples():
        running = kept[row.camera, row.station if row.camera in shared else ""]
        other = next((one for one in running if row.start < one.end and one.start < row.end), None)
        if other is None:
            running.append(row)
            continue
        said = f"{row.camera!r} runs from {row.start} to {row.end} at {row.station!r}"
        told = f"by {other.where} from {other.start} to {other.end} at {other.station!r}"
        rejected.append(("", "", "overlap", f"{row.where}: {said}, and {told}: it cannot run twice. Mend one of them"))
    return rows.loc[sorted(row.Index for running in kept.values() for row in running)].reset_index(drop=True)


def _located(table: pd.DataFrame) -> pd.DataFrame:
    """Give rows without a place that of their station, and write places as text."""
    own = table["latitude"].notna()
    first = table[own].drop_duplicates("station").set_index("station")
    for column in ("latitude", "longitude"):
        value = table[column].where(own, table["station"].map(first[column]))
        table[column] = ["" if pd.isna(degrees) else f"{degrees:.6f}" for degrees in value]
    return table


def _outside(photos: pd.DataFrame, intervals: pd.DataFrame) -> int:
    """Count photos of when their camera, whose days are told, did not run; clocks that are suspect tell nothing."""
    dated = photos[~photos["suspect"] & photos["first"].notna()].reset_index(names="photo")
    pairs = dated.merge(intervals[["station", "camera", "start", "end"]], on=["station", "camera"])
    inside = pairs[(pairs["start"] <= pairs["last"]) & (pairs["first"] <= pairs["end"])]
    return pairs["photo"].nunique() - inside["photo"].nunique()
