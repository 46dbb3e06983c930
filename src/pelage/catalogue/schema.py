"""The photo table: the one place that says what its columns hold, whatever the source.

Columns are named as in wildlife-datasets (image_id, identity, path, date, orientation, bbox, species) and
Camtrap DP; anything else that a source tells is carried along untouched.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from pelage.catalogue.names import iso_date
from pelage.common.errors import PelageError
from pelage.common.files import inside
from pelage.common.tables import UNKNOWN

REQUIRED = ("image_id", "path", "identity")
"""Columns that a source has to tell."""

COLUMNS = (*REQUIRED, "date", "camera", "station", "orientation", "bbox", "species", "encounter", "sha256")
"""Columns of every photo table, in this order, before those that only this source has."""

TAKEN = ("sha256", "width", "height", "phash", "flags")
"""Columns that the pipeline fills in; a source's own column of that name gets the prefix `source_`."""

ORIENTATIONS = {
    **dict.fromkeys(("left", "l", "left side", "left flank"), "left"),
    **dict.fromkeys(("right", "r", "right side", "right flank"), "right"),
    **dict.fromkeys(("front", "frontal", "f"), "front"),
    **dict.fromkeys(("back", "rear", "behind", "b"), "back"),
}
"""Words for the visible side of an animal; any other word becomes `unknown`."""

NOBODY = ("", UNKNOWN, "unidentified", "?")


@dataclass(frozen=True)
class Survey:
    """Photos as a source tells of them, not yet checked.

    Attributes:
        rows: One row a photo, all columns text; a photo may be listed once for each animal that has a box.
        root: Folder that `path` is relative to.
        file: What tells the rows, for messages: a table, or the folder itself.
        row: Where each row stands in `file`, such as `row 12` (the header is row 1).
        exif: Whether EXIF tells the time where the row does not.
        counts: What the reader has to report: names that the pattern does not match and the like.
    """

    rows: pd.DataFrame
    root: Path
    file: str
    row: Sequence[str]
    exif: bool = False
    counts: dict[str, int] = field(default_factory=dict)

    def where(self, positions: Sequence[int]) -> str:
        """Return file and rows of some rows, the first five by name."""
        named = ", ".join(self.row[i] for i in positions[:5])
        return f"{self.file}, {named}" + (f" and {len(positions) - 5} more" if len(positions) > 5 else "")


def table_rows(count: int) -> list[str]:
    """Return `row 2`, `row 3`, ...: the rows of a table as a text editor or spreadsheet numbers them."""
    return [f"row {i + 2}" for i in range(count)]


def photo_table(survey: Survey) -> pd.DataFrame:
    """Check what a source tells and bring it into the form of `data/photos.csv` (`sha256` still empty).

    Orientations become one of left, right, front, back, unknown; dates ISO 8601 without zone (the camera's own wall
    clock; a day without a time becomes midnight, so that a day's photos of one station stay together); boxes `x y w h`;
    an identity that nobody has told `unknown`; backslashes in paths slashes.

    Returns:
        Table sorted by image_id, every column text.

    Raises:
        PelageError: A required column is missing, ids are empty or repeated, a path leaves its folder, a photo is
            listed but absent or listed twice without boxes, a date or box cannot be understood, or fewer than two
            individuals are known.
    """
    table = survey.rows.rename(columns={name: f"source_{name}" for name in TAKEN}).reset_index(drop=True)
    table = table.astype(object).fillna("").astype(str)
    for name in REQUIRED:
        if name not in table:
            has = ", ".join(map(str, survey.rows.columns))
            raise PelageError(f"{survey.file} has no column {name!r} (it has {has}). Add or rename it.")
    if table.empty:
        raise PelageError(f"{survey.file} lists no photos. Give a source that has some.")
    for name in COLUMNS:
        table[name] = table[name].str.strip() if name in table else ""
    _check_ids(survey, table)
    table["path"] = _checked_paths(survey, table["path"])
    table["date"] = _understood(survey, table["date"], iso_date, "date", "Write it as 2026-01-31T23:59:59")
    table["bbox"] = _understood(survey, table["bbox"], box_text, "bbox", "Write it as 'x y w h' in pixels, w and h > 0")
    _check_repeated_photos(survey, table)
    table["orientation"] = table["orientation"].str.lower().str.replace("_", " ").map(ORIENTATIONS).fillna(UNKNOWN)
    table["identity"] = table["identity"].mask(table["identity"].str.lower().isin(NOBODY), UNKNOWN)
    known = sorted(set(table["identity"]) - {UNKNOWN})
    if len(known) < 2:
        names = f"one individual only ({known[0]!r})" if known else "no individual by name"
        raise PelageError(
            f"{survey.file} names {names} in {len(table)} photos: telling individuals apart needs at least two. Fill "
            "the column identity, or for a folder without a table give identity_level or path_pattern in params.yaml."
        )
    rest = [name for name in table if name not in COLUMNS]
    return table[[*COLUMNS, *rest]].sort_values("image_id", kind="stable", ignore_index=True)


