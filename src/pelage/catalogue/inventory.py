"""Every file below a folder, with its kind and the hash of its content: what a data set rests on, at each run.

A file whose size, times and inode are those of the last run is not read again. Imports nothing heavy, as it always
runs.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from pelage.catalogue.entries import (
    Source,
    deployment_tables,
    habitat_file,
    named_file,
    read_sources,
    results_files,
)
from pelage.common.errors import PelageError
from pelage.common.files import cache_root, write_bytes
from pelage.common.progress import track

COLUMNS = ("source", "path", "kind", "bytes", "sha256")

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".bmp", ".webp")
"""What is a photo by its name, even if it is damaged; other files are photos by their content."""

DISTANT = ("synthetic", "git")
"""Kinds of sources that are no folder of this machine."""

_TABLES = (".csv", ".tsv", ".json", ".xlsx", ".xls", ".ods")
_VIDEOS = (
    ".mp4",
    ".mov",
    ".avi",
    ".mkv",
    ".m4v",
    ".mpg",
    ".mpeg",
    ".wmv",
    ".mts",
    ".m2ts",
    ".3gp",
    ".webm",
    ".flv",
    ".asf",
)
_RAW = (
    *(".dng", ".nef", ".nrw", ".cr2", ".cr3", ".crw", ".arw", ".sr2", ".srf", ".orf", ".rw2", ".raf", ".pef", ".srw"),
    *(".x3f", ".3fr", ".raw", ".iiq", ".rwl", ".erf", ".mef", ".mos", ".mrw", ".kdc", ".dcr"),
)
_UNSUPPORTED = (
    *(".heic", ".heif", ".hif", ".avif", ".gif", ".jp2", ".j2k", ".jxl", ".psd", ".svg", ".xcf", ".exr", ".hdr"),
    *_RAW,
)
_SYSTEM_FOLDERS = frozenset(
    (
        *("$recycle.bin", "recycler", "recycled", "system volume information", "lost+found", "__macosx", "found.000"),
        *(".trashes", ".trash", ".spotlight-v100", ".fseventsd", ".temporaryitems", ".documentrevisions-v100"),
        *("#recycle", "@recycle", "#snapshot", "@recently-snapshot", ".recycle"),
    )
)
_SYSTEM_FILES = frozenset(
    ("thumbs.db", "ehthumbs.db", "desktop.ini", "autorun.inf", "wpsettings.dat", "indexervolumeguid", "icon\r")
)
_THUMBNAIL_FOLDERS = ("@eadir", ".thumbnails", ".picasaoriginals")
_HEAD = 64
_HASHED = ("photo", "table", "package")
"""Kinds whose content matters: others are told from their first bytes, and a film is not read to its end."""

_VERSION = 1
"""Raised by hand whenever `kind_of` says something else."""

_SETTLED_NS = 3_000_000_000
"""A file that changed less long ago is not remembered: it may change again within one tick of the file system."""


class Found(NamedTuple):
    """One file (or linked folder) below a root.

    `path` is relative to the root with `/`; of a name that no table can hold it is written with escapes.
    """

    path: str
    kind: str
    bytes: int
    sha256: str = ""
    detail: str = ""


class _Seen(NamedTuple):
    found: Found
    file: str
    key: tuple[int, int, int, int] | None  # None: nothing to read


def inventory_rows(sources: Iterable[Source]) -> list[tuple[str, ...]]:
    """Return the rows of `data/inventory.csv` (see `COLUMNS`), sorted.

    Local sources are walked; of the others there is one row that says what is pinned.

    Raises:
        PelageError: A source's path does not exist.
    """
    rows = []
    for source in sources:
        if source.kind == "synthetic":
            rows.append((source.name, f"seed {source.entry['seed']}", "synthetic", "", ""))
        elif source.kind == "git":
            pinned = f"{source.entry['url']}@{source.entry['commit']}:{source.entry.get('path') or ''}"
            rows.append((source.name, pinned, "git", "", ""))
        else:
            rows += [(source.name, f.path, f.kind, str(f.bytes), f.sha256) for f in source_files(source)]
    return sorted(rows)


def results_rows(name: str, files: Mapping[str, Path]) -> list[tuple[str, ...]]:
    """Return the rows of the results files of the data set `name`, which may lie anywhere.

    Args:
        name: The data set.
        files: `pelage.catalogue.entries.results_files`.

    Raises:
        PelageError: One is missing, or cannot be read.
    """
    wanted = "Give the path of the JSON file that the detector has written."
    return [_file_row(name, f"datasets.{name}.results", written, file, wanted) for written, file in files.items()]


def deployment_rows(name: str, tables: Mapping[str, str]) -> list[tuple[str, ...]]:
    """Return the rows of the tables of deployments (`entries.deployment_tables`) of the data set `name`."""
    wanted = "Give the path of the CSV that tells when and where cameras ran, from the project's root."
    return [_file_row(name, key, written, named_file(written), wanted) for key, written in tables.items()]


def habitat_rows(name: str, files: Mapping[str, Path]) -> list[tuple[str, ...]]:
    """Return the row of the file (`entries.habitat_file`) that tells where animals of the data set `name` live."""
    wanted = "Give the path of a GeoJSON of polygons or a CSV of cells, or metres around the stations."
    return [_file_row(name, f"{key}.habitat", str(file), file, wanted) for key, file in files.items()]


def _file_row(name: str, key: str, written: str, file: Path, wanted: str) -> tuple[str, ...]:
    if not file.is_file():
        raise PelageError(f"params.yaml: {key} is {written!r}, and there is no file {file}. {wanted}")
    (found,) = list_files(file, state_file(file))
    if found.detail:
        raise PelageError(f"params.yaml: {key}: {file}: {found.detail}")
    return name, written, key.rpartition(".")[2], str(found.bytes), found.sha256


def source_files(source: Source) -> list[Found]:
    """Return the files of a local source; a zip file, or anything that is no folder, is one file."""
    root = source_root(source)
    return list_files(root, state_file(root), source.tables if root.is_dir() else ())


def source_root(source: Source) -> Path:
    """Return the folder, or the one file, that is all of a local source.

    Raises:
        PelageError: It does not exist.
    """
    root = source.path
    if source.kind == "camtrap_dp" and root.name == "datapackage.json":
        root = root.parent
    if not root.is_dir() and not (source.kind == "camtrap_dp" and root.is_file()):
        raise PelageError(
            f"{source.key}.path: the folder {root} does not exist. Give the folder that holds the photos."
        )
    return root


def check_sources(dataset: Mapping[str, Any], name: str) -> None:
    """Say what the inventory of the data set `name` would say, without a look at its photos.

    Raises:
        PelageError: A folder or file that the entry names does not exist.
    """
    for source in read_sources(dataset, name):
        if source.kind not in DISTANT:
            source_root(source)
    named_rows(dataset, name)


def named_rows(dataset: Mapping[str, Any], name: str) -> list[tuple[str, ...]]:
    """Return the rows of the files that the entry of the data set `name` names beside its sources.

    Raises:
        PelageError: One is missing, or cannot be read.
    """
    rows = results_rows(name, results_files(dataset)) + deployment_rows(name, deployment_tables(dataset, name))
    return rows + habitat_rows(name, habitat_file(dataset, name))


def write_inventory(rows: Iterable[tuple[str, ...]]) -> str:
    """Return the table of `inventory_rows` as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    return text.getvalue()


