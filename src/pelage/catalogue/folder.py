"""Photos in a folder: listed by a table in the wildlife-datasets columns, or by their own names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pelage.catalogue.inventory import PHOTO_SUFFIXES, Found
from pelage.catalogue.names import id_from_path, parse_names
from pelage.catalogue.schema import Survey, known_columns
from pelage.common.errors import PelageError
from pelage.common.files import inside
from pelage.common.tables import read_rows

NOBODY = "none"
"""`identity_level` of a folder whose folders name no individual."""


def read_folder(root: Path, files: Sequence[Found], dataset: Mapping[str, Any], key: str) -> Survey:
    """Read the photos below a folder.

    With a table (`metadata`, by default `metadata.csv` where there is one) its rows tell of the photos, and
    `path_pattern` fills what it leaves blank. Without one every photo below the folder is a row: the named groups of
    `path_pattern` (searched for in the path below the folder) fill columns; the identity is the folder at
    `identity_level` (0: the outermost; `none`: no folder) unless the pattern has a group for it; the image_id is the
    path with `-` for `/`. A photo that the pattern does not match stays, and is counted as `unmatched_names`.

    Args:
        root: Folder of the photos; the table's paths are relative to it.
        files: Every file below it.
        dataset: Entry of `datasets`: keys `metadata`, `path_pattern`, `identity_level`, all optional.
        key: The entry's place in params.yaml, for messages.

    Raises:
        PelageError: There are no photos, the table is missing or malformed, or the pattern matches nothing.
    """
    metadata = dataset.get("metadata")
    if metadata or (root / "metadata.csv").exists():
        return _read_metadata(root, files, metadata or "metadata.csv", dataset, key)
    paths = [file.path for file in files if file.kind == "photo"]
    if not paths:
        raise PelageError(
            f"{root} has no photos below it ({', '.join(PHOTO_SUFFIXES)}). Mend {key}.path in params.yaml."
        )
    if pattern := dataset.get("path_pattern"):
        rows, unmatched = parse_names(paths, pattern, f"{key}.path_pattern")
    else:
        rows, unmatched = pd.DataFrame(index=range(len(paths))), 0
    rows["path"] = paths
    ids = id_from_path(paths)
    rows["image_id"] = rows["image_id"].where(rows["image_id"] != "", ids) if "image_id" in rows else ids
    if "identity" not in rows:
        level = dataset.get("identity_level")
        rows["identity"] = "" if level == NOBODY else [_folder_at(path, level or 0) for path in paths]
    row = [f"photo {path!r}" for path in paths]
    return Survey(rows, root, str(root), row, files, counts={"unmatched_names": unmatched})


def _read_metadata(root: Path, files: Sequence[Found], metadata: str, dataset: Mapping[str, Any], key: str) -> Survey:
    file = inside(root, metadata, f"params.yaml, {key}.metadata")
    read = read_rows(file)
    rows, unmatched = read.table.rename(columns=known_columns(read.table.columns)), 0
    rejected = [
        ("", "", "cells", f"{metadata}, row {number}: there are more cells than columns: {said[:80]!r}")
        for number, said in read.longer
    ]
    if (pattern := dataset.get("path_pattern")) and "path" in rows and len(rows):
        paths = rows["path"].str.strip().str.replace("\\", "/", regex=False)
        named, unmatched = parse_names(paths.tolist(), pattern, f"{key}.path_pattern")
        for column in named:
            rows[column] = rows[column].where(rows[column] != "", named[column]) if column in rows else named[column]
    numbers = [f"row {number}" for number in read.numbers]
    counts = {"unmatched_names": unmatched, "blank_rows": read.blank, "short_rows": read.shorter}
    return Survey(rows, root, str(file), numbers, files, [metadata], rejected, counts)


def _folder_at(path: str, level: int) -> str:
    folders = path.split("/")[:-1]
    return folders[level] if level < len(folders) else ""
