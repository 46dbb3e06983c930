"""Photos in a folder: listed by a table in the wildlife-datasets columns, or by their own names and EXIF."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pelage.catalogue.names import id_from_path, parse_names
from pelage.catalogue.schema import Survey, table_rows
from pelage.common.errors import PelageError
from pelage.common.files import inside
from pelage.common.tables import read_table

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")


def read_folder(root: Path, dataset: Mapping[str, Any], key: str) -> Survey:
    """Read the photos below a folder.

    With a table (`metadata`, by default `metadata.csv` where there is one) its rows are the photos and its columns
    all that is told. Without one every photo below the folder is a row: the named groups of `path_pattern` (searched
    for in the path below the folder) fill columns; the identity is the folder at `identity_level` (0: the outermost)
    unless the pattern has a group for it; the image_id is the path with `-` for `/`. A photo that the pattern does
    not match stays, of unknown identity, and is counted as `unmatched_names`. The time comes from EXIF
    where the table has no `date` column, or without a table where the pattern finds no date.

    Args:
        root: Folder of the photos; the table's paths are relative to it.
        dataset: Entry of `datasets`: keys `metadata`, `path_pattern`, `identity_level`, all optional.
        key: The entry's place in params.yaml, for messages.

    Raises:
        PelageError: The folder is missing or has no photos, the table is missing or malformed, or the pattern is wrong.
    """
    if not root.is_dir():
        raise PelageError(f"{key}.path: the folder {root} does not exist. Give the folder that holds the photos.")
    metadata = dataset.get("metadata")
    if metadata or (root / "metadata.csv").exists():
        return _read_metadata(root, inside(root, metadata or "metadata.csv", f"params.yaml, {key}.metadata"))
    paths = photos_below(root)
    if not paths:
        raise PelageError(f"{root} has no photos below it ({', '.join(SUFFIXES)}). Mend {key}.path in params.yaml.")
    if pattern := dataset.get("path_pattern"):
        rows, unmatched = parse_names(paths, pattern, f"{key}.path_pattern")
    else:
        rows, unmatched = pd.DataFrame(index=range(len(paths))), 0
    rows["path"] = paths
    ids = id_from_path(paths)
    rows["image_id"] = rows["image_id"].where(rows["image_id"] != "", ids) if "image_id" in rows else ids
    if "identity" not in rows:
        rows["identity"] = [_folder_at(path, dataset.get("identity_level") or 0) for path in paths]
    row = [f"photo {path!r}" for path in paths]
    return Survey(rows, root, str(root), row, exif=True, counts={"unmatched_names": unmatched})


def photos_below(root: Path) -> list[str]:
    """Return the paths of all photos below a folder, relative to it, sorted; hidden files and folders are left out."""
    found = []
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            path = Path(folder, name)
            if name.lower().endswith(SUFFIXES) and not name.startswith(".") and path.is_file():
                found.append(path.relative_to(root).as_posix())
    for path in found:
        if not path.isprintable():
            raise PelageError(f"{root}: the file name {path!r} has characters that no table can hold. Rename it.")
    return sorted(found)


def _read_metadata(root: Path, file: Path) -> Survey:
    rows = read_table(file)
    return Survey(rows, root, str(file), table_rows(len(rows)), exif="date" not in rows)


def _folder_at(path: str, level: int) -> str:
    folders = path.split("/")[:-1]
    return folders[level] if level < len(folders) else ""
