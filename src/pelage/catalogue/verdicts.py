"""What became of every file below a source: used, or why not."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import pandas as pd

from pelage.catalogue.schema import Survey

COLUMNS = ("source", "path", "verdict", "detail")
"""Columns of `data/files.csv`."""

VERDICTS = {
    "photo": "",
    "table": "",
    "unlisted": "photos that no row of the table lists",
    "missing": "photos that are listed but absent",
    "video": "films",
    "unsupported": "files of a kind that is not read (HEIC, raw, GIF, ...)",
    "link": "linked folders, which are not followed",
    "broken_link": "links that lead nowhere",
    "thumbnail": "thumbnails",
    "system": "files of the operating system or in its folders",
    "hidden": "hidden files",
    "unnameable": "files whose names no table can hold",
    "other": "other files",
}
"""Verdicts, and what to say of so many."""

_SAID = {
    "unlisted": "No row that is used lists it.",
    "unsupported": "It is of a kind that is not read. Convert it to JPEG.",
    "video": "Films are not read. Take frames out of it, as JPEG.",
}


def file_verdicts(
    source: str, survey: Survey, used: Collection[str], missing: Iterable[str], tables: Sequence[Path] = ()
) -> pd.DataFrame:
    """Return the verdict of every file of a source, sorted by path.

    Args:
        source: Name of the source.
        survey: What it tells; `files` are those found below its root.
        used: Paths of those that are photos of the data set.
        missing: Paths that are listed but absent.
        tables: Full paths of tables and results files that are read wherever they lie.
    """
    told = [*survey.tables, *(os.path.relpath(file, survey.root) for file in tables)]
    read = {os.path.normpath(path).replace(os.sep, "/") for path in told}
    rows = {}
    for file in survey.files:
        verdict = "photo" if file.path in used else file.kind
        if verdict == "photo" and file.path not in used:
            verdict = "unlisted"
        if file.path in read:
            verdict = "table"
        unread = verdict == "table" and file.path not in read
        detail = file.detail or ("Nothing reads it." if unread else _SAID.get(verdict, ""))
        rows[file.path] = (verdict, detail)
    for path in used:
        rows.setdefault(path, ("photo", "It lies in a linked folder."))
    for path in missing:
        rows.setdefault(path, ("missing", "It is listed but absent."))
    table = pd.DataFrame([(source, path, *told) for path, told in rows.items()], columns=list(COLUMNS), dtype=str)
    return table.sort_values("path", ignore_index=True)


def verdict_counts(files: pd.DataFrame) -> dict[str, int]:
    """Return how many files have each verdict, all of `VERDICTS`."""
    number = files["verdict"].value_counts()
    return {verdict: int(number.get(verdict, 0)) for verdict in VERDICTS}