def state_file(root: Path) -> Path:
    """Return where it is kept what was read of the files below `root`."""
    name = hashlib.sha256(os.fsencode(os.path.abspath(root))).hexdigest()[:16]
    return cache_root() / f"inventory-{_VERSION}" / f"{name}.tsv"


def list_files(root: Path, state: Path | None = None, tables: Iterable[str] = ()) -> list[Found]:
    """Return every file below `root`, sorted by path: nothing is left out, and nothing stops it.

    Args:
        root: A folder; or one file, which is then all there is.
        state: Where to keep what was read; without it contents are not hashed and only first bytes are read.
        tables: Paths that are tables whatever their suffix.

    Hidden files and those in linked folders are photos if a table at the top of the folder names them, for then they
    are used.
    """
    tables = {os.path.normpath(path).replace(os.sep, "/") for path in tables}
    seen = _with_listed(str(root), list(_walk(str(root))), tables) if root.is_dir() else [_single(root)]
    known = _read_state(state) if state else {}
    remembered: dict[bytes, tuple] = {}
    files, unread = [], []
    for one in seen:
        name = os.fsencode(one.found.path)
        before = known.get(name)
        if one.key is None:
            files.append(one.found)
        elif before is not None and before[0] == one.key:
            remembered[name] = before
            kind = "table" if one.found.path in tables else before[1]
            if kind in _HASHED and not before[2]:
                unread.append(one)
                continue
            files.append(one.found._replace(kind=one.found.kind or kind, sha256=before[2]))
        else:
            unread.append(one)
    now = time.time_ns()
    with ThreadPoolExecutor(min(8, 2 * (os.cpu_count() or 1))) as pool:
        read = pool.map(lambda one: _read(one, state is not None, one.found.path in tables), unread)
        for one, found in zip(unread, track(read, "inventory", len(unread)), strict=True):
            files.append(found)
            if not found.detail and one.key and now - max(one.key[1], one.key[2]) > _SETTLED_NS:
                remembered[os.fsencode(found.path)] = (one.key, found.kind, found.sha256)
    if state and remembered != known:
        _write_state(state, remembered)
    return sorted(files)