def box_text(text: str) -> str:
    """Return a box `x y w h` from `[x, y, w, h]`, `(x, y, w, h)`, `x,y,w,h` or `x y w h` in pixels; empty stays empty.

    Raises:
        ValueError: These are not four finite numbers of which the last two are positive.
    """
    if text.lower() in ("", "nan", "none", "[]"):
        return ""
    values = np.array([float(part) for part in re.split(r"[\s,;]+", text.strip("[]() \t"))])
    if len(values) != 4 or not np.isfinite(values).all() or (values[2:] <= 0).any():
        raise ValueError(text)
    return " ".join(f"{value:.2f}".rstrip("0").rstrip(".") for value in values)


def other_orientations(survey: Survey) -> int:
    """Return how many orientations of a source are words that the photo table does not know."""
    words = (
        survey.rows["orientation"].str.strip().str.lower().str.replace("_", " ") if "orientation" in survey.rows else []
    )
    return sum(word not in ORIENTATIONS and word not in NOBODY for word in words)


def _check_ids(survey: Survey, table: pd.DataFrame) -> None:
    empty = np.flatnonzero(table["image_id"] == "")
    if len(empty):
        raise PelageError(f"{survey.where(empty)}: image_id is empty. Give every photo an id of its own.")
    repeated = table["image_id"].duplicated(keep=False)
    if repeated.any():
        value = table.loc[repeated, "image_id"].iloc[0]
        rows = np.flatnonzero(table["image_id"] == value)
        raise PelageError(f"{survey.where(rows)}: image_id {value!r} occurs more than once. Make it unique.")


def _checked_paths(survey: Survey, paths: pd.Series) -> pd.Series:
    checked, absent = [], []
    for i, path in enumerate(paths.str.replace("\\", "/")):
        if not path:
            raise PelageError(f"{survey.where([i])}: path is empty. Give the photo's path below {survey.root}.")
        whole = inside(survey.root, path, survey.where([i]))
        checked.append(whole.relative_to(survey.root).as_posix())
        if not os.path.isfile(whole):
            absent.append(i)
    if absent:
        raise PelageError(
            f"{survey.where(absent)}: {len(absent)} of {len(paths)} photos are listed but absent below {survey.root}, "
            f"the first is {paths.iloc[absent[0]]!r}. Put the files there, mend the paths, or take these rows out."
        )
    return pd.Series(checked, index=paths.index)


def _understood(survey: Survey, column: pd.Series, parse, name: str, mend: str) -> pd.Series:
    parsed = {}
    for text in column.unique():
        try:
            parsed[text] = parse(text)
        except ValueError:
            rows = np.flatnonzero(column == text)
            raise PelageError(f"{survey.where(rows)}: {name} {text!r} is not understood. {mend}.") from None
    return column.map(parsed)


def _check_repeated_photos(survey: Survey, table: pd.DataFrame) -> None:
    repeated = table.duplicated(["path"], keep=False) & ((table["bbox"] == "") | table.duplicated(["path", "bbox"]))
    if repeated.any():
        path = table.loc[repeated, "path"].iloc[0]
        rows = np.flatnonzero(table["path"] == path)
        raise PelageError(
            f"{survey.where(rows)}: the photo {path!r} is listed more than once. List it once, or once for each "
            "animal with that animal's bbox."
        )
