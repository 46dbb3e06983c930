"""What pelage knows as a Camtrap Data Package, version 1.0.2: https://camtrap-dp.tdwg.org/data.

An observation of a file (`observationLevel` media) is an animal in a photo, with its box; one of an event is an
individual in an encounter, with its count. They tell the same twice, so nobody may add them. Camtrap DP has no field
for how sure an identity is: `observationTags` have `key:value`, and a resource `individuals` tells what is known.
"""

from __future__ import annotations

import mimetypes
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import tzinfo
from itertools import groupby
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pelage.animals.export.camtrap_package import BASE, PROFILE, TABLES, Package, columns, schema
from pelage.animals.export.clock import doubtful, with_zone
from pelage.animals.export.coordinates import moved_by
from pelage.animals.export.files import Export
from pelage.common.errors import PelageError
from pelage.common.tables import UNKNOWN

MEDIA = "media"
"""Folder of the photos in a package."""

SCIENTIFIC = re.compile(r"[A-Z][a-z-]+( [a-z-]+){0,2}")
FLANKS = {"left", "right"}
BOX = ["bboxX", "bboxY", "bboxWidth", "bboxHeight"]
LEAST_SIDE = 1e-15
"""Least width of a box, by the standard."""

WANTED = {
    "project.title": "the project's name",
    "project.samplingDesign": "simpleRandom, systematicRandom, clusteredRandom, experimental, targeted, opportunistic",
    "project.captureMethod": "[activityDetection], [timeLapse] or both",
    "contributors": "a list of {title, role, ...}; role is contact, principalInvestigator, rightsHolder, publisher or "
    "contributor",
}
"""What nobody but the owner of a survey can say, and the standard requires."""


@dataclass(frozen=True)
class Survey:
    """Tables that leave as a package.

    Attributes:
        photos: Rows of `data/clean.csv` that may leave, with `blank` (bool): no animal was found.
        animals: What `sightings.named_animals` returns, of these photos.
        deployments: Rows of `data/deployments.csv`, with numbers; rounded if they are to be.
        paths: Path of each photo in the package, by `image_id`.
        source: The package that the photos came from, if they did.
    """

    photos: pd.DataFrame
    animals: pd.DataFrame
    deployments: pd.DataFrame
    paths: Mapping[str, str]
    source: Package | None = None


def camtrap_dp(
    survey: Survey,
    zone: tzinfo,
    told: Mapping[str, Any],
    created: str,
    decimals: int | None = None,
    copied: bool = False,
) -> Export:
    """Return the files of a package.

    Args:
        survey: The tables.
        zone: Zone of the cameras' clocks.
        told: Properties of the descriptor that the owner tells; they are laid over those of the source's package.
        created: Time of the export, ISO 8601 with a zone.
        decimals: Decimals of a degree to which coordinates were rounded.
        copied: Whether the photos are in the package.

    Raises:
        PelageError: A deployment has no coordinates, no photo has a time and a deployment, a species has no scientific
            name, or the descriptor lacks what only the owner can tell.
    """
    told = _over(_carried(survey.source), told)
    _require(told)
    left: dict[str, int] = {}
    deployments = deployment_rows(survey.deployments, zone, decimals, survey.source)
    photos = _with_deployment(survey.photos, survey.deployments, deployments["deploymentID"], left)
    if photos.empty:
        raise PelageError(
            "No photo has both a time and a deployment, which Camtrap DP requires of each: "
            + ", ".join(f"{count} {reason}" for reason, count in left.items())
            + ". Export to wildlife-datasets, or tell dates and deployments."
        )
    photos = photos.assign(timestamp=with_zone(photos["date"], zone))
    media = media_rows(photos, survey.paths, told["project"]["captureMethod"], survey.source, copied, decimals)
    animals = survey.animals.merge(photos, on="image_id", suffixes=("", "_photo")).sort_values(["image_id", "animal"])
    animals["scientificName"] = _scientific(animals["species"], told.get("taxonomic", []))
    by_photo = pd.concat([_of_photos(animals), _of_blanks(photos)], ignore_index=True)
    observations = pd.concat([by_photo, _of_events(animals)], ignore_index=True)
    individuals = individual_rows(animals)
    tables = {
        "deployments": deployments,
        "media": media,
        "observations": observations.reindex(columns=columns("observations"), fill_value="").fillna(""),
        "individuals": individuals,
    }
    descriptor = _descriptor(tables, told, created, decimals)
    if count := doubtful(photos["date"], zone):
        left["times that the clock of this zone shows twice or never (kept, as the first of two)"] = count
    about = [
        f"A Camtrap Data Package: {len(media):,} photos of {len(deployments):,} deployments and "
        f"{len(individuals):,} individuals. Times are those of the cameras' clocks, in the zone {zone}.",
        "Observations of the level media are animals in photos, with their boxes; those of the level event are "
        "individuals in encounters, with their counts. They tell the same twice: choose one level before adding. "
        "observationTags say how sure an identity is (individualIDProbability), who decided (decision, decidedBy), "
        "which flank was seen, and whether the individual had a name before (answer).",
        f"The photos are {'in' if copied else 'not in'} the package"
        + ("." if copied else f": the paths below {MEDIA}/ are those of the data set's photos (--copy-photos)."),
        'In R:\n  library(camtrapdp)\n  package <- read_camtrapdp("datapackage.json")\n'
        '  events <- subset(observations(package), observationLevel == "event" & !is.na(individualID))',
    ]
    photo_files = dict(zip(photos["image_id"].map(survey.paths), photos["path"], strict=True))
    return Export(Package(descriptor, tables).files(), about, left, photo_files)


