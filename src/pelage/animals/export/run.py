"""From the project's tables to the folder of an export: what `pelage export` does."""

from __future__ import annotations

import os
import time
import zipfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from pelage.animals.effort import station_places
from pelage.animals.export import CAPTURES
from pelage.animals.export import camtrap_dp as camtrap
from pelage.animals.export.camtrap_package import DESCRIPTOR, Package, check_package, read_package
from pelage.animals.export.captures import Captures, collect, located
from pelage.animals.export.clock import time_zone
from pelage.animals.export.coordinates import moved_by, rounded
from pelage.animals.export.files import LEFT_OUT, Export, left_out_lines
from pelage.animals.export.folder import check_folder, write_export
from pelage.animals.export.mark import mark
from pelage.animals.export.oscr import oscr
from pelage.animals.export.owner import FILE, read_owner
from pelage.animals.export.photos import without_place
from pelage.animals.export.secr import secr
from pelage.animals.export.sightings import SCOPES, named_animals
from pelage.animals.export.spacecap import spacecap
from pelage.animals.export.wildlife_datasets import wildlife_datasets
from pelage.animals.habitat import read_habitat
from pelage.animals.histories import CANNOT_TELL, SIDES, population
from pelage.animals.spatial import Detections, Mask
from pelage.catalogue.clocks import right_dates
from pelage.catalogue.dates import read_dates
from pelage.catalogue.entries import Source, read_sources
from pelage.common.errors import PelageError
from pelage.common.files import inside, project_root
from pelage.common.tables import read_table

DATA = Path("data")
PLACES = {
    "secr": "distances between stations are what it works with",
    "oscr": "distances between stations are what it works with",
    "spacecap": "distances between stations are what it works with",
    "camtrap-dp": "each deployment must have them",
}
"""Formats that are nothing without coordinates, and why."""

CLOCKS = {"offset_s": float, "drift_s_per_day": float, "visits": int}
NO_ANIMAL = "no animal"
"""Reason in `data/rejected/detect.csv` of photos without an animal."""


@dataclass(frozen=True)
class Wish:
    """What is asked for.

    Attributes:
        kind: One of `FORMATS`.
        folder: Where it goes.
        decimals: Decimals of a degree that coordinates are rounded to; None leaves them as they are.
        coordinates: Whether coordinates may leave.
        zone: Zone of the cameras' clocks; empty: as export.yaml or the source tells.
        photos: Whether copies of the photos are written.
        population: One of `histories.POPULATIONS`.
    """

    kind: str
    folder: Path
    decimals: int | None = None
    coordinates: bool = True
    zone: str = ""
    photos: bool = False
    population: str = "linked"


def run_export(wish: Wish, params: Mapping[str, Any], people: Collection[str]) -> str:
    """Write an export and return what is to be told of it.

    Args:
        wish: What is asked for.
        params: What params.yaml holds.
        people: Ids of the photos that show people, which never leave.

    Raises:
        PelageError: The format cannot do without what may not leave, a table is missing, the folder is somebody's, or
            the owner has to tell something first.
    """
    if wish.kind in PLACES and not wish.coordinates:
        raise PelageError(
            f"{wish.kind} cannot do without coordinates: {PLACES[wish.kind]}. Round them (--round-coordinates 2), or "
            "export to mark or wildlife-datasets, which have none."
        )
    if wish.photos and wish.kind in CAPTURES:
        raise PelageError(f"{wish.kind} has no photos to copy. Leave --copy-photos away.")
    if wish.photos and params["detect"]["people"] == "keep":
        raise PelageError(
            "detect.people of params.yaml is keep: nobody has looked which photos show people, and those must "
            "not leave. Set it to set_aside and run `dvc repro detect`, or leave --copy-photos away."
        )
    name = params["ingest"]["dataset"]
    sources = read_sources(params["datasets"][name], name)
    _check_place(wish.folder.resolve(), sources)
    check_folder(wish.folder.resolve())  # before the work, too
    if wish.kind in CAPTURES:
        export, check = _of_captures(wish, name, params), None
    elif wish.kind == "camtrap-dp":
        export, check = _of_package(wish, name, params, sources, people), _checked
    else:
        export, check = _of_crops(wish, people), None
    unseen = _nobody_looked(params["detect"], params["datasets"][name]) if wish.kind not in CAPTURES else ""
    export = replace(export, about=[*export.about, *([unseen] if unseen else [])])
    said = write_export(wish.folder, wish.kind, export, _photo(wish) if wish.photos else None, check)
    told = [f"{wish.kind}: {len(export.files)} files in {wish.folder}; README.txt says how to read them.", said, unseen]
    return "\n".join(filter(None, [*told, LEFT_OUT, *left_out_lines(export.left_out)]))


