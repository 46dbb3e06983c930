"""Files: written atomically, hashed, and kept inside their root."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pelage.common.errors import PelageError


def project_root() -> Path:
    """Return the main checkout: `DVC_ROOT` under DVC (also in a temporary experiment), else the current folder."""
    return Path(os.environ.get("DVC_ROOT", ".")).resolve()


def cache_root() -> Path:
    """Return the folder of everything that outlives a run and is no output: memo, checkpoints, downloads."""
    return Path(os.environ.get("PELAGE_CACHE") or project_root() / ".pelage")


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` so that a reader sees the old file or the new one, never a part of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{_beginning(path)}{uuid.uuid4().hex}.tmp")  # of this writer, on whichever machine
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _beginning(path: Path) -> str:
    """Return how the name of a temporary beside `path` begins: short, for some reach the limit of 255 bytes."""
    return f".{path.name[:32]}."


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON in its own key order, atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def fresh_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder that takes the place of `path` when the block ends well; else `path` stays as it was.

    Where `path` is a link, the link is replaced; what it leads to may be anybody's, and stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=_beginning(path), dir=path.parent))
    os.chmod(temporary, 0o755)
    try:
        yield temporary
        if path.is_symlink():
            path.unlink()
        elif path.exists():
            shutil.rmtree(path)
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def seed_files(path: Path) -> list[Path]:
    """Return the files that `path`, such as `data/rankings/net.parquet`, stands for, by ascending seed.

    Of what is trained there is one a seed, `data/rankings/net/1.parquet`; of anything else only `path` itself.
    """
    seeds = path.with_suffix("").glob(f"*{path.suffix}")
    return sorted(seeds, key=lambda file: int(file.stem)) or [path]


def sha256_bytes(data: bytes) -> str:
    """Return the SHA-256 of `data` as 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def inside(root: Path, relative: str, where: str) -> Path:
    """Return `root / relative`, refusing a path that leaves `root`.

    Args:
        root: Folder that the path must stay in.
        relative: Path as a table gives it.
        where: File and row for the error message, such as `metadata.csv, row 12`.

    Raises:
        PelageError: The path is absolute or climbs out of `root` (symbolic links are not followed: a link that
            stands inside `root` was put there by its owner).
    """
    base = os.path.abspath(root)
    joined = os.path.normpath(os.path.join(base, relative))
    if os.path.isabs(relative) or os.path.commonpath([base, joined]) != base:
        raise PelageError(
            f"{where}: the path {relative!r} leaves its folder {root}. "
            "Give paths relative to that folder, without '..'."
        )
    return root / os.path.relpath(joined, base)