def package_path(path: str) -> str:
    """Return where a photo stands in a package: below `media/`, `..` in names spelled so that no path climbs."""
    return f"{MEDIA}/{path.replace('..', '.%2E')}"


def deployment_rows(
    deployments: pd.DataFrame, zone: tzinfo, decimals: int | None = None, source: Package | None = None
) -> pd.DataFrame:
    """Return the table of deployments, one an interval of operation of a camera, in the order of `deployments`.

    A deployment that the source's package has, too, keeps its id and whatever else that says of it.

    Raises:
        PelageError: A deployment has no coordinates.
    """
    bare = deployments[["latitude", "longitude"]].isna().any(axis=1)
    if bare.any():
        row = int(bare.to_numpy().argmax())
        raise PelageError(
            f"data/deployments.csv, row {row + 2}: station {deployments['station'].iloc[row]!r} has no coordinates "
            f"(and {int(bare.sum()) - 1} other rows), which Camtrap DP requires. Fill in latitude and longitude in the "
            "table that the data set's entry names in `deployments`."
        )
    start, end = (with_zone(deployments[name], zone) for name in ("start", "end"))
    known = _known_deployments(source)
    keys = list(zip(deployments["station"], deployments["camera"], map(_instant, start), strict=True))
    named = deployments["station"].where(
        deployments["station"] == deployments["camera"], deployments["station"] + "-" + deployments["camera"]
    )
    taken = {row["deploymentID"] for row in known.values()}
    numbers: dict[str, int] = {}
    rows = []
    for key, name, began, ended, one in zip(keys, named, start, end, deployments.to_dict("records"), strict=True):
        row = dict(known.get(key, {}))
        while not row.get("deploymentID"):
            numbers[name] = numbers.get(name, 0) + 1
            if (made := f"{name}-{numbers[name]}") not in taken:
                row = {"deploymentID": made, "locationName": one["station"]}
                row["deploymentTags"] = f"restsOn:{one['rests_on']}"
        group = f"station:{_tag(one['station'])}"
        groups = [part for part in str(row.get("deploymentGroups", "")).split(" | ") if part]
        row |= {
            "locationID": one["station"],
            "cameraID": one["camera"],
            "deploymentStart": began,
            "deploymentEnd": ended,
        }
        row |= {"latitude": f"{one['latitude']:.10g}", "longitude": f"{one['longitude']:.10g}"}
        row["deploymentGroups"] = " | ".join(dict.fromkeys([*groups, group]))
        if decimals is not None:
            known_m = float(row.get("coordinateUncertainty") or 0)
            row["coordinateUncertainty"] = str(int(known_m + moved_by(decimals)))
        rows.append(row)
    return pd.DataFrame(rows, columns=columns("deployments")).fillna("")


def _instant(time: str) -> pd.Timestamp:
    return pd.to_datetime(time, utc=True)


def _known_deployments(source: Package | None) -> dict[tuple[str, str, pd.Timestamp], dict[str, str]]:
    """Return the deployments of a package by station, camera and start, named as `catalogue.camtrap_dp` names them."""
    if source is None or "deployments" not in source.tables:
        return {}
    table = source.tables["deployments"].reindex(columns=columns("deployments"), fill_value="")
    started = pd.to_datetime(table["deploymentStart"], utc=True, errors="coerce", format="ISO8601")
    return {
        (row["locationID"] or row["deploymentID"], row["cameraID"] or row["deploymentID"], begun): row
        for row, begun in zip(table.to_dict("records"), started, strict=True)
    }