def _check_place(folder: Path, sources: list[Source]) -> None:
    """Refuse a folder in what the pipeline writes, which it removes, and one among photos, where it would be read."""
    inputs = [source.path.resolve() for source in sources if source.kind != "git" and source.entry.get("path")]
    for taken in (DATA.resolve(), *inputs):
        if folder.is_relative_to(taken):
            raise PelageError(
                f"{folder} is in {taken}, which belongs to the pipeline. Give a folder elsewhere with --to."
            )


def _nobody_looked(detect: Mapping[str, Any], dataset: Mapping[str, Any]) -> str:
    """Return a warning where photos may show people, for no detector that knows them was asked to set them aside."""
    backend = dataset.get("boxes", "embedded") if detect["backend"] == "auto" else detect["backend"]
    if dataset.get("source") == "synthetic" or (backend == "megadetector" and detect["people"] != "keep"):
        return ""
    why = "detect.people is keep" if backend == "megadetector" else f"boxes: {backend} does not see them"
    return f"Nobody has looked for people ({why}): look yourself, before photos or their times are passed on."


def _of_captures(wish: Wish, name: str, params: Mapping[str, Any]) -> Export:
    captures, left = _captures(wish)
    if wish.kind == "secr":
        export = secr(captures, name)
    elif wish.kind == "oscr":
        export = oscr(captures)
    elif wish.kind == "spacecap":
        mask, words = _state_space(captures, params["datasets"][name].get("habitat"), params["count"]["detection"])
        export = spacecap(captures, mask.points, mask.cell, words)
    else:
        export = mark(captures)
    about = [*export.about, _population(wish.population)]
    if wish.decimals is not None and wish.kind in PLACES:
        apart = len(np.unique(captures.places[~np.isnan(captures.places).any(axis=1)].round(), axis=0))
        about.append(
            f"Coordinates were rounded to {wish.decimals} decimals of a degree, which moves a station by up to "
            f"{moved_by(wish.decimals)} m: what a spatial model makes of that is off by as much. "
            f"{len(captures.stations)} stations are at {apart} places now."
        )
    return replace(export, about=about, left_out={**left, **export.left_out})


def _of_crops(wish: Wish, people: Collection[str]) -> Export:
    tables = _photo_tables(people)
    folder = "this folder" if wish.photos else "the data set's photos (data/photos)"
    paths = tables.paths if not wish.photos else {key: camtrap.package_path(path) for key, path in tables.paths.items()}
    detections = tables.detections[tables.detections["image_id"].isin(tables.photos["image_id"])]
    export = wildlife_datasets(tables.photos, tables.animals, detections, paths, folder)
    left = {**tables.left_out, "photos without a crop": len(tables.photos) - detections["image_id"].nunique()}
    return replace(export, left_out=left)


