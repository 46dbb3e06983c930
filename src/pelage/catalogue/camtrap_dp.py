"""Photos of a Camtrap Data Package (Camtrap DP 1.0, https://camtrap-dp.tdwg.org): deployments, media, observations.

An observation is of one file (media-based) or of all files of a deployment within a time span (event-based).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from PIL import Image

from pelage.catalogue.archives import unpack_zip
from pelage.catalogue.schema import Survey, table_rows
from pelage.common.errors import PelageError
from pelage.common.files import inside
from pelage.common.tables import read_table, require_unique

BOX = ["bboxX", "bboxY", "bboxWidth", "bboxHeight"]
REQUIRED = {
    "deployments": ["deploymentID"],
    "media": ["mediaID", "deploymentID", "timestamp", "filePath", "fileMediatype"],
    "observations": ["deploymentID", "eventStart", "eventEnd", "observationType"],
}
OPTIONAL = {
    "deployments": ["locationID", "cameraID"],
    "media": [],
    "observations": ["mediaID", "eventID", "scientificName", "count", "individualID", "classificationMethod", *BOX],
}
EXIF_ORIENTATION, TURNED = 0x0112, (5, 6, 7, 8)


@contextmanager
def open_camtrap_dp(path: Path, key: str, cache: Path) -> Iterator[Survey]:
    """Give the photos of a Camtrap Data Package.

    Every image of `media` is a photo; other media are left out and counted. Station is the locationID, camera the
    cameraID (each the deploymentID where it is missing), encounter the eventID. Identity, species and box are those of
    the animals observed in the file, or else of its event; what people said comes before what machines said. Several
    boxed animals are a row each; several without boxes leave the identity unknown, as nobody can tell which is which.

    Args:
        path: The package's folder, its datapackage.json, or a zip file of it.
        key: The entry's place in params.yaml, for messages.
        cache: Folder for what a zip file holds, for as long as the block lasts.

    Raises:
        PelageError: A table or column is missing, ids do not fit together, times or boxes cannot be understood, files
            are remote, or a zip file is unsafe.
    """
    if path.is_file() and path.suffix.lower() == ".zip":
        cache.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=cache, prefix="package.") as folder:
            unpack_zip(path, Path(folder))
            found = sorted(Path(folder).rglob("datapackage.json"))
            if len(found) != 1:
                raise PelageError(f"{path} holds {len(found)} files datapackage.json. Give a zip file of one package.")
            yield read_package(found[0].parent)
        return
    root = path.parent if path.name == "datapackage.json" else path
    if not (root / "datapackage.json").is_file():
        raise PelageError(
            f"{key}.path: there is no Camtrap Data Package at {path}. Give the folder that holds datapackage.json, or "
            "a zip file of it."
        )
    yield read_package(root)


def read_package(root: Path) -> Survey:
    """Read the unpacked package in `root`, as `open_camtrap_dp` says."""
    files = _table_files(root)
    tables = {}
    for name, file in files.items():
        table = read_table(file, required=REQUIRED[name])
        tables[name] = table.assign(**{column: "" for column in OPTIONAL[name] if column not in table})
    deployments, media, observations = (tables[name] for name in REQUIRED)
    require_unique(deployments, "deploymentID", files["deployments"])
    require_unique(media, "mediaID", files["media"])
    _require_known(media, "deploymentID", deployments, files["media"], files["deployments"])
    _require_known(observations, "deploymentID", deployments, files["observations"], files["deployments"])
    _require_known(observations, "mediaID", media, files["observations"], files["media"])
    _refuse_remote(media, files["media"])

    times = _times(media, "timestamp", files["media"])
    one_zone = media["timestamp"].str.extract(r"(Z|[+-]\d\d:?\d\d)$")[0].nunique() <= 1
    media["date"] = media["timestamp"].str.slice(0, 19) if one_zone else times.dt.strftime("%Y-%m-%dT%H:%M:%S")
    during = _event_pairs(media, times, observations, files["observations"])
    told = _told(media, observations, during)

    images = media["fileMediatype"].str.startswith("image/")
    photos = media[images].join(told, how="left").reset_index(names="row")
    place = deployments.set_index("deploymentID").loc[photos["deploymentID"]].reset_index()
    several = photos["row"].duplicated(keep=False)
    number = photos.groupby("row").cumcount().astype(str)
    rows = pd.DataFrame(
        {
            "image_id": photos["mediaID"].where(~several, photos["mediaID"] + "-" + number),
            "path": photos["filePath"],
            "identity": photos["individualID"].fillna(""),
            "date": photos["date"],
            "camera": place["cameraID"].where(place["cameraID"] != "", place["deploymentID"]),
            "station": place["locationID"].where(place["locationID"] != "", place["deploymentID"]),
            "bbox": _pixel_boxes(photos, root, files["observations"]),
            "species": photos["scientificName"].fillna(""),
            "encounter": photos["row"].map(_events(observations, media, during)).fillna(""),
            "deployment": photos["deploymentID"],
        }
    )
    numbers = table_rows(len(media))
    counts = {"other_media": int((~images).sum()), "ambiguous": int(photos["ambiguous"].fillna(False).sum())}
    return Survey(rows, root, str(files["media"]), [numbers[i] for i in photos["row"]], counts=counts)


def _table_files(root: Path) -> dict[str, Path]:
    descriptor = root / "datapackage.json"
    try:
        resources = json.loads(descriptor.read_text(encoding="utf-8"))["resources"]
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


def _require_known(table: pd.DataFrame, column: str, other: pd.DataFrame, file: Path, other_file: Path) -> None:
    strange = ((table[column] != "") & ~table[column].isin(other[column])).to_numpy()
    if strange.any():
        row = int(strange.argmax())
        raise PelageError(
            f"{file}, row {row + 2}: {column} {table[column].iloc[row]!r} is not in {other_file.name}. Add it there or "
            "mend it here."
        )


def _refuse_remote(media: pd.DataFrame, file: Path) -> None:
    remote = media["filePath"].str.contains("://", regex=False).to_numpy()
    if remote.any():
        row = int(remote.argmax())
        raise PelageError(
            f"{file}, row {row + 2}: the file is at {media['filePath'].iloc[row]!r}, and {remote.sum()} of "
            f"{len(media)} files are on the network. Download them into the package and give paths relative to it."
        )


def _times(table: pd.DataFrame, column: str, file: Path) -> pd.Series:
    times = pd.to_datetime(table[column], format="ISO8601", utc=True, errors="coerce")
    if times.isna().any():
        row = int(times.isna().to_numpy().argmax())
        raise PelageError(
            f"{file}, row {table.index[row] + 2}: {column} {table[column].iloc[row]!r} is no ISO 8601 time. Write it "
            "as 2026-01-31T23:59:59Z."
        )
    return times


def _event_pairs(media: pd.DataFrame, times: pd.Series, observations: pd.DataFrame, file: Path) -> pd.DataFrame:
    """Return which media (positions `row`) each event-based observation (`observation`) is of."""
    events = observations[observations["mediaID"] == ""]
    starts, ends = _times(events, "eventStart", file), _times(events, "eventEnd", file)
    pairs = [np.empty((0, 2), int)]
    for deployment, rows in media.groupby("deploymentID").indices.items():
        rows = rows[np.argsort(times.iloc[rows], kind="stable")]
        here = events.index[events["deploymentID"] == deployment]
        first = np.searchsorted(times.iloc[rows], starts[here], "left")
        after = np.searchsorted(times.iloc[rows], ends[here], "right")
        for observation, low, high in zip(here, first, after, strict=True):
            pairs.append(np.stack([rows[low:high], np.full(max(high - low, 0), observation)], 1))
    return pd.DataFrame(np.concatenate(pairs), columns=["row", "observation"])


def _told(media: pd.DataFrame, observations: pd.DataFrame, during: pd.DataFrame) -> pd.DataFrame:
    """Return identity, species, box and whether they are ambiguous for each medium with animals (index: position)."""
    rows = pd.Series(media.index, media["mediaID"])
    of_file = observations[(observations["mediaID"] != "") & (observations["observationType"] != "unclassified")]
    of_file = of_file.assign(row=of_file["mediaID"].map(rows))
    of_event = observations.loc[during["observation"]].assign(row=during["row"].to_numpy())
    seen = pd.concat([of_file, of_event[~of_event["row"].isin(of_file["row"])]])
    human = seen["classificationMethod"] == "human"
    seen = seen[human | ~human.groupby(seen["row"]).transform("any")]
    seen = seen[seen["observationType"] == "animal"].set_index("row")
    boxed = (seen[BOX] != "").all(axis=1)
    all_boxed = boxed.groupby(level=0).transform("all")
    single = ~seen.index.duplicated(keep=False) & (boxed | seen["count"].isin(["", "1"]))
    agreed = seen.groupby(level=0)["individualID"].transform("nunique") == 1
    agreed &= ~(~boxed & ~seen["count"].isin(["", "1"])).groupby(level=0).transform("any")
    named = (seen["individualID"] != "").groupby(level=0).transform("any")
    clear = all_boxed | single | agreed
    one_species = seen.groupby(level=0)["scientificName"].transform("nunique") == 1
    told = seen.assign(
        individualID=seen["individualID"].where(clear, ""),
        scientificName=seen["scientificName"].where(clear | one_species, ""),
        ambiguous=named & ~clear,
        **{column: seen[column].where(all_boxed, "") for column in BOX},
    )
    told = told[all_boxed | ~told.index.duplicated()]
    return told[["individualID", "scientificName", "ambiguous", *BOX]]


def _events(observations: pd.DataFrame, media: pd.DataFrame, during: pd.DataFrame) -> dict[int, str]:
    """Return the eventID of each medium (position) that has one, that of its own observation before its event's."""
    rows = pd.Series(media.index, media["mediaID"])
    own = observations[(observations["mediaID"] != "") & (observations["eventID"] != "")]
    events = dict(zip(during["row"][::-1], observations.loc[during["observation"], "eventID"][::-1], strict=True))
    return events | dict(zip(own["mediaID"].map(rows)[::-1], own["eventID"][::-1], strict=True))