def _with_deployment(
    photos: pd.DataFrame, deployments: pd.DataFrame, ids: pd.Series, left: dict[str, int]
) -> pd.DataFrame:
    """Return the photos that have a time and a camera with a deployment, with `deploymentID` and `outside`.

    A camera without a station is one, and a station without cameras has one, as in `data/deployments.csv`. A photo
    taken between two deployments of its camera (or before, or after all) belongs to the nearest.
    """
    station, camera = photos["station"], photos["camera"]
    photos = photos.assign(station=station.where(station != "", camera), camera=camera.where(camera != "", station))
    timed = photos["date"].str.len() == 19
    left["photos without a time"] = int((~timed).sum())
    photos = photos[timed].sort_values("image_id").reset_index(drop=True)
    taken = pd.to_datetime(photos["date"]).to_numpy("datetime64[s]").astype(float)
    start, end = (
        pd.to_datetime(deployments[name]).to_numpy("datetime64[s]").astype(float) for name in ("start", "end")
    )
    own = deployments.groupby(["station", "camera"]).indices
    chosen, outside = np.full(len(photos), -1), np.zeros(len(photos), bool)
    for camera, rows in photos.groupby(["station", "camera"]).indices.items():
        if camera in own:
            theirs = own[camera]
            away = np.maximum(start[theirs] - taken[rows, None], taken[rows, None] - end[theirs]).clip(min=0)
            nearest = away.argmin(axis=1)
            chosen[rows], outside[rows] = theirs[nearest], away[np.arange(len(rows)), nearest] > 0
    left["photos of a camera without a deployment"] = int((chosen < 0).sum())
    left["photos outside all deployments of their camera (kept, at the nearest)"] = int(outside.sum())
    kept = photos.assign(deploymentID=ids.to_numpy()[chosen] if len(ids) else "", outside=outside)
    return kept[chosen >= 0].reset_index(drop=True)


def media_rows(
    photos: pd.DataFrame,
    paths: Mapping[str, str],
    methods: Iterable[str],
    source: Package | None,
    copied: bool,
    decimals: int | None,
) -> pd.DataFrame:
    """Return the table of media; what the source's package says of a photo, it goes on saying."""
    methods = list(methods)
    path = photos["image_id"].map(paths)
    table = pd.DataFrame(
        {
            "mediaID": photos["image_id"],
            "deploymentID": photos["deploymentID"],
            "captureMethod": methods[0] if len(methods) == 1 else "",
            "timestamp": photos["timestamp"],
            "filePath": path,
            "filePublic": "true" if copied else "false",
            "fileName": [PurePosixPath(one).name for one in path],
            "fileMediatype": [mimetypes.guess_type(one)[0] or "image/jpeg" for one in path],
            "mediaComments": np.where(photos["outside"], "taken outside the deployment's interval", ""),
        }
    ).reindex(columns=columns("media"), fill_value="")
    if source is None or "media" not in source.tables:
        return table
    known = source.tables["media"].drop_duplicates("mediaID").set_index("mediaID").reindex(table["mediaID"])
    carried = ["captureMethod", "fileName", "favorite", "mediaComments", *(["exifData"] if decimals is None else [])]
    carried += [] if copied else ["filePath", "filePublic"]
    for name in carried:
        if name in known:
            said = known[name].fillna("").to_numpy()
            table[name] = np.where(said != "", said, table[name])
    return table


def _of_photos(animals: pd.DataFrame) -> pd.DataFrame:
    """Return an observation for each animal of a photo, with its box as shares of the upright photo."""
    width, height = animals["width"].to_numpy(float), animals["height"].to_numpy(float)
    left, top = (animals["x"] / width).clip(0, 1), (animals["y"] / height).clip(0, 1)
    right, bottom = (
        ((animals["x"] + animals["w"]) / width).clip(0, 1),
        ((animals["y"] + animals["h"]) / height).clip(0, 1),
    )
    sides = dict(zip(BOX, (left, top, right - left, bottom - top), strict=True))
    told = list(zip(*(animals[name].tolist() for name in ("probability", "side", "decided_by", "answer")), strict=True))
    tags = {one: _tags(*zip(one, strict=True)) for one in set(told)}
    boxed = (sides["bboxWidth"] >= LEAST_SIDE) & (sides["bboxHeight"] >= LEAST_SIDE)
    return pd.DataFrame(
        {
            "observationID": animals["image_id"] + "#animal" + animals["animal"].astype(str),
            "deploymentID": animals["deploymentID"],
            "mediaID": animals["image_id"],
            "eventID": animals["encounter"],
            "eventStart": animals["timestamp"],
            "eventEnd": animals["timestamp"],
            "observationLevel": "media",
            "observationType": "animal",
            "scientificName": animals["scientificName"],
            "count": "1",
            "individualID": animals["individual"],
            **{name: share.map("{:.6f}".format).where(boxed, "") for name, share in sides.items()},
            "observationTags": [tags[one] for one in told],
        }
    )