def _of_package(
    wish: Wish, name: str, params: Mapping[str, Any], sources: list[Source], people: Collection[str]
) -> Export:
    told = read_owner(FILE, name, params["datasets"])
    source, zone = came_from(sources)
    given = wish.zone or told.time_zone
    if given:
        zone = time_zone(given)
    if zone is None:
        raise PelageError(
            "Camtrap DP tells times with their zone, and nothing says what zone the cameras' clocks were set to. Tell "
            f"it: --time-zone +02:00, or time_zone of {name} in {FILE}."
        )
    tables = _photo_tables(people)
    deployments = rounded(_deployments(), wish.decimals)
    paths = {key: camtrap.package_path(path) for key, path in tables.paths.items()}
    survey = camtrap.Survey(tables.photos, tables.animals, deployments, paths, source)
    export = camtrap.camtrap_dp(survey, zone, told.package, _now(), wish.decimals, wish.photos)
    return replace(export, left_out={**tables.left_out, **export.left_out})


def _checked(folder: Path) -> str:
    print("camtrap-dp: written; now it is checked, 100,000 photos in a minute or two", flush=True)
    return check_package(folder)


@dataclass(frozen=True)
class _Photos:
    photos: pd.DataFrame
    animals: pd.DataFrame
    detections: pd.DataFrame
    paths: dict[str, str]
    left_out: dict[str, int]


def _photo_tables(people: Collection[str]) -> _Photos:
    """Read what is known of photos and animals; those that show people are in none of it."""
    clean = read_table(DATA / "clean.csv", {"width": int, "height": int}, ["image_id", "path", "date", "station"])
    shown = clean["image_id"].isin(people)
    photos = clean[~shown].reset_index(drop=True)
    told = photos["date"]
    photos["date"] = right_dates(photos, read_table(DATA / "clocks.csv", CLOCKS))
    rejected = read_table(DATA / "rejected" / "detect.csv")
    number = dict.fromkeys(("animal", "x", "y", "w", "h"), int)
    animals = read_table(DATA / "animals.csv", number)
    detections = read_table(DATA / "detections.csv", number)
    photos["blank"] = photos["image_id"].isin(rejected.loc[rejected["reason"] == NO_ANIMAL, "image_id"])
    photos["blank"] &= ~photos["image_id"].isin(animals["image_id"])
    units, individuals = read_table(DATA / "unit_crops.csv"), read_table(DATA / "individuals.csv")
    named = named_animals(animals[animals["image_id"].isin(photos["image_id"])], detections, units, individuals)
    set_aside = read_table(DATA / "rejected" / "clean.csv")["reason"].value_counts().sort_index()
    left = {"photos that show people": int(shown.sum())}
    left |= {f"photos set aside before detection ({reason.replace('_', ' ')})": n for reason, n in set_aside.items()}
    left["photos of a clock that was wrong (kept, with the right time)"] = int((photos["date"] != told).sum())
    return _Photos(photos, named, detections, dict(zip(photos["image_id"], photos["path"], strict=True)), left)


def _deployments() -> pd.DataFrame:
    return read_table(DATA / "deployments.csv", {"latitude": float, "longitude": float}, ["station", "camera", "start"])


def _captures(wish: Wish) -> tuple[Captures, dict[str, int]]:
    """Read the captures of a population, and what is not among them."""
    seen = read_table(DATA / "captures.csv", {"occasion": int}, ["individual", "station", "side"])
    occasions = read_table(DATA / "occasions.csv", {"occasion": int, "operating": bool}, ["station", "start"])
    starts = occasions.drop_duplicates("occasion").set_index("occasion")["start"].sort_index()
    operating = occasions.pivot(index="station", columns="occasion", values="operating").rename(columns=starts)
    deployments = rounded(_deployments(), wish.decimals)
    cameras = deployments.groupby("station")["camera"].nunique()
    places, crs = station_places(deployments, cameras.index.to_numpy(object))
    stations = pd.DataFrame(places, index=cameras.index, columns=["x", "y"]).assign(cameras=cameras)
    of_population = population(seen, wish.population)
    caught = of_population.assign(occasion=of_population["occasion"].map(starts))
    captures, proved = collect(caught, operating, stations, crs)
    individuals = read_table(DATA / "individuals.csv", required=["scope", "individual", "answer"])
    untold = individuals["scope"].isin(SCOPES) & (individuals["answer"] == CANNOT_TELL)
    left = {
        "encounters and flanks of which nobody can tell which individual it is": int(untold.sum()),
        f"individuals that are not in the population {wish.population!r}": seen["individual"].nunique()
        - len(captures.individuals),
        "captures where nothing told that the station operated (kept; it did)": proved,
    }
    return captures, left


