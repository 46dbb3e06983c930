"""What a source tells, checked: the one place that says what its columns hold, whatever the source.

Columns are named as in wildlife-datasets (image_id, identity, path, date, orientation, bbox, species) and
Camtrap DP; anything else that a source tells is carried along untouched. A bad cell costs the cell, a bad row the row.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from pelage.catalogue.dates import read_dates
from pelage.catalogue.inventory import Found
from pelage.catalogue.paths import resolve_paths
from pelage.catalogue.words import blank_nothing, spelling
from pelage.common.errors import PelageError
from pelage.common.tables import UNKNOWN

REQUIRED = ("image_id", "path", "identity")
"""Columns that a source has to tell."""

OF_PHOTOS = ("date", "camera", "station", "encounter", "sequence")
"""Columns that are of a photo; rows that list it several times have to agree on them."""

OF_CLAIMS = ("identity", "orientation", "bbox", "species")
"""Columns that are of an animal; each row that lists a photo may say something else."""

SPELLED = ("identity", "station", "camera")
"""Columns of names, of which each has one spelling once all sources are put together."""

TAKEN = (
    *("source", "sha256", "width", "height", "phash", "flags"),
    *("place", "night", "group", "rests_on", "claim", "row", "suspect"),
)
"""Columns that the pipeline fills in; a source's own column of that name gets the prefix `source_`."""

ORIENTATIONS = {
    **dict.fromkeys(("left", "l", "left side", "left flank"), "left"),
    **dict.fromkeys(("right", "r", "right side", "right flank"), "right"),
    **dict.fromkeys(("front", "frontal", "f"), "front"),
    **dict.fromkeys(("back", "rear", "behind", "b"), "back"),
}
"""Words for the visible side of an animal; any other word becomes `unknown`."""

Rejected = tuple[str, str, str, str]
"""A row or cell that is not used: image_id, path, reason, detail."""


@dataclass(frozen=True)
class Deployments:
    """Where and when cameras ran, as a source or a table tells it, not yet checked.

    Attributes:
        rows: N rows of text in the columns `pelage.catalogue.deployments.CELLS`, or some of them.
        file: What tells them, for messages.
        row: Where each row stands in it, such as `row 12`.
        rejected: Rows that the reader does not use.
        clock: Minutes ahead of UTC of the clock that the photos' dates are of; NaN where no zone is told.
    """

    rows: pd.DataFrame
    file: str
    row: Sequence[str]
    rejected: Sequence[Rejected] = ()
    clock: float = float("nan")

    def where(self, positions: Sequence[int]) -> str:
        """Return file and rows of some rows, the first three by name."""
        return f"{self.file}, {', '.join(self.row[i] for i in positions[:3])}"


@dataclass(frozen=True)
class Survey:
    """Photos as a source tells of them, not yet checked.

    Attributes:
        rows: All columns text; a row is what is told of one photo, or of one animal in it.
        root: Folder that `path` is relative to.
        file: What tells the rows, for messages: a table, or the folder itself.
        row: Where each row stands in `file`, such as `row 12` (the header is row 1).
        files: Every file below `root`.
        tables: Files below `root` that were read as tables.
        rejected: Rows and cells that the reader does not use.
        counts: What the reader has to report: names that the pattern does not match and the like.
        suspect: Which rows are of a camera whose clock the source itself distrusts; none if empty.
        deployments: Where and when its cameras ran, if the source tells it.
    """

    rows: pd.DataFrame
    root: Path
    file: str
    row: Sequence[str]
    files: Sequence[Found]
    tables: Sequence[str] = ()
    rejected: Sequence[Rejected] = ()
    counts: dict[str, int] = field(default_factory=dict)
    suspect: Sequence[bool] = ()
    deployments: Deployments | None = None

    def where(self, positions: Sequence[int]) -> str:
        """Return file and rows of some rows, the first five by name."""
        named = ", ".join(self.row[i] for i in positions[:5])
        return f"{self.file}, {named}" + (f" and {len(positions) - 5} more" if len(positions) > 5 else "")


@dataclass(frozen=True)
class Checked:
    """What a source tells, in one form.

    Attributes:
        rows: Columns `image_id, path, identity, orientation, bbox, species, date, camera, station, encounter, sequence,
            row, suspect` and the source's own. `path` is a file below the source's root; image_id may be empty or
            repeated.
        rejected: Rows and cells that are not used.
        missing: Paths that are listed but absent.
        counts: What is to be reported.
    """

    rows: pd.DataFrame
    rejected: list[Rejected]
    missing: list[str]
    counts: dict[str, int]