def kind_of(name: str, head: bytes) -> str:
    """Return what a file is: photo, table, video, unsupported, thumbnail or other, by its first bytes and its name."""
    suffix = os.path.splitext(name)[1].lower()
    if suffix == ".thm":
        return "thumbnail"
    told = _content(head)
    if told == "tiff":
        told = "unsupported" if suffix in _RAW else "photo"
    if told:
        return told
    for kind, suffixes in (
        ("photo", PHOTO_SUFFIXES),
        ("video", _VIDEOS),
        ("unsupported", _UNSUPPORTED),
        ("table", _TABLES),
    ):
        if suffix in suffixes:
            return kind
    return "other"


def nameable(text: str) -> bool:
    """Tell whether a table can hold a path: Unicode without control characters or ends of lines."""
    if text.isprintable():
        return True
    return not any(c < " " or "\x7f" <= c < "\xa0" or c in "\u2028\u2029" or "\ud800" <= c <= "\udfff" for c in text)


def _content(head: bytes) -> str:
    if head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return "photo"
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "tiff"
    if head[:2] == b"BM" and head[6:10] == b"\0\0\0\0" and len(head) > 26:
        return "photo"
    if head[:3] == b"GIF" or head.startswith((b"8BPS", b"\xff\x0a", b"\0\0\0\x0cjP  ", b"\0\0\0\x0cJXL ")):
        return "unsupported"
    if head[4:8] == b"ftyp":
        return (
            "unsupported" if head[8:12] in (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"avif", b"crx ") else "video"
        )
    if (head[:4] == b"RIFF" and head[8:12] == b"AVI ") or head.startswith(b"\x1a\x45\xdf\xa3"):
        return "video"
    return ""


def _walk(root: str) -> Iterator[_Seen]:
    waiting = [("", "")]
    while waiting:
        folder, inherited = waiting.pop()
        try:
            with os.scandir(os.path.join(root, folder) if folder else root) as entries:
                found = list(entries)
        except OSError as error:
            said = f"The folder cannot be read: {error.strerror}."
            yield _Seen(Found(_shown(folder) or ".", "other", 0, "", said), "", None)
            continue
        for entry in found:
            path = f"{folder}/{entry.name}" if folder else entry.name
            seen = _look(entry, path, inherited)
            if seen is None:
                waiting.append((path, inherited or _folder_kind(entry.name)))
            else:
                yield seen


def _with_listed(root: str, seen: list[_Seen], tables: set[str]) -> list[_Seen]:
    """Return all files, with those to be read that a table lists although they are hidden or in a linked folder."""
    aside = {one.found.path for one in seen if one.found.kind in ("hidden", "system", "thumbnail")}
    links = tuple(one.found.path + "/" for one in seen if one.found.kind == "link")
    if not aside and not links:
        return seen
    top = {
        one.found.path
        for one in seen
        if one.found.path.lower().endswith((".csv", ".tsv")) and "/" not in one.found.path
    }
    listed = set(tables & aside)
    for table in (top | tables) - {""}:
        try:
            with open(os.path.join(root, table), encoding="utf-8-sig", errors="replace") as file:
                cells = set(re.split(r'[,;\t\r\n"]+', file.read()))
        except OSError:
            continue
        paths = {os.path.normpath(cell.replace("\\", "/")) for cell in cells if cell and "\0" not in cell}
        listed |= {path for path in paths if path in aside or path.startswith(links or ("/",))}
    found = []
    for path in sorted(path for path in listed if not path.startswith("/")):
        with suppress(OSError):
            status = os.stat(os.path.join(root, path))
            if stat.S_ISREG(status.st_mode):
                found.append(_Seen(_named(path, "", status.st_size), os.path.join(root, path), _key(status)))
    again = {one.found.path for one in found}
    return [one for one in seen if one.found.path not in again] + found