def _state_space(captures: Captures, told: str | float | None, kernel: str) -> tuple[Mask, str]:
    """Return where animals can live, as the stage `count` takes it, and what that is in words."""
    placed, _ = located(captures, "SPACECAP")
    who, where, when = placed.caught.T
    detections = Detections(who, when, where, placed.operating.T, placed.places)
    return read_habitat(told, project_root()).mask(detections, placed.crs, kernel)


def _population(which: str) -> str:
    if which in SIDES:
        return f"The population: captures by {which} flanks only, of individuals known by these."
    return (
        "The population: individuals known from both flanks, with their captures by either, and of those known from "
        "one flank the side that has more. --population left and --population right export the others; never add them."
    )


def _photo(wish: Wish) -> Callable[[str], bytes]:
    """Return the function that reads a photo for its copy, without a place where coordinates may not leave."""
    private = wish.decimals is not None or not wish.coordinates

    def read(path: str) -> bytes:
        try:
            data = (DATA / "photos" / path).read_bytes()
        except FileNotFoundError as error:
            raise PelageError(f"data/photos/{path} is missing: `dvc checkout ingest` brings it back.") from error
        if not private:
            return data
        bare = without_place(data)
        if bare is None:
            raise PelageError(
                f"data/photos/{path} is no JPEG, and what its metadata say of the place cannot be taken out. Leave "
                "--copy-photos away, or let coordinates out as they are."
            )
        return bare

    return read


def came_from(sources: list[Source]) -> tuple[Package | None, tzinfo | None]:
    """Return the package that a data set came from, and the zone in which its times were read; None if none is told."""
    if len(sources) != 1 or sources[0].kind != "camtrap_dp":
        return None, None
    path = sources[0].path
    if path.is_file() and path.suffix.lower() == ".zip":
        package = _zipped(path)
    else:
        package = read_package(path.parent if path.name == DESCRIPTOR else path)
    media = package.tables.get("media", pd.DataFrame({"timestamp": []}))
    dates = read_dates(media["timestamp"], lambda rows: f"{path}, media", sources[0].key, "", "timestamp")
    known = dates.zone.dropna()
    if dates.utc:
        return package, UTC
    return package, timezone(timedelta(minutes=float(known.iloc[0]))) if len(known) else None


def _zipped(path: Path) -> Package:
    """Read descriptor and tables of a zipped package; its photos stay where they are."""
    with zipfile.ZipFile(path) as archive, TemporaryDirectory() as folder:
        found = [name for name in sorted(archive.namelist()) if PurePosixPath(name).name == DESCRIPTOR]
        if len(found) != 1:
            raise PelageError(f"{path} holds {len(found)} files {DESCRIPTOR}. Give a zip file of one package.")
        root = found[0].removesuffix(DESCRIPTOR)
        for name in archive.namelist():
            if name.startswith(root) and name.endswith((".csv", DESCRIPTOR)):
                file = inside(Path(folder), name.removeprefix(root), str(path))
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(archive.read(name))
        return read_package(Path(folder))


def _now() -> str:
    """Return the time of the export in UTC; `SOURCE_DATE_EPOCH` sets it, and the same tables make the same bytes."""
    seconds = int(os.environ.get("SOURCE_DATE_EPOCH") or time.time())
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
