"""Archives from elsewhere, unpacked so that nothing lands outside its folder: no links, no devices, no `..`."""

from __future__ import annotations

import shutil
import stat
import tarfile
import zipfile
from pathlib import Path
from typing import IO

from pelage.common.errors import PelageError
from pelage.common.files import inside


def unpack_tar(stream: IO[bytes], target: Path, where: str) -> None:
    """Write the files of a tar stream below `target`.

    Args:
        stream: An uncompressed archive, read once from front to end.
        target: Folder that nothing leaves.
        where: What the archive is, for messages.

    Raises:
        PelageError: The archive holds a link or a device, a path that leaves `target`, or is damaged.
    """
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                if member.isdir():
                    continue
                file = _checked(target, member.name, member.isfile(), where)
                with archive.extractfile(member) as content, open(file, "wb") as out:
                    shutil.copyfileobj(content, out)
    except tarfile.TarError as error:
        raise PelageError(f"{where} is no complete archive ({error}). Get it again.") from error


def unpack_zip(path: Path, target: Path) -> None:
    """Write the files of a zip file below `target`.

    Raises:
        PelageError: The file holds a link, a path that leaves `target` or more than the disk, or is damaged or
            encrypted.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            needed, free = sum(member.file_size for member in members), shutil.disk_usage(target).free
            if needed > free:
                raise PelageError(f"{path} unpacks to {needed} bytes, but {target} has {free} left. Make room.")
            for member in members:
                mode = member.external_attr >> 16
                file = _checked(target, member.filename, not mode or stat.S_IFMT(mode) in (0, stat.S_IFREG), str(path))
                with archive.open(member) as content, open(file, "wb") as out:
                    shutil.copyfileobj(content, out)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise PelageError(f"{path} cannot be unpacked ({error}). Get it again, without a password.") from error


def _checked(target: Path, name: str, plain: bool, where: str) -> Path:
    if not plain:
        raise PelageError(f"{where}: {name!r} is a link or a device, which is refused. Take it out of the archive.")
    file = inside(target, name, where)
    file.parent.mkdir(parents=True, exist_ok=True)
    return file