def _of_blanks(photos: pd.DataFrame) -> pd.DataFrame:
    blank = photos[photos["blank"]]
    return pd.DataFrame(
        {
            "observationID": blank["image_id"] + "#blank",
            "deploymentID": blank["deploymentID"],
            "mediaID": blank["image_id"],
            "eventStart": blank["timestamp"],
            "eventEnd": blank["timestamp"],
            "observationLevel": "media",
            "observationType": "blank",
            "classificationMethod": "machine",
            "classifiedBy": "pelage",
        }
    )


def _of_events(animals: pd.DataFrame) -> pd.DataFrame:
    """Return an observation for each individual of an encounter, and one for those that nobody can tell apart.

    Of the unnamed the count is the largest number on one photo.
    """
    rows = []
    for (encounter, species, who), seen in _groups(animals, ["encounter", "scientificName", "individual"]):
        photos = Counter(one.image_id for one in seen)
        told = zip(*((one.probability, one.side, one.decided_by, one.answer) for one in seen), strict=True)
        rows.append(
            {
                "observationID": f"{encounter}#{who or 'unnamed'}" + (f"#{species}" if species else ""),
                "deploymentID": seen[0].deploymentID,
                "eventID": encounter,
                "eventStart": seen[0].timestamp,
                "eventEnd": seen[-1].timestamp,
                "observationLevel": "event",
                "observationType": "animal",
                "scientificName": species,
                "count": "1" if who else str(max(photos.values())),
                "individualID": who,
                "observationTags": _tags(*told),
            }
        )
    return pd.DataFrame(rows)


def individual_rows(animals: pd.DataFrame) -> pd.DataFrame:
    """Return the resource `individuals`: a row an individual, from what `_of_photos` is made of."""
    rows = []
    for (who,), seen in _groups(animals[animals["individual"] != ""], ["individual"]):
        sides = sorted({one.side for one in seen} & FLANKS)
        species = sorted({one.scientificName for one in seen} - {""})
        judged = [float(one.probability) for one in seen if one.probability]
        rows.append(
            {
                "individualID": who,
                "scientificName": species[0] if species else "",
                "status": "new" if all(one.answer == "new" for one in seen) else "known",
                "firstSeen": seen[0].timestamp,
                "lastSeen": seen[-1].timestamp,
                "encounters": str(len({one.encounter for one in seen})),
                "locations": str(len({one.station for one in seen})),
                "flanks": "both" if len(sides) == 2 else "".join(sides),
                "leastProbability": f"{min(judged):.4g}" if judged else "",
                "decisions": " | ".join(sorted({_decision(one.decided_by) for one in seen if one.decided_by})),
            }
        )
    names = [one["name"] for one in schema("individuals-table-schema.json")["fields"]]
    return pd.DataFrame(rows, columns=names)


def _groups(animals: pd.DataFrame, keys: list[str]) -> Iterator[tuple[tuple[str, ...], list[_Seen]]]:
    """Give the rows of each combination of `keys`, by time."""
    ordered = animals.sort_values([*keys, "date", "image_id"], kind="stable")
    rows = map(_Seen._make, zip(*(ordered[name].tolist() for name in _Seen._fields), strict=True))
    for key, seen in groupby(rows, lambda row: tuple(getattr(row, name) for name in keys)):
        yield key, list(seen)


class _Seen(NamedTuple):
    """An animal of a photo, as events and individuals are made of them."""

    image_id: str
    encounter: str
    station: str
    deploymentID: str
    timestamp: str
    scientificName: str
    individual: str
    probability: str
    side: str
    decided_by: str
    answer: str


def _tags(probabilities: Iterable[str], sides: Iterable[str], deciders: Iterable[str], answers: Iterable[str]) -> str:
    """Return `key:value | key:value`; of several probabilities the least, of other things each once."""
    judged = [float(one) for one in probabilities if one]
    people = sorted(set(deciders) - {""})
    tags = [f"individualIDProbability:{min(judged):.4g}"] if judged else []
    tags += [f"flank:{side}" for side in sorted(set(sides) & FLANKS)]
    tags += [f"decision:{one}" for one in sorted(set(map(_decision, people)))]
    tags += [f"decidedBy:{_tag(one)}" for one in people if _decision(one) == "human"]
    tags += [f"answer:{one}" for one in sorted(set(answers) - {""})]
    return " | ".join(tags)