def _pixel_boxes(photos: pd.DataFrame, root: Path, file: Path) -> list[str]:
    """Return boxes `x y w h` in pixels of the upright photo; the package has them as shares of its sides."""
    boxes = []
    for path, *shares in photos[["filePath", *BOX]].fillna("").itertuples(index=False):
        if "" in shares:
            boxes.append("")
            continue
        try:
            x, y, width, height = map(float, shares)
        except ValueError:
            raise PelageError(
                f"{file}: the box {' '.join(shares)!r} of {path!r} is no four numbers. Mend it."
            ) from None
        if not (0 <= x < 1 and 0 <= y < 1 and 0 < width <= 1 and 0 < height <= 1):
            raise PelageError(f"{file}: the box {' '.join(shares)!r} of {path!r} is not within 0 and 1. Mend it.")
        size = _size(inside(root, path, str(file)))
        boxes.append(
            f"{x * size[0]:.2f} {y * size[1]:.2f} {width * size[0]:.2f} {height * size[1]:.2f}" if size else ""
        )
    return boxes


def _size(path: Path) -> tuple[int, int] | None:
    """Return width and height of a photo with its EXIF rotation applied; None if it is not readable (`clean` tells)."""
    try:
        with Image.open(path) as image:
            size, turned = image.size, image.getexif().get(EXIF_ORIENTATION) in TURNED
    except Exception:  # broken files make Pillow raise errors of many kinds
        return None
    return size[::-1] if turned else size