def check_survey(survey: Survey, key: str, order: str = "") -> Checked:
    """Check what a source tells and bring it into one form.

    Orientations become one of left, right, front, back, unknown; dates ISO 8601 (`pelage.catalogue.dates`); boxes
    `x y w h`; words for nothing are emptied, except that an identity that nobody has told is `unknown`.

    Args:
        survey: N rows.
        key: The source's place in params.yaml, for messages.
        order: The key `date_order`.

    Raises:
        PelageError: A required column is missing; there are no rows, or none can be used; most dates or all boxes
            cannot be understood.
    """
    table = survey.rows.rename(columns={name: f"source_{name}" for name in TAKEN}).reset_index(drop=True)
    table = table.astype(object).fillna("").astype(str)
    for name in REQUIRED:
        if name not in table:
            has = ", ".join(map(str, survey.rows.columns))
            empty = "; an empty one names nobody" if name == "identity" else ""
            raise PelageError(f"{survey.file} has no column {name!r} (it has {has}). Add or rename it{empty}.")
    if table.empty:
        raise PelageError(f"{survey.file} lists no photos. Give a source that has some.")
    table["row"], counts = list(survey.row), dict(survey.counts)
    table["suspect"] = list(survey.suspect) if len(survey.suspect) else False
    counts["words_for_nothing"] = 0
    for name in (*OF_CLAIMS, *OF_PHOTOS):
        if name not in table:
            table[name] = ""
            continue
        table[name], words = blank_nothing(table[name])
        counts["words_for_nothing"] += words
        if name in (*SPELLED, "date", "bbox"):
            table[name] = table[name].str.strip()
        else:
            table[name] = table[name].map({text: spelling(text) for text in table[name].unique()})
    table["image_id"] = table["image_id"].str.strip().str.replace(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+", " ", regex=True)

    paths = resolve_paths(survey.root, survey.files, table["path"])
    rejected, missing = list(survey.rejected), []
    for row, (reason, said) in paths.faults.items():
        told = table["path"].iat[row]
        rejected.append((table["image_id"].iat[row], told, reason, f"{survey.where([row])}: {said}"))
        if reason == "missing":
            missing.append(told)
    if len(paths.faults) == len(table):
        first, (_, said) = next(iter(paths.faults.items()))
        raise PelageError(
            f"{survey.where([first])}: {said}. So it is with all {len(table)} rows. Put the files below {survey.root}, "
            "or mend the paths."
        )
    counts |= {"paths_by_case": paths.by_case, "absolute_paths": paths.absolute}
    kept = paths.found != ""
    where = np.flatnonzero(kept)
    table = table.assign(path=paths.found)[kept].reset_index(drop=True)

    def place(positions: Sequence[int]) -> str:
        return survey.where([int(where[i]) for i in positions])

    def reject(faults: dict[int, str], reason: str) -> None:
        for row, said in faults.items():
            rejected.append((table["image_id"].iat[row], table["path"].iat[row], reason, f"{place([row])}: {said}"))

    dates = read_dates(table["date"], place, key, order)
    table["date"] = dates.iso
    reject(dates.faults, "date")
    table["bbox"], faults = _boxes(table["bbox"], place)
    reject(faults, "box")
    words = table["orientation"].str.lower().str.replace("_", " ")
    counts["other_orientations"] = int(((words != "") & ~words.isin(list(ORIENTATIONS))).sum())
    table["orientation"] = words.map(ORIENTATIONS).fillna(UNKNOWN)
    table["identity"] = table["identity"].where(table["identity"] != "", UNKNOWN)
    return Checked(table, rejected, missing, counts)


def known_columns(columns: Sequence[str]) -> dict[str, str]:
    """Return columns that are known by another spelling, such as `Image ID`, and what they are called here."""
    known = {*REQUIRED, *OF_CLAIMS, *OF_PHOTOS} - set(columns)
    found: dict[str, str] = {}
    for column in columns:
        name = re.sub(r"[ -]+", "_", str(column).strip().lower())
        if name in known and name not in found.values():
            found[column] = name
    return found


def box_text(text: str) -> str:
    """Return a box `x y w h` from `[x, y, w, h]`, `(x, y, w, h)`, `x,y,w,h` or `x y w h` in pixels; empty stays empty.

    Raises:
        ValueError: These are not four finite numbers of which the last two are positive.
    """
    if not text:
        return ""
    values = [float(part) for part in re.split(r"[\s,;]+", text.strip("[]() \t"))]
    if len(values) != 4 or not all(map(math.isfinite, values)) or min(values[2:]) <= 0:
        raise ValueError(text)
    return " ".join(f"{value:.2f}".rstrip("0").rstrip(".") for value in values)


def _boxes(texts: pd.Series, where) -> tuple[pd.Series, dict[int, str]]:
    """Return boxes as `box_text` does, and what is wrong with those that are none."""
    boxes, wrong, shares = {}, {}, set()
    for text in texts.unique():
        try:
            boxes[text] = box_text(text)
        except ValueError:
            boxes[text], wrong[text] = "", "is no box: write it as 'x y w h' in pixels, w and h > 0"
            continue
        if text and max(float(part) for part in re.split(r"[\s,;]+", text.strip("[]() \t"))) <= 1:
            shares.add(text)
    if shares and len(shares) == sum(text != "" for text in boxes) - len(wrong):
        rows = np.flatnonzero(texts.isin(shares))
        raise PelageError(
            f"{where(rows)}: bbox {texts.iloc[rows[0]]!r} and all others are shares of the photo's sides, not pixels. "
            "Multiply x and w by the photo's width, y and h by its height (of the upright photo)."
        )
    for text in shares:
        boxes[text], wrong[text] = "", "is of shares of the photo's sides, where others are in pixels"
    faults = {int(row): f"bbox {texts.iat[row]!r} {wrong[texts.iat[row]]}" for row in np.flatnonzero(texts.isin(wrong))}
    return texts.map(boxes), faults
