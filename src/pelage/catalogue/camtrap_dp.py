"""Photos of a Camtrap Data Package (Camtrap DP, https://camtrap-dp.tdwg.org): deployments, media, observations.

An observation is of one file (media-based) or of all files of a deployment within a time span (event-based).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from pelage.catalogue.archives import unpack_zip
from pelage.catalogue.dates import Dates, read_dates
from pelage.catalogue.entries import Source
from pelage.catalogue.inventory import PHOTO_SUFFIXES, Found, list_files, source_files
from pelage.catalogue.paths import resolve_paths
from pelage.catalogue.schema import Deployments, Rejected, Survey
from pelage.catalogue.words import is_nothing
from pelage.common.errors import PelageError
from pelage.common.files import inside
from pelage.common.image_header import image_size
from pelage.common.parallel import parallel_map
from pelage.common.tables import Rows, read_rows, require_columns

BOX = ["bboxX", "bboxY", "bboxWidth", "bboxHeight"]
REQUIRED = {
    "deployments": ["deploymentID"],
    "media": ["mediaID", "deploymentID", "timestamp", "filePath"],
    "observations": ["observationType"],
}
OPTIONAL = {
    "deployments": [
        *("locationID", "cameraID", "timestampIssues", "latitude", "longitude", "deploymentStart", "deploymentEnd")
    ],
    "media": ["fileMediatype", "sequenceID"],
    "observations": [
        *("deploymentID", "mediaID", "eventID", "eventStart", "eventEnd", "scientificName", "count", "individualID"),
        *("classificationMethod", *BOX),
    ],
}
OLD = {
    "deployments": {"start": "deploymentStart", "end": "deploymentEnd"},
    "media": {},
    "observations": {"timestamp": "eventStart", "sequenceID": "eventID"},
}
"""Columns as version 0.1.6 calls them."""

BEYOND = 0.01
"""Share of a side by which a box may stand out of its photo: rounding, which is cut off."""


@contextmanager
def open_camtrap_dp(source: Source, cache: Path) -> Iterator[Survey]:
    """Give the photos of a Camtrap Data Package, versions 0.1.6 to 1.0.

    Every image of `media` is a photo; other media are left out and counted. Station is the locationID, camera the
    cameraID (each the deploymentID where it is missing), encounter the eventID. What observations say of animals are
    claims: identity, species, box. What is said of a file stands beside what is said of its event unless both say the
    same kind of thing; then the file's counts, but a person's word always before a machine's. Deployments tell where
    and when cameras ran.

    Args:
        source: `path` is the package's folder, its datapackage.json, or a zip file of it.
        cache: Folder for what a zip file holds, for as long as the block lasts.

    Raises:
        PelageError: A table or column is missing, all files are remote, all rows are faulty, or a zip file is unsafe.
    """
    path = source.path
    if path.is_file() and path.suffix.lower() == ".zip":
        cache.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=cache, prefix="package.") as folder:
            unpack_zip(path, Path(folder))
            found = sorted(Path(folder).rglob("datapackage.json"))
            if len(found) != 1:
                raise PelageError(f"{path} holds {len(found)} files datapackage.json. Give a zip file of one package.")
            root = found[0].parent
            survey = read_package(root, list_files(root), source.key)
            deployments = replace(survey.deployments, file=f"{path}, deployments")
            yield replace(survey, file=f"{path}, media", deployments=deployments)
        return
    root = path.parent if path.name == "datapackage.json" else path
    if not (root / "datapackage.json").is_file():
        raise PelageError(
            f"{source.key}.path: there is no Camtrap Data Package at {path}. Give the folder that holds "
            "datapackage.json, or a zip file of it."
        )
    yield read_package(root, source_files(source), source.key)


def read_package(root: Path, files: Sequence[Found], key: str) -> Survey:
    """Read the unpacked package in `root`, as `open_camtrap_dp` says."""
    paths = _table_files(root)
    read = {name: read_rows(file) for name, file in paths.items()}
    rejected: list[Rejected] = []
    tables = {name: _cells(read[name], name, paths[name], rejected) for name in REQUIRED}
    deployments, media, observations = (tables[name] for name in REQUIRED)
    deployments = _first_only(deployments, "deploymentID", rejected)
    media = _first_only(media, "mediaID", rejected)
    media = _known(media, "deploymentID", deployments, "deployment", rejected, paths["media"])
    media = _local(media, rejected, paths["media"])
    media = media.reset_index(drop=True)
    observations = _known(observations, "mediaID", media, "media", rejected, None).reset_index(drop=True)

    times = read_dates(media["timestamp"], lambda rows: _place(paths["media"], media, rows), key, "", "timestamp")
    events = observations[(observations["mediaID"] == "") & (observations["observationType"] != "unclassified")]
    events = _known(events, "deploymentID", deployments, "deployment", rejected, None)
    of_sequence = (events["eventID"] != "") & events["eventID"].isin(media["sequenceID"])  # of version 0.1.6
    spans = _spans(events[~of_sequence], paths["observations"], key, times, rejected)
    during = pd.concat([_event_pairs(media, times, spans), _sequence_pairs(media, events[of_sequence])])
    images = media["fileMediatype"].str.lower().str.startswith("image/")
    images |= (media["fileMediatype"] == "") & media["filePath"].str.lower().str.endswith(PHOTO_SUFFIXES)
    claims, ambiguous = _claims(media, observations, during)
    photos = media[images].join(claims, how="left").reset_index(names="medium")
    photos["bbox"] = _pixel_boxes(photos, root, files, rejected)
    for column, told in (("camera", "cameraID"), ("station", "locationID")):
        deployments[column] = deployments[told].where(deployments[told] != "", deployments["deploymentID"])
    place = deployments.set_index("deploymentID").loc[photos["deploymentID"]].reset_index()
    issues = place["timestampIssues"].str.strip().str.lower().isin(["true", "1"])
    rows = pd.DataFrame(
        {
            "image_id": photos["mediaID"],
            "path": photos["filePath"],
            "identity": photos["individualID"].fillna(""),
            "date": photos["timestamp"],
            "camera": place["camera"],
            "station": place["station"],
            "bbox": photos["bbox"],
            "species": photos["scientificName"].fillna(""),
            "encounter": photos["medium"].map(_events(observations, media, during)).fillna(""),
            "deployment": photos["deploymentID"],
        }
    )
    told = "row " + photos["number"].astype(str)
    own = ", observations row " + photos["observation_number"].fillna(0).astype(int).astype(str)
    row = told + own.where(photos["observation_number"].notna(), "")
    counts = {
        "other_media": int((~images).sum()),
        "ambiguous": int(ambiguous.reindex(media.index[images]).fillna(False).sum()),
        "timestamp_issues": int(photos["mediaID"][issues].nunique()),
        "blank_rows": sum(one.blank for one in read.values()),
        "short_rows": sum(one.shorter for one in read.values()),
    }
    ran = deployments.rename(columns={"deploymentStart": "start", "deploymentEnd": "end"})
    number = ("row " + ran["number"].astype(str)).tolist()
    ran = Deployments(ran.reset_index(drop=True), str(paths["deployments"]), number, clock=times.clock)
    used = [os.path.relpath(file, root) for file in paths.values()] + ["datapackage.json"]
    return Survey(rows, root, str(paths["media"]), row.tolist(), files, used, rejected, counts, issues.tolist(), ran)


def _table_files(root: Path) -> dict[str, Path]:
    descriptor = root / "datapackage.json"
    try:
        resources = json.loads(descriptor.read_text(encoding="utf-8-sig"))["resources"]
        paths = {resource["name"]: resource["path"] for resource in resources if "path" in resource}
    except (ValueError, KeyError, TypeError) as error:
        raise PelageError(f"{descriptor} is no data package descriptor with resources: {error!r}. Mend it.") from error
    files = {}
    for name in REQUIRED:
        path = paths.get(name, f"{name}.csv")
        if not isinstance(path, str) or "://" in path:
            raise PelageError(
                f"{descriptor}: the table {name} is at {path!r}. Download it and give one path below {root}."
            )
        files[name] = inside(root, path, str(descriptor))
    return files


def _cells(rows: Rows, name: str, file: Path, rejected: list[Rejected]) -> pd.DataFrame:
    """Return a table of the package with all columns that are asked for, missing values empty, and `number` of rows."""
    table = rows.table
    require_columns(table, REQUIRED[name], file)
    table = table.rename(columns={was: now for was, now in OLD[name].items() if now not in table})
    if name == "observations":
        if "eventEnd" not in table and "eventStart" in table:
            table["eventEnd"] = table["eventStart"]
        if "mediaID" not in table:
            require_columns(table, ["deploymentID", "eventStart", "eventEnd"], file)
    table = table.assign(**{column: "" for column in OPTIONAL[name] if column not in table}, number=rows.numbers)
    for column in (*REQUIRED[name], *OPTIONAL[name]):
        if column != "filePath":
            table[column] = table[column].str.strip()
            nothing = [text for text in table[column].unique() if text and is_nothing(text)]
            table[column] = table[column].mask(table[column].isin(nothing), "")
    for number, said in rows.longer:
        _reject(rejected, "", "", "cells", name, number, f"there are more cells than columns: {said[:80]!r}")
    return table.assign(table=name)


def _reject(rejected: list[Rejected], image_id: str, path: str, reason: str, name: str, number: int, said: str) -> None:
    rejected.append((image_id, path, reason, f"{name}, row {number}: {said}"))


def _reject_rows(rejected: list[Rejected], table: pd.DataFrame, reason: str, said: str, column: str) -> None:
    for row in table.to_dict("records"):
        image_id, path = row.get("mediaID", ""), row.get("filePath", "")
        _reject(
            rejected, image_id, path, reason, row["table"], row["number"], said.format(column=column, value=row[column])
        )


def _first_only(table: pd.DataFrame, column: str, rejected: list[Rejected]) -> pd.DataFrame:
    repeated = table[column].duplicated() | (table[column] == "")
    _reject_rows(rejected, table[repeated], "repeated", "{column} {value!r} is empty or that of a row before", column)
    return table[~repeated]


def _known(
    table: pd.DataFrame, column: str, other: pd.DataFrame, name: str, rejected: list[Rejected], file: Path | None
) -> pd.DataFrame:
    strange = (table[column] != "") & ~table[column].isin(other[column])
    if file is not None or name == "deployment":
        strange |= table[column] == ""
    if file is not None and len(table) and strange.all():
        raise PelageError(
            f"{file}, row {table['number'].iloc[0]}: {column} {table[column].iloc[0]!r} is not in {name}s.csv, nor is "
            "any other. The tables do not belong together."
        )
    _reject_rows(rejected, table[strange], name, "{column} {value!r} is not in the package", column)
    return table[~strange]


def _local(media: pd.DataFrame, rejected: list[Rejected], file: Path) -> pd.DataFrame:
    remote = media["filePath"].str.contains("://", regex=False)
    if len(media) and remote.all():
        raise PelageError(
            f"{file}, row {media['number'].iloc[0]}: the file is at {media['filePath'].iloc[0]!r}, and all "
            f"{len(media)} files are on the network. Download them into the package and give paths relative to it."
        )
    _reject_rows(rejected, media[remote], "remote", "the file is at {value!r}, on the network", "filePath")
    return media[~remote]


def _place(file: Path, table: pd.DataFrame, rows: Sequence[int]) -> str:
    return f"{file}, row {table['number'].iloc[rows[0]]}"


def _spans(events: pd.DataFrame, file: Path, key: str, times: Dates, rejected: list[Rejected]) -> pd.DataFrame:
    """Return event-based observations with `start` and `end` in seconds; those without are rejected."""
    ends = {}
    for column in ("eventStart", "eventEnd"):
        read = read_dates(events[column], lambda rows: _place(file, events, rows), key, "", column)
        if read.zone.isna().all():  # then they are of the zone of the photos
            known = times.zone.dropna()
            read = replace(read, zone=read.zone.fillna(known.iloc[0] if len(known) else 0.0))
        ends[column] = read.seconds()
    events = events.assign(start=ends["eventStart"], end=ends["eventEnd"])
    bad = events[["start", "end"]].isna().any(axis=1) | (events["end"] < events["start"])
    _reject_rows(rejected, events[bad], "date", "eventStart {value!r} and eventEnd tell no span of time", "eventStart")
    return events[~bad]


def _event_pairs(media: pd.DataFrame, times: Dates, events: pd.DataFrame) -> pd.DataFrame:
    """Return which media (positions `medium`) each event-based observation (`observation`) is of."""
    seconds = times.seconds()
    pairs = [np.empty((0, 2), int)]
    of_deployment = events.groupby("deploymentID").indices
    for deployment, rows in media.groupby("deploymentID").indices.items():
        if deployment not in of_deployment:
            continue
        rows = rows[~np.isnan(seconds[rows])]
        rows = rows[np.argsort(seconds[rows], kind="stable")]
        here = events.iloc[of_deployment[deployment]]
        first = np.searchsorted(seconds[rows], here["start"], "left")
        after = np.searchsorted(seconds[rows], here["end"], "right")
        for observation, low, high in zip(here.index, first, after, strict=True):
            pairs.append(np.stack([rows[low:high], np.full(max(high - low, 0), observation)], 1))
    return pd.DataFrame(np.concatenate(pairs), columns=["medium", "observation"])


def _sequence_pairs(media: pd.DataFrame, events: pd.DataFrame) -> pd.DataFrame:
    """Return which media (`medium`) each observation of a sequence (`observation`) is of."""
    own = media.reset_index(names="medium")[["medium", "deploymentID", "sequenceID"]]
    told = events.reset_index(names="observation")[["observation", "deploymentID", "eventID"]]
    pairs = told.merge(own, left_on=["deploymentID", "eventID"], right_on=["deploymentID", "sequenceID"])
    return pairs[["medium", "observation"]]


def _claims(media: pd.DataFrame, observations: pd.DataFrame, during: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    """Return what is said of animals, a row a claim (index: medium), and which media are ambiguous.

    Each kind of thing (who, which species, where) is taken from the best that tell it: people before machines, then
    the file before its event. So a machine's boxes stand beside a person's name for the whole event.
    """
    medium = pd.Series(media.index, media["mediaID"])
    of_file = observations[(observations["mediaID"] != "") & (observations["observationType"] != "unclassified")]
    of_file = of_file.assign(medium=of_file["mediaID"].map(medium), event=0)
    of_event = observations.loc[during["observation"]].assign(medium=during["medium"].to_numpy(), event=1)
    seen = pd.concat([of_file, of_event[of_event["observationType"] != "unclassified"]], ignore_index=True)
    seen[BOX] = seen[BOX].where(seen["event"] == 0, "")  # a box of an event is of none of its files
    animal, machine = seen["observationType"] == "animal", seen["classificationMethod"] != "human"
    by_person, of_own = ~machine, seen["event"] == 0

    def any_of(mask: pd.Series) -> pd.Series:
        return mask.groupby(seen["medium"]).transform("any")

    empty = any_of(of_own & by_person & ~animal) & ~any_of(of_own & by_person & animal)
    no_animal = any_of(of_own & ~animal) & ~any_of(of_own & animal)
    seen = seen[animal & ~(empty & machine) & ~(no_animal & ~of_own) & ~(empty & ~of_own)]
    boxed = (seen[BOX] != "").all(axis=1)
    several = ~boxed & ~pd.to_numeric(seen["count"], errors="coerce").fillna(1).le(1)
    named = seen["individualID"] != ""
    lost = named & several
    rank = 2 * (seen["classificationMethod"] != "human") + seen["event"]
    for columns, telling in (
        (["individualID"], named),
        (["scientificName"], seen["scientificName"] != ""),
        (BOX, boxed),
    ):
        best = rank.where(telling).groupby(seen["medium"]).transform("min")
        seen[columns] = seen[columns].where(telling & (rank == best), "")
    seen["individualID"] = seen["individualID"].mask(several, "")
    told = (seen[["individualID", "scientificName", BOX[0]]] != "").any(axis=1)
    claims = seen[told].sort_values(["medium", "event", "number"], kind="stable")
    claims = _joined(claims.drop_duplicates(["medium", "individualID", "scientificName", *BOX]))
    unboxed = claims[(claims[BOX[0]] == "") & (claims["individualID"] != "")]
    ambiguous = (unboxed.groupby("medium")["individualID"].nunique() > 1).reindex(media.index, fill_value=False)
    ambiguous |= lost.groupby(seen["medium"]).any().reindex(media.index, fill_value=False)
    claims = claims.set_index("medium").rename(columns={"number": "observation_number"})
    return claims[["individualID", "scientificName", "observation_number", *BOX]], ambiguous


def _joined(claims: pd.DataFrame) -> pd.DataFrame:
    """Join what is told of a whole photo in two rows: the species by one (its own), the name by another (its event's).

    A row that names and has its species already is an animal of its own beside one that has a species only.
    """
    whole = claims[BOX[0]] == ""
    named = whole & (claims["individualID"] != "")
    medium = claims["medium"]
    apart = named.groupby(medium).transform("any") & ~(named & (claims["scientificName"] != "")).groupby(
        medium
    ).transform("any")
    species = claims["scientificName"].where(whole & ~named & apart & (claims["scientificName"] != ""))
    only = species.groupby(medium).transform("nunique") == 1
    told = species.groupby(medium).transform("first")
    claims = claims.assign(scientificName=claims["scientificName"].mask(named & apart & only, told))
    return claims[species.isna() | ~only]


def _events(observations: pd.DataFrame, media: pd.DataFrame, during: pd.DataFrame) -> dict[int, str]:
    """Return the eventID of each medium (position) that has one, that of its own observation before its event's."""
    medium = pd.Series(media.index, media["mediaID"])
    own = observations[(observations["mediaID"] != "") & (observations["eventID"] != "")]
    events = dict(zip(during["medium"][::-1], observations.loc[during["observation"], "eventID"][::-1], strict=True))
    return events | dict(zip(own["mediaID"].map(medium)[::-1], own["eventID"][::-1], strict=True))


def _pixel_boxes(photos: pd.DataFrame, root: Path, files: Sequence[Found], rejected: list[Rejected]) -> list[str]:
    """Return boxes `x y w h` in pixels of the upright photo; the package has them as shares of its sides."""
    told = photos[BOX].fillna("")
    asked = (told != "").any(axis=1).to_numpy()
    x, y, width, height = (pd.to_numeric(told[column], errors="coerce").to_numpy(float) for column in BOX)
    right, bottom = x + width, y + height
    with np.errstate(invalid="ignore"):
        within = (np.minimum(x, y) >= -BEYOND) & (np.maximum(x, y) < 1) & (np.minimum(width, height) > 0)
        within &= np.maximum(right, bottom) <= 1 + BEYOND
    x, y, right, bottom = np.maximum(x, 0), np.maximum(y, 0), np.minimum(right, 1), np.minimum(bottom, 1)
    within &= (right > x) & (bottom > y)

    paths = resolve_paths(root, files, photos["filePath"]).found
    wanted = paths[asked & within & (paths != "")].unique()
    sizes = dict(zip(wanted, parallel_map(lambda path: _size(root / path), wanted), strict=True))
    columns, rows = (paths.map({path: size[i] for path, size in sizes.items() if size}).to_numpy(float) for i in (0, 1))
    sized = ~np.isnan(columns)
    boxes = [""] * len(photos)
    for row in np.flatnonzero(asked & within & sized):
        sides = np.array([x[row], y[row], right[row] - x[row], bottom[row] - y[row]])
        sides *= [columns[row], rows[row], columns[row], rows[row]]
        boxes[row] = " ".join(f"{side:.2f}" for side in sides)
    for row in np.flatnonzero(asked & ~(within & sized)):
        photo, words = photos.iloc[row], " ".join(told.iloc[row])
        if not within[row]:
            said = f"the box {words!r} is no four numbers within 0 and 1"
        elif paths.iat[row]:
            said = f"the box {words!r} is of a photo whose size cannot be read"
        else:
            continue  # the photo is not there, which is said elsewhere
        number = int(photo["observation_number"])
        _reject(rejected, photo["mediaID"], photo["filePath"], "box", "observations", number, said)
    return boxes


def _size(path: Path) -> tuple[int, int] | None:
    try:
        return image_size(path)
    except PelageError:
        return None  # `clean` rejects the photo