def _look(entry: os.DirEntry, path: str, inherited: str) -> _Seen | None:
    """Return what an entry is, or None for a folder to walk."""
    linked = entry.is_symlink()
    try:
        status = os.stat(entry.path) if linked else entry.stat(follow_symlinks=False)
    except OSError as error:
        if linked:
            return _Seen(_named(path, "broken_link", 0, "The link leads nowhere."), entry.path, None)
        return _Seen(_named(path, "other", 0, f"It cannot be looked at: {error.strerror}."), entry.path, None)
    if stat.S_ISDIR(status.st_mode):
        if not linked:
            return None
        said = "A linked folder is not followed: name the folder it leads to as a source of its own."
        return _Seen(_named(path, "link", 0, said), entry.path, None)
    kind = inherited or _file_kind(entry.name)
    if not stat.S_ISREG(status.st_mode):
        return _Seen(_named(path, kind or "other", 0, "It is no file with a content."), entry.path, None)
    found = _named(path, kind, status.st_size)
    return _Seen(found, entry.path, None if found.kind else _key(status))


def _single(file: Path) -> _Seen:
    status = os.stat(file)
    return _Seen(Found(file.name, "package", status.st_size), str(file), _key(status))


def _named(path: str, kind: str, size: int, detail: str = "") -> Found:
    if nameable(path):
        return Found(path, kind, size, "", detail)
    return Found(_shown(path), "unnameable", size, "", "The name has characters that no table can hold. Rename it.")


def _shown(path: str) -> str:
    if nameable(path):
        return path
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if nameable(c) else c.encode("unicode_escape").decode() for c in text)


def _key(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _folder_kind(name: str) -> str:
    lower = name.lower()
    if lower in _SYSTEM_FOLDERS or lower.startswith(".trash-"):
        return "system"
    if lower in _THUMBNAIL_FOLDERS:
        return "thumbnail"
    return "hidden" if name.startswith(".") else ""


def _file_kind(name: str) -> str:
    if name.lower() in _SYSTEM_FILES:
        return "system"
    return "hidden" if name.startswith(".") else ""


def _read(one: _Seen, whole: bool, table: bool) -> Found:
    """Return a file with its kind and, if it matters and `whole` is asked for, the hash of its content."""
    found = one.found
    try:
        with open(one.file, "rb") as file:
            head = file.read(_HEAD)
            kind = found.kind or ("table" if table else kind_of(found.path, head))
            if not whole or kind not in _HASHED:
                return found._replace(kind=kind)
            file.seek(0)
            return found._replace(kind=kind, sha256=hashlib.file_digest(file, "sha256").hexdigest())
    except OSError as error:
        kind = found.kind or kind_of(found.path, b"")
        return found._replace(kind=kind, detail=f"It cannot be read: {error.strerror}.")


def _read_state(file: Path) -> dict[bytes, tuple]:
    try:
        lines = file.read_bytes().split(b"\n")
    except FileNotFoundError:
        return {}
    known = {}
    for line in lines:
        parts = line.split(b"\t", 6)
        if len(parts) == 7:
            size, mtime, ctime, inode, kind, sha256, path = parts
            known[path] = ((int(size), int(mtime), int(ctime), int(inode)), kind.decode(), sha256.decode())
    return known


def _write_state(file: Path, known: dict[bytes, tuple]) -> None:
    lines = []
    for path in sorted(known):
        (size, mtime, ctime, inode), kind, sha256 = known[path]
        lines.append(b"%d\t%d\t%d\t%d\t%s\t%s\t%s" % (size, mtime, ctime, inode, kind.encode(), sha256.encode(), path))
    write_bytes(file, b"\n".join(lines) + b"\n")