def _decision(who: str) -> str:
    return {"source": "source", "pelage": "machine"}.get(who, "human")


def _tag(text: str) -> str:
    """Return a value that neither ends a tag nor begins one."""
    return re.sub(r"\s*[|:]\s*", "/", text)


def _scientific(species: pd.Series, taxa: Iterable[Mapping[str, Any]]) -> pd.Series:
    """Return scientific names: as they are, or those of the taxon that has the word as a vernacular name.

    Raises:
        PelageError: A word is neither.
    """
    names = {str(taxon.get("scientificName", "")).casefold(): taxon["scientificName"] for taxon in taxa}
    for taxon in taxa:
        for word in (taxon.get("vernacularNames") or {}).values():
            names.setdefault(str(word).casefold(), taxon["scientificName"])
    told = {word: names.get(word.casefold(), word) for word in species.unique()}
    told |= {word: "" for word in told if word in ("", UNKNOWN)}
    wrong = sorted(
        word for word, name in told.items() if name and name not in names.values() and not SCIENTIFIC.fullmatch(name)
    )
    if wrong:
        raise PelageError(
            f"{wrong[0]!r} is no scientific name. Say what it is in export.yaml, DATASET.package: "
            f"taxonomic: [{{scientificName: Panthera pardus, vernacularNames: {{eng: {wrong[0]}}}}}]"
        )
    return species.map(told)


def _carried(source: Package | None) -> dict[str, Any]:
    """Return what goes on being true of a package whose tables are written anew."""
    made_anew = ("resources", "profile", "created", "spatial", "temporal", "coordinatePrecision", "id", "version")
    return {} if source is None else {key: value for key, value in source.descriptor.items() if key not in made_anew}


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    both = {key: _over(below[key], above[key]) for key in below.keys() & above.keys()
            if isinstance(below[key], Mapping) and isinstance(above[key], Mapping)}  # fmt: skip
    return {**below, **above, **both}


def _require(told: Mapping[str, Any]) -> None:
    project = told.get("project") or {}
    values = {key: project.get(key.removeprefix("project.")) if "." in key else told.get(key) for key in WANTED}
    missing = [f"  {key}: {words}" for key, words in WANTED.items() if not values[key]]
    if missing:
        raise PelageError(
            "Camtrap DP requires what only you can tell. Add it to export.yaml, in DATASET.package (no stage depends "
            "on it):\n" + "\n".join(missing)
        )


def _descriptor(
    tables: Mapping[str, pd.DataFrame], told: Mapping[str, Any], created: str, decimals: int | None
) -> dict[str, Any]:
    deployments, observations = tables["deployments"], tables["observations"]
    kind = {"profile": "tabular-data-resource", "format": "csv", "mediatype": "text/csv", "encoding": "utf-8"}
    resources = [
        {"name": name, "path": f"{name}.csv", **kind, "schema": f"{BASE}{name}-table-schema.json"} for name in TABLES
    ]
    own = schema("individuals-table-schema.json")
    described = {"title": own["title"], "description": own["description"]}
    resources.append({"name": "individuals", "path": "individuals.csv", **kind, **described, "schema": own})
    taxa = {taxon["scientificName"]: taxon for taxon in told.get("taxonomic", [])}
    seen = sorted(set(observations["scientificName"]) - {""})
    made = {
        "resources": resources,
        "profile": PROFILE,
        "created": created,
        **{key: value for key, value in told.items() if key not in ("project", "taxonomic")},
        "project": {
            **told["project"],
            "individualAnimals": True,
            "observationLevel": ["media", "event"],
        },
        **({"coordinatePrecision": 10.0**-decimals} if decimals is not None else {}),
        "spatial": _extent(deployments["longitude"].astype(float), deployments["latitude"].astype(float)),
        "temporal": {
            "start": deployments["deploymentStart"].str[:10].min(),
            "end": deployments["deploymentEnd"].str[:10].max(),
        },
        "taxonomic": [taxa.get(name, {"scientificName": name}) for name in seen],
    }
    return made


def _extent(longitude: pd.Series, latitude: pd.Series) -> dict[str, Any]:
    """Return the rectangle around all places as GeoJSON, or the one place."""
    west, east, south, north = (
        float(value) for value in (longitude.min(), longitude.max(), latitude.min(), latitude.max())
    )
    if west == east and south == north:
        return {"type": "Point", "coordinates": [west, south]}
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}
