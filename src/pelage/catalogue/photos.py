"""Bring a survey's photos into the project: copied, hashed, their EXIF read, all in one pass over the files."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from pelage.catalogue.names import exif_date
from pelage.catalogue.schema import Survey, other_orientations
from pelage.common.files import sha256_bytes
from pelage.common.parallel import parallel_map
from pelage.common.progress import track
from pelage.common.tables import UNKNOWN

FILLS = ("copy", "reflink")
"""How a folder is filled.

Links to the originals are not among them: with `cache.type` hardlink or symlink DVC makes the very file behind a
symbolic link part of its cache and read-only, and a hard link is the original itself. A reflink shares disk space as a
link does (on XFS, Btrfs and other file systems that can; elsewhere it is a plain copy) and is a file of its own.
"""


def place_photos(table: pd.DataFrame, root: Path, folder: Path, fill: str, exif: bool) -> pd.DataFrame:
    """Copy the photos of a table into a folder (unless they are there already) and fill in what the files tell.

    Args:
        table: Photo table with `path` relative to `root`.
        root: Folder of the originals, which are only read.
        folder: Folder to fill, paths as in `root`.
        fill: One of `FILLS`.
        exif: Whether EXIF tells the time of photos that have none.

    Returns:
        The table with `sha256` (empty for a file that cannot be read: it is left out, and `clean` rejects it) and,
        if `exif`, the missing dates that EXIF knows.
    """
    paths = table["path"].unique()
    for parent in sorted({(folder / path).parent for path in paths}):
        parent.mkdir(parents=True, exist_ok=True)

    def place(path: str) -> tuple[str, str]:
        try:
            data = (root / path).read_bytes()
        except OSError:
            return "", ""
        if root != folder and fill == "copy":
            (folder / path).write_bytes(data)
        elif root != folder:
            _reflink(root / path, folder / path)
        return sha256_bytes(data), exif_date(data) if exif else ""

    told = dict(zip(paths, track(parallel_map(place, paths), "ingest", len(paths)), strict=True))
    sha256, taken = (np.array([told[path][i] for path in table["path"]], object) for i in (0, 1))
    return table.assign(sha256=sha256, date=table["date"].where(table["date"] != "", taken))


def survey_counts(table: pd.DataFrame, survey: Survey) -> dict[str, int]:
    """Return the metrics of a photo table: what there is, and what a reader should look at.

    `shared_encounters` are those of the source with more than one known individual: right for animals that came
    together, a sign of numbers that start anew with each individual where they are many. `unmatched_names` are paths
    that `path_pattern` does not match, `other_orientations` words that are not understood (both become `unknown`),
    `other_media` and `ambiguous` files and photos of a Camtrap Data Package (see its reader), `unreadable` files that
    could not be read at all.
    """
    known = table[table["identity"] != UNKNOWN]
    told = known[known["encounter"] != ""]
    noted = dict.fromkeys(("unmatched_names", "other_media", "ambiguous"), 0) | survey.counts
    return {
        "photos": len(table),
        "identities": known["identity"].nunique(),
        "unknown": len(table) - len(known),
        "cameras": table.loc[table["camera"] != "", "camera"].nunique(),
        "stations": table.loc[table["station"] != "", "station"].nunique(),
        "without_date": int((table["date"] == "").sum()),
        "with_box": int((table["bbox"] != "").sum()),
        "encounters": table.loc[table["encounter"] != "", "encounter"].nunique(),
        "shared_encounters": int((told.groupby("encounter")["identity"].nunique() > 1).sum()),
        "other_orientations": other_orientations(survey),
        **noted,
        "unreadable": int((table["sha256"] == "").sum()),
    }


def _reflink(source: Path, target: Path) -> None:
    with open(source, "rb") as reading, open(target, "wb") as writing:
        try:
            while os.copy_file_range(reading.fileno(), writing.fileno(), 1 << 30):
                pass
        except (AttributeError, OSError):  # no such call on this system, or not between these file systems
            reading.seek(0)
            writing.seek(0)
            shutil.copyfileobj(reading, writing)
