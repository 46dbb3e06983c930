"""Packs: the many images of a folder in few files, each a plain ZIP archive that stores them as they are.

What looks at every file of a project, as DVC does at each run, then looks at one in `SIZE`. Archives are cut where a
hash of the names says so (content-defined chunking: Muthitacharoen, Chen and Mazières, SOSP 2001), so that an image
that comes or goes changes the archive that it is in, at most two, and all others keep name and bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import NoReturn
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import numpy as np
import pandas as pd

from pelage.common.errors import PelageError
from pelage.common.files import fresh_folder, sha256_bytes, sha256_file
from pelage.common.hashes import DATA, hashes_of
from pelage.common.images import decode_image
from pelage.common.tables import write_table

SIZE = 128
"""Images of a pack, on average."""

COLUMNS = ["file", "sha256", "pack"]

_BEFORE = 30
"""Bytes before an image's name in an archive; the image itself follows the name (APPNOTE.TXT 4.3.7)."""

_WRITTEN = (1980, 1, 1, 0, 0, 0)
"""When each image was written, as archives have it: the earliest that they can hold, so that bytes are the same."""


class Packer:
    """Writes the images of a folder, in the order of their names. Use `packed_folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rows: list[tuple[str, str, str]] = []
        self._pack: ZipFile | None = None

    def put(self, name: str, data: bytes) -> None:
        """Add an image.

        Raises:
            ValueError: `name` does not come after the one before it.
        """
        if self._rows and name <= self._rows[-1][0]:
            raise ValueError(f"{name} is put after {self._rows[-1][0]}; names must ascend.")
        if self._pack is None or begins_a_pack(name):
            self.close()
            self._pack = ZipFile(self._folder / f"{Path(name).stem}.zip", "x", ZIP_STORED)
        entry = ZipInfo(name, _WRITTEN)
        entry.create_system, entry.external_attr = 3, 0o100644 << 16  # a file of Unix, wherever it is written
        self._pack.writestr(entry, data)
        self._rows.append((name, sha256_bytes(data), Path(self._pack.filename).name))

    def close(self) -> None:
        """End the last pack."""
        if self._pack is not None:
            self._pack.close()

    def table(self) -> pd.DataFrame:
        """Return a row an image: its name, the SHA-256 of its bytes, and its pack."""
        return pd.DataFrame(self._rows, columns=COLUMNS, dtype=str)


def begins_a_pack(name: str) -> bool:
    """Return whether a pack begins with the image of this name, whatever other images there are."""
    return int(sha256_bytes(name.encode())[:8], 16) % SIZE == 0


@contextmanager
def packed_folder(path: Path, data: Path = DATA) -> Iterator[Packer]:
    """Give what writes a folder of packs that takes the place of `path`, as `fresh_folder`, and write its table.

    A pack is named after its first image. The table `hashes_of(path, data)` has the columns `file`, `sha256` and
    `pack`, a row an image, sorted by name.
    """
    with fresh_folder(path) as folder:
        packer = Packer(folder)
        try:
            yield packer
        finally:
            packer.close()
    write_table(hashes_of(path, data), packer.table())


class Packs:
    """Reads the images of a folder of packs, as its table lists them; may be shared by threads and processes.

    Args:
        path: The folder.
        data: Above it; its table stands there, see `hashes_of`.

    Raises:
        PelageError: The table is missing.
    """

    def __init__(self, path: Path, data: Path = DATA) -> None:
        self.path, self._data = path, data
        self._table = hashes_of(path, data)
        try:
            header, _, self._rows = self._table.read_bytes().partition(b"\n")
        except FileNotFoundError as error:
            told = f"{self._table} is missing, the list of {path}: run the stage that writes both."
            raise PelageError(told) from error
        if header.decode(errors="replace").split(",") != COLUMNS:
            raise PelageError(f"{self._table} is no list of images: run the stage that writes it again.")
        self._places: dict[str, dict[str, tuple[int, int]]] = {}

    def __reduce__(self) -> tuple:
        return _opened, (self.path, self._data, sha256_file(self._table))  # another process reads the table itself

    def __str__(self) -> str:
        return str(self.path)

    def __contains__(self, name: str) -> bool:
        return self._row(name) is not None

    def names(self) -> list[str]:
        """Return the names of all images, sorted."""
        return [row.split(b",", 1)[0].decode() for row in self._rows.splitlines()]

    def _row(self, name: str) -> tuple[str, str] | None:
        """Return the hash and the pack of an image, None if there is none.

        Rows ascend by name, so that one is found by halves: of a million few are asked for, and no dictionary is made.
        """
        wanted, low, high = name.encode(), 0, len(self._rows)
        while low < high:
            start = max(low, self._rows.rfind(b"\n", low, (low + high) // 2) + 1)
            end = self._rows.index(b"\n", start)
            file, sha256, pack = self._rows[start:end].split(b",")
            if file == wanted:
                return sha256.decode(), pack.decode()
            low, high = (end + 1, high) if file < wanted else (low, start)
        return None

    def sha256(self, name: str) -> str:
        """Return the SHA-256 of an image's bytes, as the table has it."""
        return self._found(name)[0]

    def _found(self, name: str) -> tuple[str, str]:
        row = self._row(name)
        if row is None:
            raise PelageError(f"{self} has no image {name}.")
        return row

    def read(self, name: str) -> bytes:
        """Return the bytes of an image, as the table tells their hash.

        Raises:
            PelageError: There is no such image; or its pack is missing, torn or another, and what to do.
        """
        told, pack = self._found(name)
        try:
            if pack not in self._places:
                self._places[pack] = _places(self.path / pack)
            start, size = self._places[pack][name]
            with open(self.path / pack, "rb", buffering=0) as file:
                file.seek(start)
                image = file.read(size)
        except FileNotFoundError:
            self._refuse(pack, "is missing")
        except OSError as error:
            self._refuse(pack, f"cannot be read: {error.strerror}")
        except (BadZipFile, ValueError, NotImplementedError):
            self._refuse(pack, "is torn, or no archive")
        except KeyError:
            self._refuse(pack, f"lacks {name}")
        if sha256_bytes(image) != told:
            self._refuse(pack, f"holds another {name} than {self._table} tells, or a part of it")
        return image

    def image(self, name: str) -> np.ndarray:
        """Return an image as `decode_image`.

        Raises:
            PelageError: As `read`; or it is no image.
        """
        return decode_image(self.read(name), f"{self}/{name}")

    def _refuse(self, pack: str, fault: str) -> NoReturn:
        raise PelageError(
            f"{self.path / pack} {fault}. Bring it back with `dvc checkout {self}`, or run the stage that writes it "
            "again."
        )


@lru_cache(maxsize=4)
def _opened(path: Path, data: Path, _: str) -> Packs:
    """Open a folder of packs once a process, as long as its table has the same hash."""
    return Packs(path, data)


def _places(pack: Path) -> dict[str, tuple[int, int]]:
    """Return where each image of an archive begins, and its size, in bytes.

    Raises:
        BadZipFile, ValueError, NotImplementedError: It is torn, or no archive.
    """
    with ZipFile(pack) as archive:
        places = {
            entry.filename: (entry.header_offset + _BEFORE + len(entry.filename.encode()), entry.file_size)
            for entry in archive.infolist()
        }
        if any(start < 0 or start + size > archive.start_dir for start, size in places.values()):
            raise BadZipFile("an image lies outside")
    return places
