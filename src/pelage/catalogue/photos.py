"""Bring a survey's photos into the project: copied, hashed, their EXIF read, all in one pass over the files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from pelage.catalogue.claims import CLOCK_SUSPECT
from pelage.catalogue.dates import suspect_clocks
from pelage.catalogue.exif import Taken, time_taken
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

TO_LOOK_AT = {
    "only_change_time": "have the time of an editor's save only, which is no capture time",
    "timestamp_issues": "are of deployments with timestampIssues",
    "words_for_nothing": "cells hold words for nothing (NA, none, ...)",
    "spellings": "spellings of names were merged with others",
    "other_orientations": "words for the orientation are not understood",
    "unmatched_names": "paths are not matched by path_pattern",
    "other_media": "media of the package are no images",
    "ambiguous": "photos have several names or animals that no box tells apart",
    "paths_by_case": "paths differ from the files' in case or Unicode form",
    "absolute_paths": "absolute paths were found by their ends",
    "blank_rows": "rows of empty cells",
    "short_rows": "rows end before their last columns",
    "repeated_ids": "photos had an image_id that others have too",
    "repeated_rows": "rows repeat another one",
    "disagreeing_cells": "cells of a photo's rows disagree, and are emptied",
}
"""What readers count, and what it means of so many."""


class Placed(NamedTuple):
    """Photos in their place: the table with hashes and EXIF's dates, and how many have the time of a change only."""

    photos: pd.DataFrame
    only_change_time: int


def place_photos(photos: pd.DataFrame, originals: Sequence[Path], folder: Path, fill: str) -> Placed:
    """Copy the photos of a table into a folder (unless they are there already) and fill in what the files tell.

    Args:
        photos: N rows with `path` (relative to `folder`) and `date`.
        originals: N files, which are only read.
        folder: Folder to fill.
        fill: One of `FILLS`.

    Returns:
        The table with `sha256` (empty for a file that cannot be read: it is left out, and `clean` rejects it) and the
        missing dates that EXIF knows.
    """
    targets = [folder / path for path in photos["path"]]
    for parent in sorted({target.parent for target in targets}):
        parent.mkdir(parents=True, exist_ok=True)

    def place(pair: tuple[Path, Path, str]) -> tuple[str, Taken]:
        original, target, date = pair
        try:
            data = original.read_bytes()
        except OSError:
            return "", Taken("", False)
        if original != target and fill == "copy":
            target.write_bytes(data)
        elif original != target:
            _reflink(original, target)
        return sha256_bytes(data), Taken("", False) if date else time_taken(data)

    work = zip(originals, targets, photos["date"], strict=True)
    told = list(track(parallel_map(place, work), "ingest", len(photos)))
    sha256, taken = ([one[i] for one in told] for i in (0, 1))
    dates = photos["date"].where(photos["date"] != "", [one.date for one in taken])
    return Placed(photos.assign(sha256=sha256, date=dates), sum(one.only_change_time for one in taken))


def flag_clocks(photos: pd.DataFrame) -> pd.DataFrame:
    """Flag photos whose date is more than two years away from the main body of their source's dates."""
    suspect = photos.groupby("source")["date"].transform(suspect_clocks).astype(bool)
    return photos.assign(flags=photos["flags"].mask(suspect, CLOCK_SUSPECT))


def data_set_counts(photos: pd.DataFrame, claims: pd.DataFrame, counts: Mapping[str, int]) -> dict[str, int]:
    """Return the metrics of a data set: what there is, and what a reader should look at.

    `unknown` are photos of which no claim names an individual, `several_claims` those with more than one claim;
    `shared_encounters` encounters of the source with more than one individual (`shared_encounters`); `unreadable` files
    that could not be read at all; the others are told by `TO_LOOK_AT`.
    """
    named = set(claims.loc[claims["identity"] != UNKNOWN, "image_id"])
    number = claims["image_id"].value_counts()
    suspect = photos["flags"].str.split().map(lambda flags: CLOCK_SUSPECT in flags)
    return {
        "photos": len(photos),
        "identities": claims.loc[claims["identity"] != UNKNOWN, "identity"].nunique(),
        "unknown": int((~photos["image_id"].isin(named)).sum()),
        "claims": len(claims),
        "several_claims": int((number > 1).sum()),
        "with_box": int(claims.loc[claims["bbox"] != "", "image_id"].nunique()),
        "cameras": photos.loc[photos["camera"] != "", "camera"].nunique(),
        "stations": photos.loc[photos["station"] != "", "station"].nunique(),
        "encounters": photos.loc[photos["encounter"] != "", "encounter"].nunique(),
        "without_date": int((photos["date"] == "").sum()),
        "only_a_day": int((photos["date"].str.len() == 10).sum()),
        "clock_suspect": int(suspect.sum()),
        "shared_encounters": len(shared_encounters(photos, claims)),
        **{name: int(counts.get(name, 0)) for name in TO_LOOK_AT},
        "unreadable": int((photos["sha256"] == "").sum()),
    }


def shared_encounters(photos: pd.DataFrame, claims: pd.DataFrame) -> pd.DataFrame:
    """Return encounters of the source with more than one individual: `encounter, individuals` (the first three names).

    Right for animals that came together; a sign of numbers that start anew with each individual where they are many.
    """
    known = claims.loc[claims["identity"] != UNKNOWN, ["image_id", "identity"]]
    told = known.merge(photos.loc[photos["encounter"] != "", ["image_id", "encounter"]], on="image_id")
    pairs = told[["encounter", "identity"]].drop_duplicates().sort_values(["encounter", "identity"])
    several = pairs[pairs["encounter"].duplicated(keep=False)]
    names = several.groupby("encounter")["identity"].agg(lambda names: ", ".join(names[:3]))
    return names.rename("individuals").reset_index()


def _reflink(source: Path, target: Path) -> None:
    with open(source, "rb") as reading, open(target, "wb") as writing:
        try:
            while os.copy_file_range(reading.fileno(), writing.fileno(), 1 << 30):
                pass
        except (AttributeError, OSError):  # no such call on this system, or not between these file systems
            reading.seek(0)
            writing.seek(0)
            shutil.copyfileobj(reading, writing)
