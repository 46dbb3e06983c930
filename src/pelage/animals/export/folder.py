"""The folder of an export: written whole or not at all, and never over what is not an export."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from pelage.animals.export.files import README, Export, readme
from pelage.common.errors import PelageError
from pelage.common.files import fresh_folder, sha256_file, write_bytes, write_json, write_text

MARKER = "pelage_export.json"
"""File by which a former export is known: its format, and the hash of each of its files."""


def check_folder(folder: Path) -> None:
    """See that an export may take a folder's place: there is none, it is empty, or it is an export, as it was written.

    Raises:
        PelageError: It holds a file that no export has written, or one that was changed since.
    """
    if not folder.exists() and not folder.is_symlink():
        return
    if not folder.is_dir():
        raise PelageError(f"{folder} is no folder. Give another one with --to.")
    there = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if not path.is_dir()}
    if not there:
        return
    if MARKER not in there:
        raise PelageError(
            f"{folder} is not empty, and what is in it is no export of pelage ({next(iter(there))}). Give a new folder "
            "with --to; nothing was written."
        )
    written = _written(there.pop(MARKER))
    strange = [name for name, path in there.items() if path.is_symlink() or written.get(name) != sha256_file(path)]
    if strange:
        raise PelageError(
            f"{folder} is an export, but {strange[0]} was added or changed since (and {len(strange) - 1} other files). "
            "Give a new folder with --to, or move what you want to keep; nothing was written."
        )


def _written(marker: Path) -> dict[str, str]:
    try:
        return dict(json.loads(marker.read_text(encoding="utf-8"))["files"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PelageError(f"{marker} cannot be read: {error}. Give a new folder with --to.") from error


def write_export(
    folder: Path,
    kind: str,
    export: Export,
    read_photo: Callable[[str], bytes] | None = None,
    check: Callable[[Path], str] | None = None,
) -> str:
    """Write an export into a folder, which changes only when all is written and checked.

    Args:
        folder: The folder; the one that a link leads to, if it is a link.
        kind: Its format.
        export: What is written.
        read_photo: Gives the bytes of a photo by its path below `data/photos`; without it none are written.
        check: Reads what was written and says that it is right, or raises.

    Returns:
        What `check` says.

    Raises:
        PelageError: The folder may not be replaced (`check_folder`), or what was written is not right.
    """
    folder = folder.resolve()
    check_folder(folder)
    with fresh_folder(folder) as new:
        for name, text in export.files.items():
            write_text(new / name, text)
        for name, photo in export.photos.items() if read_photo else ():
            write_bytes(new / name, read_photo(photo))
        said = check(new) if check else ""
        about = Export(export.files, [*export.about, *([said] if said else [])], export.left_out)
        write_text(new / README, readme(f"Export of pelage: {kind}", about))
        hashes = {
            path.relative_to(new).as_posix(): sha256_file(path) for path in sorted(new.rglob("*")) if path.is_file()
        }
        write_json(new / MARKER, {"format": kind, "files": hashes})
        check_folder(folder)  # again: what was written meanwhile is somebody's, too
    return said
